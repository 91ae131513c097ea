//! Requests to the manifest cache: the pull of a caller, and the messages of the actor.

use std::time::{Duration, Instant};

use actix::prelude::*;

use super::response::{Fetched, SharedOutcome};
use crate::domain::freshness::Freshness;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::domain::repository::UpstreamName;
use crate::telemetry::TraceParent;
use crate::upstream::ManifestHead;

/// Request for a manifest on behalf of a group. The caller has checked that the group may pull.
#[derive(Clone, Debug)]
pub struct PullManifest {
    /// The group on whose behalf the manifest is pulled.
    pub group: GroupId,
    /// The upstream, account and repository of the image.
    pub origin: Origin,
    /// The tag or digest of the manifest.
    pub reference: Reference,
    /// True for a `HEAD` request.
    pub head: bool,
    /// True if a `HEAD` for what is not stored counts as a pull: many clients go on with the digest that it names.
    pub noted: bool,
    /// Freshness of the tag.
    pub freshness: Freshness,
    /// True if only upstream's decision is of use, as for a refresh: then a stored manifest makes the upstream request
    /// no less urgent.
    pub on_demand: bool,
}

/// Key under which upstream requests for a manifest are coalesced: at most one request per key is under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ManifestKey {
    pub(super) origin: Origin,
    pub(super) reference: Reference,
}

/// Has upstream confirm a manifest by a `HEAD`.
#[derive(Message)]
#[rtype(result = "SharedOutcome<ManifestHead>")]
pub(super) struct ConfirmManifest {
    pub(super) key: ManifestKey,
    /// The group for which it is requested first.
    pub(super) group: GroupId,
    /// True if the caller can serve a stale manifest instead: then the request has a shorter timeout, and is not
    /// sent at all while its upstream is in backoff.
    pub(super) revalidation: bool,
    pub(super) since: Since,
    /// The span of the pull.
    pub(super) trace: Option<TraceParent>,
}

/// Fetches, verifies and stores a manifest.
#[derive(Message)]
#[rtype(result = "SharedOutcome<Fetched>")]
pub(super) struct FetchManifest {
    pub(super) key: ManifestKey,
    /// The group whose share of memory a large manifest uses, unless another group's request is under way already.
    pub(super) group: GroupId,
    /// True if the caller can serve a stale manifest instead: then the request does not wait while upstream's limit is
    /// reached.
    pub(super) has_stale: bool,
    pub(super) since: Since,
    /// The span of the pull.
    pub(super) trace: Option<TraceParent>,
}

/// Maximum age of a shared outcome that is reused. Covers the time between upstream's response and its being stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since {
    /// Time at which the caller arrived. Outcomes that are completed after it are reused.
    pub(super) requested_at: Instant,
    /// Maximum time before that at which a successful outcome may have been completed.
    pub(super) max_age: Duration,
}

/// Reports that neither a `HEAD` nor a `GET` decided in time whether a tag of this origin has moved. Its
/// upstream goes into backoff.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct RevalidationTimedOut(pub(super) Origin);

/// Forgets negative entries and recent outcomes of these upstreams, whose addresses or accounts have changed.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ForgetUpstreams(pub(super) Vec<UpstreamName>);

/// Forgets the recent outcomes, so that they are not reused.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ForgetRecent;

impl Since {
    /// Returns true if an outcome that was completed at this time is recent enough.
    pub(super) fn covers<T>(&self, completed_at: Instant, shared: &SharedOutcome<T>) -> bool {
        let max_age = if shared.outcome.is_ok() { self.max_age } else { Duration::ZERO };
        self.requested_at < completed_at + max_age
    }
}
