//! Content digests (OCI image specification, "Digests"). Parses and formats them; `auth::sha256` computes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The SHA-256 of some content, written as `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// The reason why a string is not a digest that this service can verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The algorithm is missing or is not `sha256`.
    #[error("only sha256 digests are supported: sha256: and 64 hexadecimal digits")]
    Algorithm,
    /// The text after `sha256:` is not 64 lower-case hexadecimal digits.
    #[error("a sha256 digest has exactly 64 lower-case hexadecimal digits")]
    Encoding,
}

const ALGORITHM: &str = "sha256:";
/// The length of a digest as text, in bytes.
const TEXT_BYTES: usize = ALGORITHM.len() + 64;

impl Digest {
    /// Creates a digest from its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes of the digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the 64 hexadecimal digits, without the algorithm.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let encoded = text.strip_prefix(ALGORITHM).ok_or(DigestError::Algorithm)?;
        if encoded.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(DigestError::Encoding);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(encoded, &mut bytes).map_err(|_| DigestError::Encoding)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; TEXT_BYTES];
        let (algorithm, encoded) = text.split_at_mut(ALGORITHM.len());
        algorithm.copy_from_slice(ALGORITHM.as_bytes());
        hex::encode_to_slice(self.0, encoded).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod properties;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_digest_survives_being_printed_and_parsed(bytes: [u8; 32]) {
            let digest = Digest::from_bytes(bytes);
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
        }

        #[test]
        fn whatever_is_accepted_is_64_lower_case_digits(
            bytes: Vec<u8>, text in ".*", near_miss in "sha256:[0-9a-gA]{63,65}", digest in "sha256:[0-9a-f]{64}",
        ) {
            for bytes in [bytes.as_slice(), text.as_bytes(), near_miss.as_bytes(), digest.as_bytes()] {
                properties::hold(bytes);
            }
            prop_assert!(digest.parse::<Digest>().is_ok());
        }
    }

    #[test]
    fn another_algorithm_and_wrong_digits_are_distinguished() {
        assert_eq!("sha512:00".parse::<Digest>(), Err(DigestError::Algorithm));
        assert_eq!("sha256:00".parse::<Digest>(), Err(DigestError::Encoding));
        let upper = format!("sha256:{}", "A".repeat(64));
        assert_eq!(upper.parse::<Digest>(), Err(DigestError::Encoding));
    }
}
