//! An image reference as the user types it: `alpine`, `alpine:3.20`, `docker.io/library/alpine@sha256:...`. The
//! server decides which image it names.

use std::fmt;
use std::str::FromStr;

use crate::domain::image_path::split_reference;
use crate::domain::reference::{Reference, ReferenceError};

/// An image reference: a path, and a tag or digest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Image {
    path: String,
    reference: Reference,
}

impl Image {
    /// Returns the repository: below the group if one is given, in the form of this service, else the typed path.
    pub(super) fn repository(&self, group: Option<&str>) -> String {
        match group {
            Some(group) => format!("{group}/dependency_proxy/containers/{}", self.path),
            None => self.path.clone(),
        }
    }

    /// Returns the tag or digest; `latest` where none was typed.
    pub(super) fn reference(&self) -> &Reference {
        &self.reference
    }
}

impl FromStr for Image {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (path, reference) = split_reference(text)?;
        Ok(Self { path: path.to_owned(), reference })
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if matches!(self.reference, Reference::Digest(_)) { '@' } else { ':' };
        write!(f, "{}{separator}{}", self.path, self.reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_images_below_it() {
        let repository = |group| "a/b:c".parse::<Image>().map(|image| image.repository(group));
        assert_eq!(repository(None), Ok("a/b".to_owned()));
        assert_eq!(repository(Some("team/ci")), Ok("team/ci/dependency_proxy/containers/a/b".to_owned()));
    }

    #[test]
    fn images_have_a_tag_or_a_digest_or_are_the_latest() {
        let digest = format!("a/b@sha256:{}", "0".repeat(64));
        for (text, expected) in [
            ("alpine", "alpine:latest"),
            ("alpine:3", "alpine:3"),
            ("mirror:5000/a/b", "mirror:5000/a/b:latest"),
            ("mirror:5000/a/b:c", "mirror:5000/a/b:c"),
            (&digest, &digest),
        ] {
            assert_eq!(text.parse::<Image>().map(|image| image.to_string()), Ok(expected.to_owned()));
        }
        assert!("a@md5:1".parse::<Image>().is_err());
    }
}
