//! References (OCI distribution specification, "Pulling manifests"): a tag or a digest, without the repository's
//! name.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::digest::{Digest, DigestError};

/// A reference to a manifest: the last segment of a `/manifests/` path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Reference {
    /// A tag, which upstream may move to other content.
    Tag(Tag),
    /// A digest, which always means the same content.
    Digest(Digest),
}

/// A tag: 1 to 128 of `[A-Za-z0-9_.-]`, not starting with `.` or `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(Arc<str>);

/// The reason why a string is not a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The string is not a valid tag, and does not look like a digest.
    #[error("a tag has 1 to 128 letters, digits, '_', '.' or '-', and does not start with '.' or '-'")]
    Tag,
    /// The string looks like a digest, but is not a supported one.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.contains(':') {
            return Ok(Self::Digest(text.parse()?));
        }
        text.parse().map(Self::Tag)
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl Tag {
    /// Returns the tag as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let starts_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if starts_well && text.len() <= 128 && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(ReferenceError::Tag)
        }
    }
}

impl TryFrom<String> for Tag {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        text.parse()
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.0.to_string()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod properties;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tags_follow_the_specification() {
        for good in ["latest", "_x", "1.2.3-rc.1", "A", &"a".repeat(128)] {
            assert!(good.parse::<Tag>().is_ok(), "{good}");
        }
        for bad in ["", ".x", "-x", "a/b", "a b", "ä", &"a".repeat(129)] {
            assert_eq!(bad.parse::<Tag>(), Err(ReferenceError::Tag), "{bad}");
        }
    }

    #[test]
    fn what_has_a_colon_must_be_a_digest() {
        let zeros = format!("sha256:{}", "0".repeat(64));
        assert!(matches!(zeros.parse(), Ok(Reference::Digest(_))));
        assert!(matches!("md5:00".parse::<Reference>(), Err(ReferenceError::Digest(_))));
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_one_segment_of_a_path(bytes: Vec<u8>, text in "\\PC*") {
            properties::hold(&bytes);
            properties::hold(text.as_bytes());
        }

        #[test]
        fn near_misses_are_no_exception(text in "(sha256:|\\.|-)?[a-zA-Z0-9_./:@%-]{0,130}") {
            properties::hold(text.as_bytes());
        }

        #[test]
        fn every_tag_of_the_specification_is_accepted(text in "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}") {
            prop_assert_eq!(text.parse().map(|tag: Tag| tag.as_str().to_owned()), Ok(text.clone()));
            properties::hold(text.as_bytes());
        }
    }
}
