//! Groups and their paths. [`policy`](super::policy) decides who may use a group.

mod path;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::path::{GroupPath, GroupPathError};
use super::id::GroupId;
use super::repository::UpstreamName;
use super::upstream_account::UpstreamAccount;

/// A group, usually a team: it pulls images, and sees only content that upstream served to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The number of the group, never reused. Links in the cache belong to it.
    pub id: GroupId,
    /// The display name.
    pub name: String,
    /// The full path: the path of the parent group and the group's own last part.
    pub path: GroupPath,
    /// The description, written by an owner.
    pub description: String,
    /// The parent group; `None` for a top-level group.
    pub parent: Option<GroupId>,
    /// The visibility to users who are not members.
    pub visibility: Visibility,
    /// The switch of the dependency proxy; `None`: as in the parent group, and on for a top-level group.
    pub proxy_enabled: Option<bool>,
    /// The creation time.
    pub created_at: Timestamp,
    /// Limits of what the group caches.
    #[serde(default, skip_serializing_if = "GroupCacheLimits::are_none")]
    pub cache: GroupCacheLimits,
    /// Its own accounts at upstreams, which groups below it use, too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub upstream_accounts: BTreeMap<UpstreamName, UpstreamAccount>,
}

/// Limits of what a group caches, and for how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupCacheLimits {
    /// Maximum size in bytes; `None`: no maximum but that of the whole store.
    pub max_bytes: Option<u64>,
    /// Number of days after its last pull after which an image is removed; 0: never; `None`: as in the parent group,
    /// and for a top-level group as in the settings.
    pub unpulled_days: Option<u32>,
    /// Time to live of all tags that the group pulls, in seconds; 0: they are revalidated at every pull; `None`: as in
    /// the parent group, and for a top-level group as in the settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_freshness_seconds: Option<u32>,
}

impl Group {
    /// Returns true if the group has chosen something for its pulls and those of groups below it; see
    /// [`GroupChoices`](super::group_choices::GroupChoices).
    pub fn has_choices(&self) -> bool {
        !self.upstream_accounts.is_empty() || self.cache.tag_freshness_seconds.is_some()
    }
}

impl GroupCacheLimits {
    fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

/// The visibility of a group to users who are not members. Ordered: each value is visible to more users than the ones
/// before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Only members can see the group.
    Private,
    /// The same as [`Private`](Self::Private) in this service.
    Internal,
    /// The users that the setting `auth.public_groups` names can pull from the group.
    Public,
}

impl Visibility {
    /// Returns the name in the REST API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Internal => "internal",
            Self::Public => "public",
        }
    }
}

impl fmt::Display for Visibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
