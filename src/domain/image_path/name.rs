//! Names of images: as users write them, and as far as a text for the log has one.

use super::error::ImagePathError;
use super::location::locate;
use super::separators::{image_in, split_at_marker};
use crate::domain::group::GroupPath;
use crate::domain::reference::{Reference, ReferenceError};
use crate::domain::repository::{Repository, UpstreamName};
use crate::domain::upstream::Upstreams;

/// An image as users name it, such as `alpine`, `ghcr.io/acme/app:1.4` or `alpine@sha256:...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    /// The upstream registry.
    pub upstream: UpstreamName,
    /// The repository, as upstream names it.
    pub repository: Repository,
    /// The tag or digest; `latest` where the text has none.
    pub reference: Reference,
}

impl ImageName {
    /// Parses the name of an image. A registry that is not configured any more is accepted: its images may still be
    /// cached.
    ///
    /// # Errors
    /// Fails if a name, tag or digest in it is malformed.
    pub fn parse(text: &str, upstreams: &Upstreams) -> Result<Self, ImagePathError> {
        let (image, reference) = split_reference(text)?;
        let (upstream, repository) = match locate(image, None, upstreams) {
            Err(ImagePathError::UnknownUpstream { registry, .. }) => {
                let repository = image.strip_prefix(&registry).and_then(|rest| rest.strip_prefix('/')).unwrap_or(image);
                (registry.parse()?, repository.parse()?)
            }
            located => located?,
        };
        Ok(Self { upstream, repository, reference })
    }
}

/// Splits the name of an image into its path, and its tag or digest; without one, that is `latest`.
///
/// # Errors
/// Fails if the tag or digest is malformed.
pub fn split_reference(text: &str) -> Result<(&str, Reference), ReferenceError> {
    let (path, reference) = match text.split_once('@') {
        Some(parts) => parts,
        None => match text.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, tag),
            _ => (text, "latest"),
        },
    };
    Ok((path, reference.parse()?))
}

/// The group and the image in a text of the form `<group>/dependency_proxy/containers/<image>`, as far as they are
/// well-formed. For the log: nothing is served for such a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedImage {
    /// The group before the marker.
    pub group: Option<GroupPath>,
    /// The upstream and the image's repository there.
    pub image: Option<(UpstreamName, Repository)>,
}

impl NamedImage {
    /// Finds the group and the image in the part of a path after `/v2/`, whatever follows the image, or in the name in
    /// the scope of a token (Distribution's token specification, "Resource Provider Use").
    pub fn find(path: &str, namespace: Option<&str>, upstreams: &Upstreams) -> Self {
        let Some((group, rest)) = split_at_marker(path) else { return Self::default() };
        Self { group: group.parse().ok(), image: locate(image_in(rest), namespace, upstreams).ok() }
    }
}
