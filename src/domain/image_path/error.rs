//! Reasons why a path or the name of an image is refused, for the user who sent it.

use super::separators::MARKER;
use crate::domain::digest::DigestError;
use crate::domain::group::GroupPathError;
use crate::domain::reference::{Reference, ReferenceError};
use crate::domain::repository::{NameError, Repository};

/// The reason why a path is refused. The texts are for the user who sent the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImagePathError {
    /// The path does not contain `/dependency_proxy/containers/`.
    #[error("This is a pull-through cache. Pull <this host>/<group>/dependency_proxy/containers/{image}")]
    NotAProxyPath {
        /// The image and tag that the user probably means.
        image: String,
    },
    /// The path of the image names a registry that is not configured.
    #[error("{registry} is not an upstream of this service. Configured: {configured}")]
    UnknownUpstream {
        /// The registry in the request.
        registry: String,
        /// The configured registries, separated by commas.
        configured: String,
    },
    /// The query parameter `ns` names a registry that is not configured.
    #[error("{registry} is not an upstream of this service. Configured: {configured}")]
    UnknownNamespace {
        /// The registry in the request.
        registry: String,
        /// The configured registries, separated by commas.
        configured: String,
    },
    /// The path before `/dependency_proxy/containers/` is not a valid group path.
    #[error("the group {0}")]
    Group(#[from] GroupPathError),
    /// The image's name is malformed.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The tag or digest of a manifest is malformed.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The digest of a blob is malformed.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// The path names neither a manifest nor a blob, nor a list that this service passes through.
    #[error("This is a read-only cache of manifests and blobs; it has nothing at this path")]
    NoSuchRoute,
}

/// Reconstructs from `library/alpine/manifests/latest` the image that the user typed, for the error message.
pub(super) fn not_a_proxy_path(path: &str) -> ImagePathError {
    let path = path.strip_prefix(&MARKER[1..]).unwrap_or(path);
    let (name, reference) = path.split_once("/manifests/").unwrap_or((path, "latest"));
    let name = name.split("/blobs/").next().unwrap_or(name);
    let well_formed = name.parse::<Repository>().is_ok() && reference.parse::<Reference>().is_ok();
    let image = if !well_formed {
        "alpine:latest".to_owned()
    } else if reference.contains(':') {
        format!("{name}@{reference}")
    } else {
        format!("{name}:{reference}")
    };
    ImagePathError::NotAProxyPath { image }
}
