//! The upstream of an image, and the image's repository there.

use super::error::ImagePathError;
use crate::domain::repository::{Repository, UpstreamName};
use crate::domain::upstream::Upstreams;

/// Checks that this service has an upstream: names of cached images are of others, too, that it had before.
///
/// # Errors
/// Fails if it is not configured.
pub fn check_upstream(upstream: &UpstreamName, upstreams: &Upstreams) -> Result<(), ImagePathError> {
    let unknown = || ImagePathError::UnknownUpstream { registry: upstream.to_string(), configured: list(upstreams) };
    upstreams.named(upstream.as_str()).map(drop).ok_or_else(unknown)
}

/// Returns the upstream of an image, and the image's repository there.
pub(super) fn locate(
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
