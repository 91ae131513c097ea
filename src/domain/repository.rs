//! Names of repositories and of upstream registries. Checks their grammar, not whether they exist.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of a repository at its upstream, such as `library/alpine`: at most 255 characters of the grammar in the
/// OCI distribution specification, "Pulling manifests".
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Repository(Arc<str>);

/// The name of an upstream registry in the configuration and in image paths, such as `docker.io` or `mirror:5000`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UpstreamName(Arc<str>);

/// The reason why a string is not a valid name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The string is not the name of a repository.
    #[error(
        "an image name has lower-case letters and digits, with single '.', '_', '__' or '-' between them, in parts \
         separated by '/', and at most 255 characters"
    )]
    Repository,
    /// The string is not the name of an upstream.
    #[error("the name of an upstream is a lower-case host name, with a port where it needs one")]
    Upstream,
}

impl Repository {
    /// Returns the name as upstream knows it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the repository of a request for none. It is not well formed, so that no other is equal to it.
    pub fn none() -> Self {
        Self("".into())
    }

    /// Returns true if the text follows the grammar of repository names.
    pub fn is_well_formed(text: &str) -> bool {
        text.len() <= 255 && text.split('/').all(is_path_component)
    }

    /// Returns true if the name has a single part, as users write the official images of Docker Hub.
    pub fn is_single_part(&self) -> bool {
        !self.0.contains('/')
    }
}

/// The name of Docker Hub.
pub const DOCKER_HUB: &str = "docker.io";

impl UpstreamName {
    /// Returns the name as configured.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true for Docker Hub, whose official images are below `library/`.
    pub fn is_docker_hub(&self) -> bool {
        &*self.0 == DOCKER_HUB
    }
}

impl FromStr for Repository {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if Self::is_well_formed(text) { Ok(Self(text.into())) } else { Err(NameError::Repository) }
    }
}

impl FromStr for UpstreamName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (host, port) = text.split_once(':').unwrap_or((text, "443"));
        let label = |label: &str| is_path_component(label) && !label.contains('_');
        // Digits alone: `u16::from_str` would also accept a sign.
        let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
        let well_formed = host.split('.').all(label) && is_port;
        if well_formed && text.len() <= 255 { Ok(Self(text.into())) } else { Err(NameError::Upstream) }
    }
}

/// Returns true if the text matches `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, the grammar of one part of a repository's
/// name.
fn is_path_component(part: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut separators = part.split(|c: char| c.is_ascii() && alphanumeric(c as u8)).filter(|gap| !gap.is_empty());
    let ends_well = part.bytes().next().is_some_and(alphanumeric) && part.bytes().last().is_some_and(alphanumeric);
    ends_well && separators.all(|gap| matches!(gap, "." | "_" | "__") || gap.bytes().all(|byte| byte == b'-'))
}

macro_rules! as_string {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

impl Borrow<str> for UpstreamName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

as_string!(Repository);
as_string!(UpstreamName);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn repositories_follow_the_specification() {
        for good in ["alpine", "library/alpine", "a/b/c", "a.b_c__d--e", "0", &"a".repeat(255)] {
            assert!(good.parse::<Repository>().is_ok(), "{good}");
        }
        for bad in
            ["", "/", "a//b", "A", "a/", "-a", "a-", "a..b", "a___b", "a._b", "../a", "a%2fb", "ä", &"a".repeat(256)]
        {
            assert_eq!(bad.parse::<Repository>(), Err(NameError::Repository), "{bad}");
        }
    }

    #[test]
    fn upstreams_are_hosts_with_an_optional_port() {
        for good in ["docker.io", "registry.k8s.io", "localhost", "mirror:5000", "10.0.0.1:5000"] {
            assert!(good.parse::<UpstreamName>().is_ok(), "{good}");
        }
        for bad in ["", "docker.io/x", "Docker.io", "a_b", "x:0", "x:y", "x:", "x:+80", ".io"] {
            assert_eq!(bad.parse::<UpstreamName>(), Err(NameError::Upstream), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_name_that_is_accepted_is_printed_as_it_was_written_and_cannot_leave_its_place_in_a_url(
            any_text in "\\PC*", near_miss in "[a-zA-Z0-9._/:+%@-]{0,30}(:[+0-9]{0,6})?",
        ) {
            for text in [any_text, near_miss] {
                if let Ok(repository) = text.parse::<Repository>() {
                    prop_assert_eq!(repository.to_string(), text.clone());
                    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
                    let allowed = |byte: u8| is_letter(byte) || b"/._-".contains(&byte);
                    prop_assert!(text.bytes().all(allowed) && !text.contains("..") && !text.contains("//"));
                }
                if let Ok(upstream) = text.parse::<UpstreamName>() {
                    prop_assert_eq!(upstream.to_string(), text.clone());
                    let host = text.split(':').next().unwrap_or_default();
                    let url = url::Url::parse(&format!("oci://{text}/")).ok();
                    prop_assert_eq!(url.as_ref().and_then(url::Url::host_str), Some(host));
                }
            }
        }

        #[test]
        fn every_repository_of_the_specification_is_accepted(
            parts in prop::collection::vec("[a-z0-9]{1,9}((\\.|_|__|-{1,3})[a-z0-9]{1,5}){0,3}", 1..5),
        ) {
            prop_assert!(parts.join("/").parse::<Repository>().is_ok());
        }
    }
}
