//! Images that groups have cached, as lists show them, and the requests for such lists.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::digest::Digest;
use crate::domain::id::{CredentialId, GroupId};
use crate::domain::origin::Origin;
use crate::domain::platform::Platform;
use crate::domain::pull_record::{Day, PullRecord};
use crate::domain::reference::{Reference, Tag};
use crate::domain::repository::{Repository, UpstreamName};

/// Key of an image that a group has pulled: by a tag, or by a digest that no other image of the group named.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageKey {
    /// The group.
    pub group: GroupId,
    /// The upstream, account and repository of the image.
    pub origin: Origin,
    /// The tag or digest by which the group pulled it.
    pub reference: Reference,
}

/// An image that a group has pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedImage {
    /// The group, the origin and the tag or digest.
    pub key: ImageKey,
    /// The digest of its manifest or index.
    pub digest: Digest,
    /// The platforms of its stored manifests, in alphabetical order.
    pub platforms: Vec<Platform>,
    /// Number of bytes that are stored of it, of all platforms together.
    pub size: u64,
    /// Content that it names and that is not stored, of those of its platforms whose manifest is stored.
    pub absent: Vec<Digest>,
    /// True if a client can pull it, for one platform at least, while upstream is down. False for an image that
    /// [names more](Self::names_more).
    pub is_complete: bool,
    /// True if its manifests are too long, or name too much, for all that they name to be looked for.
    pub names_more: bool,
    /// Time since which the tag stands for this digest here.
    pub cached_at: Timestamp,
    /// Time of the last pull, to the minute.
    pub last_pulled_at: Timestamp,
    /// Number of pulls. Those of one credential within a minute count as one.
    pub pulls: u64,
    /// True if it is neither evicted nor removed for its age.
    pub pinned: bool,
    /// Time at which upstream last confirmed the tag; `None` for a digest.
    pub checked_at: Option<Timestamp>,
}

/// Request for a part of the list of a group's images.
#[derive(Clone, Debug, Default)]
pub struct ImageQuery {
    /// Only images whose name, tag or digest contains this text.
    pub search: Option<String>,
    /// Only images that are pinned, or that are not.
    pub pinned: Option<bool>,
    /// Only images of this state.
    pub only: Option<Only>,
    /// Only images of this repository, with whatever account they were pulled; not together with a state.
    pub repository: Option<(UpstreamName, Repository)>,
    /// The order of the list.
    pub order: ImageOrder,
    /// True for the reverse order.
    pub descending: bool,
    /// Number of images to skip.
    pub skip: usize,
    /// Maximum number of images to return.
    pub limit: usize,
}

/// Selection of images by their state in the caches in memory, or by the time of their last pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Only {
    /// Complete images that are not pinned and that nobody has pulled since this time.
    UnpulledSince(Timestamp),
    /// Complete images of these tags. Those that are not pinned count only if somebody has pulled them since then.
    Tags {
        /// The tags.
        tags: Vec<(Origin, Tag)>,
        /// The time; `None`: whenever they were pulled.
        pulled_since: Option<Timestamp>,
    },
    /// Images that lack content of these, which is being downloaded.
    Lacking(Vec<(Origin, Digest)>),
}

impl Only {
    /// Returns the selection of no image.
    pub fn nothing() -> Self {
        Self::Lacking(Vec::new())
    }

    /// Returns true if no image of any group can be one of these.
    pub fn is_none(&self) -> bool {
        match self {
            Self::UnpulledSince(_) => false,
            Self::Tags { tags, .. } => tags.is_empty(),
            Self::Lacking(content) => content.is_empty(),
        }
    }
}

/// Order of a list of images. The first reads no more than is returned, and lists of pinned images no others. The order
/// by size is that of some time ago in a group with very many images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageOrder {
    /// By registry, repository, and tag or digest.
    #[default]
    Name,
    /// By the number of stored bytes.
    Size,
    /// By the time since which the tag stands for its digest.
    CachedAt,
    /// By the time of the last pull.
    LastPulledAt,
    /// By the number of pulls.
    Pulls,
}

/// Part of a list of images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImagePage {
    /// The images.
    pub images: Vec<CachedImage>,
    /// Number of images in the whole list.
    pub total: usize,
}

/// Pulls of an image that are not in the index yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulls {
    /// Their number.
    pub count: u64,
    /// Time of the last one.
    pub last: Timestamp,
}

impl Pulls {
    /// Adds other pulls of the image.
    pub fn add(&mut self, others: Self) {
        self.count = self.count.saturating_add(others.count);
        self.last = self.last.max(others.last);
    }
}

/// Key of a record of pulls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PullKey {
    /// The day.
    pub day: Day,
    /// The group.
    pub group: GroupId,
    /// The upstream registry.
    pub upstream: UpstreamName,
    /// The repository.
    pub repository: Repository,
    /// The tag or digest that was requested.
    pub reference: Reference,
    /// The credential; `None` for all callers without one together.
    pub credential: Option<CredentialId>,
}

/// Request for a part of the records of who pulled an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullsQuery {
    /// The group.
    pub group: GroupId,
    /// The upstream registry.
    pub upstream: UpstreamName,
    /// The repository.
    pub repository: Repository,
    /// The tag or digest that was requested.
    pub reference: Reference,
    /// The first day.
    pub first: Day,
    /// The last day.
    pub last: Day,
    /// Number of records to skip.
    pub skip: usize,
    /// Maximum number of records to return.
    pub limit: usize,
}

/// Part of the records of who pulled an image, the latest day first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImagePulls {
    /// The records, each with its day and credential.
    pub records: Vec<(Day, Option<CredentialId>, PullRecord)>,
    /// Number of records in the whole list.
    pub total: usize,
    /// The first of the wanted days of which records of any image are kept; `None`: of none.
    pub since: Option<Day>,
}

/// Amount of content that one group has cached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupTotals {
    /// Bytes of stored content to which the group has a granted link, each digest once.
    pub bytes: u64,
    /// Number of such blobs.
    pub blobs: u64,
    /// Number of such manifests.
    pub manifests: u64,
    /// Number of images.
    pub images: u64,
}

/// Totals of all groups, as far as they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownTotals {
    /// All groups that have any.
    All(HashMap<GroupId, GroupTotals>),
    /// They are still being counted after a start.
    NotYet,
    /// They are unknown until a restart, because the index is damaged.
    Damaged,
}

impl KnownTotals {
    /// Returns the totals of a group; `None` if they are not known.
    pub fn of(&self, group: GroupId) -> Option<GroupTotals> {
        match self {
            Self::All(all) => Some(all.get(&group).copied().unwrap_or_default()),
            Self::NotYet | Self::Damaged => None,
        }
    }
}

/// Parts of an image. Only what the group has pulled counts as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageParts {
    /// The media type of its manifest or index; empty if that is not stored.
    pub media_type: String,
    /// The platforms whose manifests are stored, in the order of the index; one for a manifest without an index.
    pub platforms: Vec<PlatformPart>,
    /// The other platforms that the index names.
    pub others: Vec<Platform>,
}

/// One platform of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformPart {
    /// The platform, if it is known.
    pub platform: Option<Platform>,
    /// The digest of its manifest.
    pub digest: Digest,
    /// Its layers, the lowest first.
    pub layers: Vec<LayerPart>,
}

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerPart {
    /// The digest.
    pub digest: Digest,
    /// Its length in bytes: of the file, or as the manifest claims it.
    pub size: Option<u64>,
    /// True if it is stored.
    pub is_stored: bool,
    /// The command that made it, if that is known.
    pub made_by: Option<String>,
}

/// Content of a tag before it moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// The digest.
    pub digest: Digest,
    /// Time since which the tag stood for it.
    pub cached_at: Timestamp,
}

/// Images of one origin that are being removed from a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// The origin of the images.
    pub origin: Origin,
    /// The tags and digests that are still to be removed.
    #[serde(default)]
    pub references: Vec<Reference>,
    /// Images that were pulled since this time, or are pinned, stay; `None`: all go.
    #[serde(default)]
    pub unpulled_since: Option<Timestamp>,
    /// The digests of the images and of what they name. Links to them are removed, unless another image of the group
    /// names them.
    pub digests: Vec<Digest>,
}
