//! Password hashes: Argon2id with the parameters of OWASP's recommendation (19 MiB, two passes). Slow on
//! purpose: to be called on a bounded pool, never on a request's own thread.

use argon2::password_hash::phc::{self, Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};

use super::random;

/// The hash of this password under a new salt, in the PHC string format.
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

/// Whether this is the password that the hash was made of. A hash that cannot be read matches nothing.
pub fn verify(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| matches(password, &hash).unwrap_or(false))
}

/// Spends the time that verifying takes, so that an unknown user cannot be told from a wrong password.
pub fn verify_nobody(password: &str) {
    let _ = output(&Argon2::default(), password, &[0; 16], Params::DEFAULT_OUTPUT_LEN);
}

/// The password could not be hashed, as for one of more than 4 GiB.
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
    if params.block_count() > MOST / Block::SIZE {
        return Ok(false);
    }
    let argon2 = Argon2::new(Algorithm::try_from(hash.algorithm.as_str())?, version, params);
    // Compared in constant time.
    Ok(output(&argon2, password, salt, expected.len())? == *expected)
}

/// No hash of ours takes more memory.
const MOST: usize = 64 << 20;

/// What is not touched of an allocation takes no memory. glibc keeps what is given back to it, for the next time, unless it was
/// more than 32 MiB: then the system gets it at once.
const MORE_THAN_IS_KEPT: usize = 40 << 20;

fn output(argon2: &Argon2<'_>, password: &str, salt: &[u8], length: usize) -> Result<Output, HashError> {
    let blocks = argon2.params().block_count();
    let mut memory = Vec::new();
    let reserved = memory.try_reserve_exact(blocks.max(MORE_THAN_IS_KEPT / Block::SIZE));
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
