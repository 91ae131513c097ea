//! The image that a check requests: the given one as a pull would resolve it, or a default.

use super::UpstreamCheckError;
use crate::domain::image_path::{ImagePath, Target};
use crate::domain::reference::Reference;
use crate::domain::repository::{Repository, UpstreamName};
use crate::settings::Settings;

/// Returns the repository under the upstream's own name, as a pull would resolve it.
pub(super) fn resolved(
    settings: &Settings,
    name: &str,
    path: &str,
    reference: &Reference,
) -> Result<(Repository, Reference), UpstreamCheckError> {
    let path = format!("any/dependency_proxy/containers/{path}/manifests/{reference}");
    let path = ImagePath::parse(&path, Some(name), &settings.pull_rules());
    match path.map_err(|error| UpstreamCheckError::Image(error.to_string()))? {
        ImagePath { repository, target: Target::Manifest(reference), .. } => Ok((repository, reference)),
        ImagePath { .. } => Err(UpstreamCheckError::Image("the image names no manifest".to_owned())),
    }
}

/// Returns the image that is requested if none is given: one for which an account is configured, or else a public
/// one.
pub fn default_image(settings: &Settings, name: &str) -> Option<String> {
    let configured = settings.upstreams.iter().find(|known| known.name.as_str() == name)?;
    let mut images = configured.accounts.iter().flat_map(|account| &account.images);
    let own = images.find_map(|pattern| pattern.repository().map(str::to_owned));
    own.or_else(|| shipped(&configured.name).map(str::to_owned))
}

fn shipped(name: &UpstreamName) -> Option<&'static str> {
    Some(match name.as_str() {
        "docker.io" => "library/alpine:latest",
        "quay.io" => "prometheus/busybox:latest",
        "registry.k8s.io" => "pause:3.9",
        "mcr.microsoft.com" => "hello-world:latest",
        "public.ecr.aws" => "docker/library/alpine:latest",
        "gcr.io" => "distroless/static:latest",
        _ => return None,
    })
}
