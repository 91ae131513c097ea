//! Results of operations on cached content, as its store and the engines behind it return them.

use std::path::PathBuf;

use super::images::Removal;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;

/// Amount of cached content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Number of tags that were pulled, counted once for each group.
    pub tags: usize,
    /// Number of bytes of the manifests and blobs that upstream served, each content counted once.
    pub bytes: u64,
}

/// Content that was evicted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Number of files.
    pub files: usize,
    /// Their length in bytes.
    pub bytes: u64,
    /// Number of other files that had a record and were gone.
    pub gone: usize,
    /// The error of a file that could not be removed, if there was one. The others were removed all the same.
    pub failure: Option<String>,
}

/// A removal of images that is recorded.
#[derive(Clone, Debug)]
pub struct StartedRemoval {
    /// The group.
    pub group: GroupId,
    /// The file that records the removal.
    pub(in crate::store) note: PathBuf,
    pub(in crate::store) removal: Removal,
}

/// Links that were removed from a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovedLinks {
    /// Their number.
    pub links: usize,
    /// Digests that no group can read any more.
    pub orphans: Vec<Digest>,
}
