//! Progress and outcome of a download, as published to its readers.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use super::error::BlobError;
use super::upstream::BlobKey;
use crate::auth::sha256::Hasher;
use crate::domain::download::Expected;
use crate::domain::id::GroupId;
use crate::store::blobs::BlobFile;
use crate::upstream::UpstreamError;

/// Progress of a download.
#[derive(Clone, Default)]
pub(super) struct Progress {
    /// Set once upstream delivers the content and its length is known.
    pub(super) accepted: Option<Accepted>,
    /// Number of bytes, from the first, that may be sent to clients.
    pub(super) readable: u64,
    /// Upstream's last error, while upstream does not deliver.
    pub(super) refusal: Option<UpstreamError>,
    /// Set once the download has ended.
    pub(super) end: Option<End>,
}

/// Content that upstream delivers.
#[derive(Clone)]
pub(super) struct Accepted {
    /// The length of the whole blob in bytes.
    pub(super) length: u64,
    /// The file with the bytes that are readable so far.
    pub(super) file: BlobFile,
}

/// Outcome of a download, for its readers.
#[derive(Clone)]
pub(super) enum End {
    /// All bytes are readable.
    Done,
    /// The blob was committed before the download began.
    AlreadyStored,
    /// The blob will not be stored; every reader opens its own upstream stream.
    Unstored,
    /// Storing failed midway. Every reader opens its own upstream stream after the first `at` bytes, which are in
    /// the file and in `hasher`.
    Spilled {
        at: u64,
        hasher: Hasher,
    },
    Failed(BlobError),
}

/// The groups that get a link once the digest is verified.
#[derive(Clone, Default)]
pub(super) struct PendingLinks(Arc<Mutex<Vec<GroupId>>>);

impl PendingLinks {
    pub(super) fn add(&self, group: GroupId) {
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !groups.contains(&group) {
            groups.push(group);
        }
    }

    pub(super) fn take(&self) -> Vec<GroupId> {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A download to run.
pub(super) struct DownloadRequest {
    pub(super) key: BlobKey,
    pub(super) expected: Expected,
    /// Quota in bytes of the group that begins the download.
    pub(super) group_quota: Option<u64>,
    pub(super) unlinked: PendingLinks,
}
