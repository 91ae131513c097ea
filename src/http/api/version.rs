//! `/version` and `/metadata` (<https://docs.gitlab.com/api/version/>, <https://docs.gitlab.com/api/metadata/>), which
//! GitLab's clients call first: some of them decide by the version which calls they may make.

use schemars::JsonSchema;
use serde::Serialize;

use super::caller::AnyScope;
use super::error::ApiError;
use super::response::{Body, Found};

/// The version of GitLab whose calls this API follows. GitLab's own versions end in `-ee` or `-ce` here.
const GITLAB_VERSION: &str = "18.0.0-dependency-proxy";

/// The version of GitLab whose API this is like, and the version of this service.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Version")]
pub(super) struct VersionView {
    version: &'static str,
    /// The version of this service.
    revision: &'static str,
}

/// The version, with the parts of GitLab that this service does not have.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Metadata")]
pub(super) struct MetadataView {
    #[serde(flatten)]
    version: VersionView,
    kas: Kas,
    enterprise: bool,
}

/// GitLab's server for Kubernetes, which this service does not have.
#[derive(Serialize, JsonSchema)]
struct Kas {
    enabled: bool,
    #[serde(rename = "externalUrl")]
    external_url: (),
    version: (),
}

/// Handles `GET /version`.
pub(super) async fn show(_: AnyScope) -> Result<Found<VersionView>, ApiError> {
    Ok(Body(version()))
}

/// Handles `GET /metadata`.
pub(super) async fn metadata(_: AnyScope) -> Result<Found<MetadataView>, ApiError> {
    let kas = Kas { enabled: false, external_url: (), version: () };
    Ok(Body(MetadataView { version: version(), kas, enterprise: false }))
}

fn version() -> VersionView {
    VersionView { version: GITLAB_VERSION, revision: env!("CARGO_PKG_VERSION") }
}
