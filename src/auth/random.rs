//! Random bits from the system's secure source. Never from anything that could be guessed or repeated.

use aws_lc_rs::rand;

use crate::domain::id::CredentialId;

/// This many random bytes.
///
/// # Panics
/// Where the system has no randomness to give; nothing that is secret can be made there.
#[expect(clippy::expect_used, reason = "without randomness no secret can be made, and no answer would be right")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system's random source works");
    bytes
}

/// An id for a new credential.
pub fn credential_id() -> CredentialId {
    CredentialId::from_random(bytes())
}
