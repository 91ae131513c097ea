//! Requests that the UpstreamFetcher takes: one type for each kind, with the rules of its kind.
//!
//! | request | permit | failures are counted for | if its upstream has just failed |
//! |---|---|---|---|
//! | [`HeadManifest`] | short | manifests | not sent while a stale manifest can be served; else as the next |
//! | [`GetManifest`] | short | manifests | not sent after several failures in a row |
//! | [`HeadBlob`] | short | blobs | not sent after several failures in a row |
//! | [`GetBlob`] | content | blobs | from the first byte: as the last; to continue a download: sent |
//! | [`GetBlobRange`] | range | blobs | the first one of a response: as the last; later ones: sent |
//! | [`TryAccount`] | short | manifests | not sent after several failures in a row |
//! | [`ListTags`], [`ListReferrers`] | short | lists | not sent after several failures in a row |

mod accounts;
mod blobs;
mod lists;
mod manifests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub use self::accounts::TryAccount;
pub use self::blobs::{GetBlob, GetBlobRange, HeadBlob};
pub use self::lists::{ListReferrers, ListTags};
pub use self::manifests::{GetManifest, HeadManifest};

use super::permits::{Pool, UpstreamPermit};
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::upstream::{Registry, UpstreamError};

/// A request to an upstream registry.
pub trait UpstreamRequest: Clone + Send + 'static {
    /// The result of a successful request.
    type Response: Send + 'static;

    /// Name of its spans in traces.
    const NAME: &'static str;

    /// The permits of which it needs one.
    const POOL: Pool;

    /// The kind of content. Each kind has its own backoffs: many registries keep blobs in a storage service that fails
    /// by itself, and do not support some lists.
    const KIND: ContentKind;

    /// Returns the upstream, account and repository.
    fn origin(&self) -> &Origin;

    /// Sends the request.
    fn send(self, registry: Arc<Registry>) -> impl Future<Output = Result<Self::Response, UpstreamError>>;

    /// Returns the group for which it is sent, where one is known: groups take turns while upstream's limit is reached.
    fn group(&self) -> Option<GroupId> {
        None
    }

    /// Returns true if upstreams count the request as a pull, as Docker Hub does with the `GET` of a manifest.
    fn is_pull(&self) -> bool {
        false
    }

    /// Returns true if the request waits, for a bounded time, while upstream's limit is reached.
    fn is_held(&self) -> bool {
        self.urgency() != Urgency::Optional
    }

    /// Returns how much depends on the request.
    fn urgency(&self) -> Urgency {
        Urgency::Awaited
    }

    /// Returns the maximum time, from now on, and the outcome after that time, if it was sent. `None` where the wait
    /// for a permit and the timeouts of the registry's client bound it.
    fn timeout(&self) -> Option<(Duration, Result<Self::Response, UpstreamError>)> {
        None
    }

    /// Returns false for the response of a mirror after which upstream's own registry is requested, too.
    fn is_conclusive(_response: &Self::Response) -> bool {
        true
    }

    /// Returns the length of the content that a response announces, in bytes.
    fn length(_response: &Self::Response) -> Option<u64> {
        None
    }

    /// Returns what the outcome shows about upstream.
    fn verdict(outcome: &Result<Self::Response, UpstreamError>) -> Verdict {
        outcome.as_ref().err().cloned().map_or(Verdict::Works, Verdict::Failed)
    }

    /// Returns the response, which keeps the permit for as long as it is in use.
    fn holding(response: Self::Response, permit: UpstreamPermit) -> Self::Response {
        drop(permit);
        response
    }
}

/// Kind of content, with backoffs of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentKind {
    /// Manifests and indexes.
    Manifests,
    /// Blobs.
    Blobs,
    /// Lists of tags and referrers.
    Lists,
}

impl ContentKind {
    /// All kinds.
    pub(super) const ALL: [Self; 3] = [Self::Manifests, Self::Blobs, Self::Lists];

    /// Returns its name among replicas.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Manifests => "manifests",
            Self::Blobs => "blobs",
            Self::Lists => "lists",
        }
    }

    /// Returns the kind with this name.
    pub(super) fn of_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.label() == label)
    }
}

/// Importance of a request: the consequence if it is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// There is a stale copy that can be served instead.
    Optional,
    /// A client waits for it.
    Awaited,
    /// Clients have a part of the response already.
    Continuing,
}

/// Conclusion about an upstream, from the outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Upstream works.
    Works,
    /// The request failed. The error decides what that counts against.
    Failed(UpstreamError),
    /// Nothing follows: another request decides.
    Open,
    /// A `HEAD` took too long. Perhaps only a `HEAD` hangs, and only in this repository.
    SlowHead,
    /// The caller reports the end of it with [`UpstreamHandle::report`](super::UpstreamHandle::report).
    Reported,
}
