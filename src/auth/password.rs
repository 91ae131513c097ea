//! Password hashes: Argon2id with the parameters of OWASP's recommendation (19 MiB, two passes). Slow on
//! purpose: to be called on a bounded pool, never on a request's own thread.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

use super::random;

/// The hash of this password under a new salt, in the PHC string format.
pub fn hash(password: &str) -> Result<String, HashError> {
    let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), &random::bytes::<16>())?;
    Ok(hash.to_string())
}

/// Whether this is the password that the hash was made of. A hash that cannot be read matches nothing.
pub fn verify(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|parsed| Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok())
}

/// Spends the time that verifying takes, so that an unknown user cannot be told from a wrong password.
pub fn verify_nobody(password: &str) {
    let mut out = [0; 32];
    let _ = Argon2::default().hash_password_into(password.as_bytes(), &[0; 16], &mut out);
}

/// The password could not be hashed, as for one of more than 4 GiB.
#[derive(Debug, thiserror::Error)]
#[error("the password could not be hashed: {0}")]
pub struct HashError(#[from] argon2::password_hash::Error);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_itself_matches_its_hash() {
        let hash = hash("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(verify("correct horse", &hash));
        assert!(!verify("wrong horse", &hash));
        assert!(!verify("correct horse", "not a hash"));
    }
}
