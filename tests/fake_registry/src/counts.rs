//! The requests so far, and their numbers: what tests assert on, and what benches report. Requests are kept until they
//! are reset.

use std::ops::{Deref, Sub};

use crate::requests::{Kind, Listener, Request};

/// The requests since the start or the last reset, oldest first, as a slice.
///
/// Requests that were refused for want of a token or signature are included. Of the counts, only
/// [`Requests::total`], [`Requests::at`] and [`Requests::refusals`] include them.
#[derive(Debug, Clone)]
pub struct Requests(pub(super) Vec<Request>);

impl Requests {
    /// Counts all requests.
    pub fn total(&self) -> usize {
        self.0.len()
    }

    /// Counts the requests at this listener.
    pub fn at(&self, listener: Listener) -> usize {
        self.0.iter().filter(|request| request.listener == listener).count()
    }

    /// Counts the requests without a valid token (at the storage: signature), with which each login begins.
    pub fn refusals(&self) -> usize {
        self.0.iter().filter(|request| request.refused).count()
    }

    /// Counts the requests of this kind.
    pub fn of(&self, kind: Kind) -> usize {
        self.0.iter().filter(|request| request.kind == kind && !request.refused).count()
    }

    /// Counts the requests for tokens.
    pub fn token_requests(&self) -> usize {
        self.of(Kind::Token)
    }

    /// Counts the `GET`s of this manifest by exactly this tag or digest.
    pub fn manifest_gets(&self, repository: &str, reference: &str) -> usize {
        self.named(&[Kind::ManifestGet], repository, reference)
    }

    /// Counts the `HEAD`s of this manifest by exactly this tag or digest.
    pub fn manifest_heads(&self, repository: &str, reference: &str) -> usize {
        self.named(&[Kind::ManifestHead], repository, reference)
    }

    /// Counts the `GET`s of this blob at the registry, redirected or served.
    pub fn blob_gets(&self, repository: &str, digest: &str) -> usize {
        self.named(&[Kind::BlobRedirect, Kind::BlobDownload], repository, digest)
    }

    /// Counts the `HEAD`s of this blob at the registry.
    pub fn blob_heads(&self, repository: &str, digest: &str) -> usize {
        self.named(&[Kind::BlobHead], repository, digest)
    }

    /// Counts the `GET`s of this blob's bytes, at the storage or at a registry that serves blobs itself.
    pub fn blob_downloads(&self, digest: &str) -> usize {
        let matches = |request: &&Request| {
            request.kind == Kind::BlobDownload && request.reference.as_deref() == Some(digest) && !request.refused
        };
        self.0.iter().filter(matches).count()
    }

    fn named(&self, kinds: &[Kind], repository: &str, reference: &str) -> usize {
        let matches = |request: &&Request| {
            kinds.contains(&request.kind)
                && request.repository.as_deref() == Some(repository)
                && request.reference.as_deref() == Some(reference)
                && !request.refused
        };
        self.0.iter().filter(matches).count()
    }
}

impl Deref for Requests {
    type Target = [Request];

    fn deref(&self) -> &[Request] {
        &self.0
    }
}

/// Numbers of requests by kind, including those that were refused for want of a token or signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([u64; Kind::ALL.len()]);

impl Counts {
    pub(super) fn of_all(requests: &[Request]) -> Self {
        let mut counts = Self::default();
        requests.iter().for_each(|request| counts.0[request.kind as usize] += 1);
        counts
    }

    /// Returns the number of requests of this kind.
    pub fn of(&self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }

    /// Returns the number of all requests.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Returns the numbers of all kinds.
    pub fn by_kind(&self) -> impl Iterator<Item = (Kind, u64)> {
        Kind::ALL.into_iter().zip(self.0)
    }
}

impl Sub for Counts {
    type Output = Self;

    /// Returns the numbers of requests since `earlier`.
    fn sub(self, earlier: Self) -> Self {
        Self(std::array::from_fn(|kind| self.0[kind] - earlier.0[kind]))
    }
}
