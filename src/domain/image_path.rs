//! Image paths: the part of a registry request's path after `/v2/`, with a group, an image and the requested
//! resource. Looks up nothing but the names of the configured upstreams.

mod error;
mod location;
mod name;
mod separators;

pub use self::error::ImagePathError;
pub use self::location::check_upstream;
pub use self::name::{ImageName, NamedImage, split_reference};
pub use self::separators::{Word, image_in, split_at_marker, split_at_word};

use self::error::not_a_proxy_path;
use self::location::locate;
use super::digest::Digest;
use super::group::GroupPath;
use super::reference::Reference;
use super::repository::{Repository, UpstreamName};
use super::upstream::Upstreams;

/// A parsed request path of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePath {
    /// The group that pulls.
    pub group: GroupPath,
    /// The upstream registry of the image.
    pub upstream: UpstreamName,
    /// The image's repository, as upstream names it.
    pub repository: Repository,
    /// The requested resource of the image.
    pub target: Target,
}

/// The requested resource of an image (OCI distribution specification, "Endpoints").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A manifest or an index, by tag or digest.
    Manifest(Reference),
    /// A blob, that is a configuration or a layer.
    Blob(Digest),
    /// The list of tags of the repository.
    Tags,
    /// The list of manifests that refer to this manifest.
    Referrers(Digest),
}

impl ImagePath {
    /// Parses the part of a path after `/v2/` and the value of the query parameter `ns`.
    ///
    /// # Errors
    /// Fails if the path is not one of the proxy, a name in it is malformed, or its registry is not configured.
    pub fn parse(path: &str, namespace: Option<&str>, upstreams: &Upstreams) -> Result<Self, ImagePathError> {
        let (group, rest) = split_at_marker(path).ok_or_else(|| not_a_proxy_path(path))?;
        let (image, target) = split_target(rest)?;
        let group = group.parse()?;
        let (upstream, repository) = locate(image, namespace, upstreams)?;
        Ok(Self { group, upstream, repository, target })
    }
}

/// Splits the path after the marker into the image and the requested resource.
fn split_target(rest: &str) -> Result<(&str, Target), ImagePathError> {
    if let Some(image) = rest.strip_suffix("/tags/list") {
        return Ok((image, Target::Tags));
    }
    let (image, word, value) = split_at_word(rest).ok_or(ImagePathError::NoSuchRoute)?;
    let target = match word {
        Word::Manifests => Target::Manifest(value.parse()?),
        Word::Blobs => Target::Blob(value.parse()?),
        Word::Referrers => Target::Referrers(value.parse()?),
    };
    Ok((image, target))
}

#[cfg(test)]
mod tests;
