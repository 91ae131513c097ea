//! What stands behind `/v2/` in a request: a group, an image and what is wanted of it. Looks nothing up but the names of
//! the configured upstreams.

use super::digest::Digest;
use super::group::{GroupPath, GroupPathError};
use super::reference::{Reference, ReferenceError};
use super::repository::{NameError, Repository, UpstreamName};
use super::upstream::Upstreams;

const MARKER: &str = "/dependency_proxy/containers/";

/// A request path of the registry, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePath {
    /// The group that pulls.
    pub group: GroupPath,
    /// The upstream that the image is of.
    pub upstream: UpstreamName,
    /// The image, as upstream calls it.
    pub repository: Repository,
    /// What is wanted of it.
    pub target: Target,
}

/// What is wanted of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A manifest or an index.
    Manifest(Reference),
    /// A configuration or a layer.
    Blob(Digest),
    /// The list of tags.
    Tags,
    /// The list of manifests that refer to this one.
    Referrers(Digest),
}

/// Why a path leads nowhere. The text is for the person who used it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImagePathError {
    /// No `/dependency_proxy/containers/` in it.
    #[error("This is a pull-through cache. Pull <this host>/<group>/dependency_proxy/containers/{image}")]
    NotAProxyPath {
        /// What the user seems to want, as an image and its tag.
        image: String,
    },
    /// The image names a registry that is not configured.
    #[error("{registry} is not an upstream of this service. Configured: {configured}")]
    UnknownUpstream {
        /// The registry that was named.
        registry: String,
        /// Those that could be.
        configured: String,
    },
    /// `?ns=` names a registry that is not configured.
    #[error("{registry} is not an upstream of this service. Configured: {configured}")]
    UnknownNamespace {
        /// The registry that was named.
        registry: String,
        /// Those that could be.
        configured: String,
    },
    /// What stands before the marker cannot be a group.
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
    Digest(#[from] super::digest::DigestError),
    /// Neither a manifest nor a blob, nor a list that this service passes through.
    #[error("This is a read-only cache of manifests and blobs; it has nothing at this path")]
    NoSuchRoute,
}

impl ImagePath {
    /// Understands the part of a path behind `/v2/` and the value of `?ns=`.
    pub fn parse(path: &str, namespace: Option<&str>, upstreams: &Upstreams) -> Result<Self, ImagePathError> {
        let (group, rest) = path.split_once(MARKER).ok_or_else(|| not_a_proxy_path(path))?;
        let (image, target) = split_target(rest)?;
        let group = group.parse()?;
        let (upstream, repository) = locate(image, namespace, upstreams)?;
        Ok(Self { group, upstream, repository, target })
    }
}

/// The image and what is wanted of it.
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

/// What separates an image from a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A tag or a digest follows.
    Manifests,
    /// The digest of a blob follows.
    Blobs,
    /// The digest of what is referred to follows.
    Referrers,
}

/// What stands before the last word that separates an image from a value, the word, and what follows it.
pub fn split_at_word(path: &str) -> Option<(&str, Word, &str)> {
    // The parts of the path from the last one on.
    let mut end = path.len();
    while let Some(slash) = path[..end].rfind('/') {
        let value = path[end..].strip_prefix('/');
        let word = match &path[slash + 1..end] {
            "manifests" => Some(Word::Manifests),
            "blobs" => Some(Word::Blobs),
            "referrers" => Some(Word::Referrers),
            _ => None,
        };
        if let (Some(word), Some(value)) = (word, value) {
            return Some((&path[..slash], word, value));
        }
        end = slash;
    }
    None
}

/// Which upstream has the image, and what it calls it.
fn locate(
    image: &str,
    namespace: Option<&str>,
    upstreams: &Upstreams,
) -> Result<(UpstreamName, Repository), ImagePathError> {
    // dockerd, and containerd without `override_path`, put the API's version behind the path of a mirror.
    let image = image.strip_prefix("v2/").unwrap_or(image);
    let (upstream, repository) = match namespace {
        Some(name) => named_by_query(image, name, upstreams)?,
        None => named_by_path(image, upstreams)?,
    };
    let repository: Repository = repository.parse()?;
    if upstream.is_docker_hub() && repository.is_single_part() {
        return Ok((upstream, format!("library/{repository}").parse()?));
    }
    Ok((upstream, repository))
}

/// The registry that `?ns=` names (OCI distribution specification, "Registry proxying"). What stands in the path is the
/// repository, whatever it looks like. Only this registry's own name before it is taken off: some mirrors are configured with
/// it in their path.
fn named_by_query<'a>(
    image: &'a str,
    name: &str,
    upstreams: &Upstreams,
) -> Result<(UpstreamName, &'a str), ImagePathError> {
    let unknown = || ImagePathError::UnknownNamespace { registry: name.to_owned(), configured: list(upstreams) };
    let (upstream, _) = upstreams.named(name).ok_or_else(unknown)?;
    let repository = image.strip_prefix(name).and_then(|rest| rest.strip_prefix('/')).unwrap_or(image);
    Ok((upstream.clone(), repository))
}

/// The registry that a first part of the path names, if it is one or can only be one; else the default.
fn named_by_path<'a>(image: &'a str, upstreams: &Upstreams) -> Result<(UpstreamName, &'a str), ImagePathError> {
    let Some((first, rest)) = image.split_once('/') else { return Ok((default_upstream(upstreams)?, image)) };
    match upstreams.named(first) {
        Some((name, _)) => Ok((name.clone(), rest)),
        None if first.contains(['.', ':']) || first == "localhost" => {
            Err(ImagePathError::UnknownUpstream { registry: first.to_owned(), configured: list(upstreams) })
        }
        None => Ok((default_upstream(upstreams)?, image)),
    }
}

fn default_upstream(upstreams: &Upstreams) -> Result<UpstreamName, ImagePathError> {
    let unknown = || ImagePathError::UnknownUpstream { registry: "docker.io".to_owned(), configured: list(upstreams) };
    upstreams.named("docker.io").map(|(name, _)| name.clone()).ok_or_else(unknown)
}

fn list(upstreams: &Upstreams) -> String {
    upstreams.names().map(UpstreamName::as_str).collect::<Vec<_>>().join(", ")
}

/// Reads `library/alpine/manifests/latest` back into what the user typed.
fn not_a_proxy_path(path: &str) -> ImagePathError {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_word_separates_an_image_from_a_value() {
        for (path, split) in [
            ("a/manifests/1", Some(("a", Word::Manifests, "1"))),
            ("a/b/blobs/sha256:0", Some(("a/b", Word::Blobs, "sha256:0"))),
            ("a/manifests/blobs/x", Some(("a/manifests", Word::Blobs, "x"))),
            ("a/manifests/x/y", Some(("a", Word::Manifests, "x/y"))),
            ("a/referrers/", Some(("a", Word::Referrers, ""))),
            ("manifests/1", None),
            ("a/manifests", None),
            ("a/xmanifests/1", None),
            ("", None),
        ] {
            assert_eq!(split_at_word(path), split, "{path}");
        }
    }

    proptest! {
        #[test]
        fn what_is_split_fits_together_again(path in "(/|a|manifests|blobs|ä){0,9}") {
            if let Some((image, word, value)) = split_at_word(&path) {
                let word = match word {
                    Word::Manifests => "manifests",
                    Word::Blobs => "blobs",
                    Word::Referrers => "referrers",
                };
                prop_assert_eq!(format!("{image}/{word}/{value}"), path);
            }
        }
    }
}
