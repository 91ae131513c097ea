//! What the origin was asked, counted by kind.

use std::ops::Sub;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// `GET` of a manifest.
    ManifestGet,
    /// `HEAD` of a manifest.
    ManifestHead,
    /// `GET` of a blob or a part of it.
    BlobGet,
    /// `HEAD` of a blob.
    BlobHead,
    /// Anything else, such as `/v2/`.
    Other,
}

impl Asked {
    /// What this request is for.
    pub fn of(method: &str, path: &str) -> Self {
        match (path.contains("/manifests/"), path.contains("/blobs/"), method) {
            (true, _, "HEAD") => Self::ManifestHead,
            (true, _, _) => Self::ManifestGet,
            (_, true, "HEAD") => Self::BlobHead,
            (_, true, _) => Self::BlobGet,
            (false, false, _) => Self::Other,
        }
    }
}

/// So many requests of each kind, and the bytes of bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By the order of [`Asked`].
    requests: [u64; 5],
    /// Bytes of bodies that were handed to the kernel.
    pub bytes: u64,
}

impl Counts {
    /// Requests of this kind.
    pub fn of(&self, asked: Asked) -> u64 {
        self.requests[asked as usize]
    }

    /// Requests of each kind, by its name.
    pub fn by_kind(&self) -> [(&'static str, u64); 5] {
        let names = ["manifest GET", "manifest HEAD", "blob GET", "blob HEAD", "other"];
        std::array::from_fn(|kind| (names[kind], self.requests[kind]))
    }

    /// Requests of all kinds.
    pub fn all(&self) -> u64 {
        self.requests.iter().sum()
    }
}

impl Sub for Counts {
    type Output = Self;

    /// What was counted since `earlier`.
    fn sub(self, earlier: Self) -> Self {
        let requests = std::array::from_fn(|kind| self.requests[kind] - earlier.requests[kind]);
        Self { requests, bytes: self.bytes - earlier.bytes }
    }
}

/// The counters themselves.
#[derive(Debug, Default)]
pub(super) struct Counters {
    requests: [AtomicU64; 5],
    bytes: AtomicU64,
}

impl Counters {
    pub(super) fn asked(&self, asked: Asked) {
        self.requests[asked as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> Counts {
        let requests = std::array::from_fn(|kind| self.requests[kind].load(Ordering::Relaxed));
        Counts { requests, bytes: self.bytes.load(Ordering::Relaxed) }
    }
}
