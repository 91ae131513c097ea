//! The representation of a group.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::group::Group;
use crate::http::api::caller::Caller;
use crate::http::api::response::Time;

/// A group in GitLab's representation. A setting that is `null` is inherited from the group above or from the service.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Group")]
pub(in crate::http::api) struct GroupView {
    id: u64,
    web_url: String,
    name: String,
    path: String,
    description: String,
    #[schemars(extend("enum" = ["private", "internal", "public"]))]
    visibility: &'static str,
    full_name: String,
    full_path: String,
    parent_id: Option<u64>,
    avatar_url: (),
    created_at: Time,
    /// The switch of the proxy for the group; groups below inherit it.
    dependency_proxy_enabled: Option<bool>,
    /// The quota of what the group has cached.
    dependency_proxy_max_bytes: Option<u64>,
    /// The days after its last pull after which an image goes; 0: never.
    dependency_proxy_unpulled_days: Option<u32>,
    /// The time for which tags are fresh.
    dependency_proxy_tag_freshness_seconds: Option<u32>,
    #[serde(flatten)]
    without_effect: WithoutEffect,
}

/// Settings of groups in GitLab that mean nothing here, with the values that its Terraform provider assumes: it would
/// otherwise change each group again at every run.
#[derive(Serialize, JsonSchema)]
struct WithoutEffect {
    default_branch_protection: u8,
    lfs_enabled: bool,
    project_creation_level: &'static str,
    subgroup_creation_level: &'static str,
    two_factor_grace_period: u8,
}

impl WithoutEffect {
    const ASSUMED: Self = Self {
        default_branch_protection: 2,
        lfs_enabled: true,
        project_creation_level: "maintainer",
        subgroup_creation_level: "owner",
        two_factor_grace_period: 48,
    };
}

/// Returns the representation of a group for this caller.
pub(super) fn view(caller: &Caller, group: &Group) -> GroupView {
    let above = group.parent.into_iter().flat_map(|parent| caller.directory.lineage(parent));
    let mut names: Vec<&str> =
        std::iter::once(&group.name).chain(above.map(|above| &above.name)).map(String::as_str).collect();
    names.reverse();
    GroupView {
        id: group.id.0,
        web_url: format!("{}/groups/{}", caller.base_url, group.path),
        name: group.name.clone(),
        path: group.path.last_part().to_owned(),
        description: group.description.clone(),
        visibility: group.visibility.as_str(),
        full_name: names.join(" / "),
        full_path: group.path.to_string(),
        parent_id: group.parent.map(|parent| parent.0),
        avatar_url: (),
        created_at: Time(group.created_at),
        dependency_proxy_enabled: group.proxy_enabled,
        dependency_proxy_max_bytes: group.cache.max_bytes,
        dependency_proxy_unpulled_days: group.cache.unpulled_days,
        dependency_proxy_tag_freshness_seconds: group.cache.tag_freshness_seconds,
        without_effect: WithoutEffect::ASSUMED,
    }
}
