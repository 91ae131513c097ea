//! Image paths: the part of a registry request's path after `/v2/`, with a group, an image and the requested
//! resource. Looks up nothing but the names of the configured upstreams.

use super::digest::Digest;
use super::group::{GroupPath, GroupPathError};
use super::reference::{Reference, ReferenceError};
use super::repository::{NameError, Repository, UpstreamName};
use super::upstream::Upstreams;

const MARKER: &str = "/dependency_proxy/containers/";

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
    Digest(#[from] super::digest::DigestError),
    /// The path names neither a manifest nor a blob, nor a list that this service passes through.
    #[error("This is a read-only cache of manifests and blobs; it has nothing at this path")]
    NoSuchRoute,
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

/// Returns the image at the beginning of the path after the marker.
pub fn image_in(rest: &str) -> &str {
    let listed = rest.strip_suffix("/tags/list");
    listed.or_else(|| split_at_word(rest).map(|(image, ..)| image)).unwrap_or(rest)
}

/// Splits a path at the marker: returns the texts for the group, and for the image with what follows it.
pub fn split_at_marker(path: &str) -> Option<(&str, &str)> {
    path.split_once(MARKER)
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

/// The path segment that separates an image from a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A tag or digest of a manifest follows.
    Manifests,
    /// The digest of a blob follows.
    Blobs,
    /// The digest of the manifest that is referred to follows.
    Referrers,
}

/// Splits a path at its last such segment: returns the text before it, the segment, and the text after it.
pub fn split_at_word(path: &str) -> Option<(&str, Word, &str)> {
    // Image names may contain these words, too, so the search starts at the end.
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

/// Returns the upstream of an image, and the image's repository there.
fn locate(
    image: &str,
    namespace: Option<&str>,
    upstreams: &Upstreams,
) -> Result<(UpstreamName, Repository), ImagePathError> {
    // dockerd, and containerd without `override_path`, append the API's version to the path of a mirror.
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

/// Resolves an image for the registry in the query parameter `ns` (OCI distribution specification, "Registry
/// proxying"). The whole path is then the repository, except that this registry's own name is removed from its
/// beginning: some mirrors are configured with it in their path.
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

/// Resolves an image whose first path segment may name a registry; otherwise the registry is Docker Hub.
fn named_by_path<'a>(image: &'a str, upstreams: &Upstreams) -> Result<(UpstreamName, &'a str), ImagePathError> {
    let Some((first, rest)) = image.split_once('/') else { return Ok((default_upstream(upstreams)?, image)) };
    match upstreams.named(first) {
        Some((name, _)) => Ok((name.clone(), rest)),
        // Docker's rule for the first segment of an image name: a dot, a port or `localhost` makes it a host.
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

/// Reconstructs from `library/alpine/manifests/latest` the image that the user typed, for the error message.
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
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::upstream::Upstream;

    fn upstreams(names: &[&str]) -> Upstreams {
        let known = |name: &&str| {
            let upstream = Upstream { accounts: Vec::new(), tag_freshness: Duration::ZERO };
            name.parse().ok().map(|name| (name, upstream))
        };
        Upstreams::new(names.iter().filter_map(known))
    }

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

        #[test]
        fn a_path_that_is_accepted_names_each_of_its_parts(
            group in "((a|A-b|v2|ä|\\.\\.)/){0,2}(dependency_proxy/containers/){0,2}",
            image in "((a|b_c|quay\\.io|docker\\.io|x\\.io|manifests|blobs|\\.\\.|%2f)/){0,4}",
            target in "manifests/(1|latest|a:b|sha256:0{64})|(blobs|referrers)/sha256:(0{64}|1)|tags/list|x",
            namespace in prop::option::of("quay\\.io|docker\\.io|x\\.io|"), any_text in "\\PC*",
        ) {
            let (path, upstreams) = (format!("{group}{image}{target}"), upstreams(&["docker.io", "quay.io"]));
            let _refused_or_not = ImagePath::parse(&any_text, namespace.as_deref(), &upstreams);
            let Ok(parsed) = ImagePath::parse(&path, namespace.as_deref(), &upstreams) else { return Ok(()) };
            prop_assert!(path.to_ascii_lowercase().starts_with(&format!("{}{MARKER}", parsed.group)), "{path}");
            prop_assert!(upstreams.named(parsed.upstream.as_str()).is_some());
            prop_assert!(namespace.is_none_or(|name| parsed.upstream.as_str() == name));
            let repository = parsed.repository.as_str();
            let (_, rest) = split_at_marker(&path).unwrap_or_default();
            let image = image_in(rest);
            prop_assert!(image.ends_with(repository.strip_prefix("library/").unwrap_or(repository)), "{path}");
            prop_assert!(!parsed.upstream.is_docker_hub() || !parsed.repository.is_single_part());
            let end = match &parsed.target {
                Target::Manifest(reference) => format!("/manifests/{reference}"),
                Target::Blob(digest) => format!("/blobs/{digest}"),
                Target::Tags => "/tags/list".to_owned(),
                Target::Referrers(digest) => format!("/referrers/{digest}"),
            };
            prop_assert!(path.ends_with(&end), "{path}");
            let named = NamedImage::find(&path, None, &upstreams);
            prop_assert_eq!(named.group, Some(parsed.group));
        }

        #[test]
        fn an_image_is_named_as_it_was_written(
            registry in "(quay\\.io/)?", path in "[a-z0-9]{1,5}(/[a-z0-9]{1,5}){1,3}",
            reference in "(:[a-z0-9]{1,9}|@sha256:[0-9a-f]{64})?", any_text in "\\PC*",
        ) {
            let _refused_or_not = ImageName::parse(&any_text, &Upstreams::default());
            let upstreams = upstreams(&["docker.io"]);
            let Ok(name) = ImageName::parse(&format!("{registry}{path}{reference}"), &upstreams) else {
                return Err(TestCaseError::fail("a valid name is refused"));
            };
            let expected = if registry.is_empty() { "docker.io" } else { "quay.io" };
            prop_assert_eq!((name.upstream.as_str(), name.repository.as_str()), (expected, path.as_str()));
            let written = reference.get(1..).filter(|text| !text.is_empty()).unwrap_or("latest");
            prop_assert_eq!(name.reference.to_string(), written);
        }
    }
}
