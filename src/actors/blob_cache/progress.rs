//! How far a download is, as those who follow it see it.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use super::error::BlobError;
use super::ports::Key;
use crate::auth::sha256::Hasher;
use crate::domain::download::Expected;
use crate::domain::id::GroupId;
use crate::store::blobs::BlobFile;
use crate::upstream::UpstreamError;

/// How far a download is.
#[derive(Clone, Default)]
pub(super) struct Progress {
    /// Set once upstream delivers content that can be given out.
    pub(super) accepted: Option<Accepted>,
    /// How many bytes, from the first on, may be given out.
    pub(super) readable: u64,
    /// Why upstream does not deliver at the moment.
    pub(super) refusal: Option<UpstreamError>,
    /// Set once nothing more changes.
    pub(super) end: Option<End>,
}

/// Content that upstream delivers.
#[derive(Clone)]
pub(super) struct Accepted {
    pub(super) length: u64,
    /// Where its bytes are, as far as they are readable.
    pub(super) file: BlobFile,
}

/// How a download ended, for those who follow it.
#[derive(Clone)]
pub(super) enum End {
    /// Everything is readable.
    Done,
    /// There was nothing to do: the blob is committed.
    AlreadyStored,
    /// It is not to be stored: each on its own.
    Unstored,
    /// Each on its own after these bytes, which are in the file and in this hash.
    Spilled {
        at: u64,
        hasher: Hasher,
    },
    Failed(BlobError),
}

/// The groups that get a link once the digest holds.
#[derive(Clone, Default)]
pub(super) struct Unlinked(Arc<Mutex<Vec<GroupId>>>);

impl Unlinked {
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

/// What a download is to bring.
pub(super) struct Order {
    pub(super) key: Key,
    pub(super) expected: Expected,
    pub(super) unlinked: Unlinked,
}
