//! Random bits from the operating system's secure source.

use aws_lc_rs::rand;

use crate::domain::id::{AccountId, CredentialId};

/// Returns this number of random bytes.
///
/// # Panics
/// Panics if the operating system provides no randomness, because no secret can be generated then.
#[expect(clippy::expect_used, reason = "without randomness no secret can be generated, and no result would be right")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the operating system's random source works");
    bytes
}

/// Returns a random number, each with the same probability.
pub fn number() -> u32 {
    u32::from_ne_bytes(bytes())
}

/// Returns an id for a new credential.
pub fn credential_id() -> CredentialId {
    CredentialId::from_random(bytes())
}

/// Returns an id for the account of a group at an upstream.
pub fn account_id() -> AccountId {
    AccountId::from_random(bytes())
}
