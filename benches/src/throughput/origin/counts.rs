//! Counters of the origin's requests, by kind.

use std::ops::Sub;
use std::sync::atomic::{AtomicU64, Ordering};

/// Kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// `GET` of a manifest.
    ManifestGet,
    /// `HEAD` of a manifest.
    ManifestHead,
    /// `GET` of a blob, whole or a range.
    BlobGet,
    /// `HEAD` of a blob.
    BlobHead,
    /// Anything else, such as `/v2/`.
    Other,
}

impl RequestKind {
    /// Returns the kind of this request.
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

/// Numbers of requests by kind, and of bytes of bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Numbers of requests, in the order of [`RequestKind`].
    requests: [u64; 5],
    /// Bytes of bodies that were passed to the kernel.
    pub bytes: u64,
}

impl Counts {
    /// Returns the number of requests of this kind.
    pub fn of(&self, asked: RequestKind) -> u64 {
        self.requests[asked as usize]
    }

    /// Returns the numbers of requests by the names of their kinds.
    pub fn by_kind(&self) -> [(&'static str, u64); 5] {
        let names = ["manifest GET", "manifest HEAD", "blob GET", "blob HEAD", "other"];
        std::array::from_fn(|kind| (names[kind], self.requests[kind]))
    }

    /// Returns the number of all requests.
    pub fn all(&self) -> u64 {
        self.requests.iter().sum()
    }
}

impl Sub for Counts {
    type Output = Self;

    /// Returns the difference since `earlier`.
    fn sub(self, earlier: Self) -> Self {
        let requests = std::array::from_fn(|kind| self.requests[kind] - earlier.requests[kind]);
        Self { requests, bytes: self.bytes - earlier.bytes }
    }
}

/// The counters.
#[derive(Debug, Default)]
pub(super) struct Counters {
    requests: [AtomicU64; 5],
    bytes: AtomicU64,
}

impl Counters {
    pub(super) fn asked(&self, asked: RequestKind) {
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
