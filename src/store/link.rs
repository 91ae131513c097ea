//! Links of groups to content, and entries of tags, as the index keeps them.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::digest::Digest;
use crate::domain::download::Expected;
use crate::domain::manifest::Named;

/// A group's link to some content of an origin: *referenced* by a manifest, or *granted* because upstream served
/// the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Length of the content in bytes: as upstream sent it if the link is granted, else as a manifest claims it.
    pub size: Option<u64>,
    /// The right that the link gives. Stored as `true` for a granted link.
    #[serde(rename = "proven")]
    pub state: LinkState,
}

/// The right that a link gives to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "bool", into = "bool")]
pub enum LinkState {
    /// A manifest of the group names the content. The group may request it from upstream, but may not read bytes that
    /// were stored for others.
    Referenced,
    /// Upstream was seen to serve the content to this origin's account. The group may read the stored bytes.
    Granted,
}

/// The content that a tag referred to when upstream was last requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagEntry {
    /// The digest of the manifest.
    pub digest: Digest,
    /// The time when upstream last confirmed it.
    pub checked_at: Timestamp,
    /// True if upstream has refused the repository to this account since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub denied: bool,
}

impl From<bool> for LinkState {
    fn from(granted: bool) -> Self {
        if granted { Self::Granted } else { Self::Referenced }
    }
}

impl From<LinkState> for bool {
    fn from(state: LinkState) -> Self {
        state == LinkState::Granted
    }
}

impl Link {
    /// Creates a granted link to content of this length in bytes, as upstream sent it.
    pub const fn granted(size: Option<u64>) -> Self {
        Self { size, state: LinkState::Granted }
    }

    /// Creates a link to content that a manifest names with this length in bytes.
    pub const fn referenced(size: Option<u64>) -> Self {
        Self { size, state: LinkState::Referenced }
    }

    /// Returns true if the group may read the stored bytes.
    pub fn is_granted(self) -> bool {
        self.state == LinkState::Granted
    }

    /// Returns the expected length of the content: verified if the link is granted, else claimed.
    pub fn expected(self) -> Expected {
        if self.is_granted() {
            Expected { verified: self.size, claimed: None }
        } else {
            Expected { verified: None, claimed: self.size }
        }
    }

    /// Merges two links to the same content. The size in a granted link takes precedence over a manifest's claim.
    pub(in crate::store) fn merge(self, other: &Self) -> Self {
        let (first, second) = if self.is_granted() && !other.is_granted() { (self, *other) } else { (*other, self) };
        let state = LinkState::from(self.is_granted() || other.is_granted());
        Self { size: first.size.or(second.size), state }
    }
}

/// Maximum number of referenced links per manifest, because each is a small file. No known image has as many.
/// Content beyond the maximum is treated as if no manifest referred to it: upstream decides about it.
pub const MAX_NAMES: usize = 4096;

/// Returns the link to a manifest, and referenced links to the content that it names.
pub fn links_of(manifest: Digest, link: Link, named: &Named) -> Vec<(Digest, Link)> {
    let names = named.blobs.iter().chain(&named.manifests).take(MAX_NAMES);
    let names = names.map(|named| (named.digest, Link::referenced(named.size)));
    std::iter::once((manifest, link)).chain(names).collect()
}

impl TagEntry {
    /// Returns the time since upstream confirmed the tag; `None` if upstream refuses its repository, and if that time
    /// is in the future, because the clock was changed.
    pub fn age(&self) -> Option<Duration> {
        let age = Duration::try_from(Timestamp::now().duration_since(self.checked_at)).ok();
        age.filter(|_| !self.denied)
    }

    /// Returns true if upstream confirmed the tag less than `time` ago, and does not refuse its repository.
    pub fn is_fresh(&self, time: Duration) -> bool {
        self.age().is_some_and(|age| age < time)
    }

    /// Returns true if the other entry is newer. Of two entries with the same time, a denial is the newer one.
    pub(in crate::store) fn is_before(&self, other: &Self) -> bool {
        (self.checked_at, self.denied) < (other.checked_at, other.denied)
    }

    /// Returns true if the known entry is newer, and its time is not in the future, because the clock was changed.
    pub(in crate::store) fn is_before_known(&self, known: &Self) -> bool {
        self.is_before(known) && known.checked_at <= Timestamp::now()
    }
}
