//! Password hashes: Argon2id with parameters that OWASP recommends (19 MiB of memory, two passes, one lane; Password
//! Storage Cheat Sheet, "Argon2id",
//! <https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>). Slow on purpose: call these
//! functions on a bounded pool, never on a thread that serves requests.

use argon2::password_hash::phc::{self, Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};

use super::random;

/// Returns the hash of this password with a new salt, in the PHC string format.
///
/// # Errors
/// Fails if the memory for hashing cannot be allocated, or the password is longer than the library accepts.
pub fn hash(password: &str) -> Result<String, HashError> {
    let (argon2, salt) = (Argon2::default(), random::bytes::<16>());
    let hash = PasswordHash {
        algorithm: Algorithm::default().ident(),
        version: Some(Version::default().into()),
        params: ParamsString::try_from(argon2.params())?,
        salt: Some(Salt::new(&salt)?),
        hash: Some(output(&argon2, password, &salt, Params::DEFAULT_OUTPUT_LEN)?),
    };
    Ok(hash.to_string())
}

/// Returns true if the hash was made from this password. A hash that cannot be parsed matches nothing.
pub fn verify(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| matches(password, &hash).unwrap_or(false))
}

/// Takes as long as verifying a password, so that the response time does not reveal whether a user exists.
pub fn verify_nobody(password: &str) {
    let _ = output(&Argon2::default(), password, &[0; 16], Params::DEFAULT_OUTPUT_LEN);
}

/// The error for a password that could not be hashed, such as one of more than 4 GiB.
#[derive(Debug, thiserror::Error)]
#[error("the password could not be hashed: {0}")]
pub struct HashError(#[from] argon2::password_hash::Error);

impl From<argon2::Error> for HashError {
    fn from(error: argon2::Error) -> Self {
        Self(error.into())
    }
}

impl From<phc::Error> for HashError {
    fn from(error: phc::Error) -> Self {
        Self(error.into())
    }
}

fn matches(password: &str, hash: &PasswordHash) -> Result<bool, HashError> {
    let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else { return Ok(false) };
    let version = hash.version.map(Version::try_from).transpose()?.unwrap_or_default();
    let params = Params::try_from(hash)?;
    if params.block_count() > MAX_HASH_MEMORY_BYTES / Block::SIZE {
        return Ok(false);
    }
    let argon2 = Argon2::new(Algorithm::try_from(hash.algorithm.as_str())?, version, params);
    // The comparison takes constant time.
    Ok(output(&argon2, password, salt, expected.len())? == *expected)
}

/// Maximum memory for verifying a hash, in bytes; hashes of this service need less. A stored hash that demands more
/// matches nothing.
const MAX_HASH_MEMORY_BYTES: usize = 64 << 20;

/// Minimum size of the memory allocation, in bytes: above glibc's mmap threshold (at most 32 MiB, mallopt(3)), so
/// that freeing it returns the memory to the operating system at once. Pages that are never touched cost nothing.
const MIN_ALLOCATION_BYTES: usize = 40 << 20;

fn output(argon2: &Argon2<'_>, password: &str, salt: &[u8], length: usize) -> Result<Output, HashError> {
    let blocks = argon2.params().block_count();
    let mut memory = Vec::new();
    let reserved = memory.try_reserve_exact(blocks.max(MIN_ALLOCATION_BYTES / Block::SIZE));
    reserved.map_err(|_| argon2::Error::OutOfMemory)?;
    memory.resize(blocks, Block::default());
    let mut out = [0; Output::MAX_LENGTH];
    let out = out.get_mut(..length).ok_or(argon2::password_hash::Error::OutputSize)?;
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, out, &mut memory)?;
    Ok(Output::new(out)?)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use argon2::password_hash::{PasswordHasher, PasswordVerifier};

    use super::*;

    #[test]
    fn only_the_password_itself_matches_its_hash() {
        let hash = hash("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(verify("correct horse", &hash));
        assert!(!verify("wrong horse", &hash));
        assert!(!verify("correct horse", "not a hash"));
        assert!(!verify("correct horse", "$argon2id$v=19$m=19456,t=2,p=1$"));
        let monstrous = hash.replace("m=19456", "m=4294967295");
        assert!(monstrous != hash && !verify("correct horse", &monstrous));
    }

    #[test]
    fn hashes_are_those_of_the_library() {
        let theirs: PasswordHash = Argon2::default().hash_password_with_salt(b"correct horse", &[7; 16]).unwrap();
        assert!(verify("correct horse", &theirs.to_string()));
        let ours = hash("correct horse").unwrap();
        assert!(Argon2::default().verify_password(b"correct horse", ours.as_str()).is_ok());
        assert!(Argon2::default().verify_password(b"wrong horse", ours.as_str()).is_err());
    }
}
