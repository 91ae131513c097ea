//! The actor that owns the running downloads and the `HEAD` requests to upstream: at most one of each per blob, no
//! matter how many clients request it. It handles no bytes.

use std::collections::HashMap;
use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::watch;

use super::context::DownloadContext;
use super::download_task;
use super::error::BlobError;
use super::progress::{DownloadRequest, PendingLinks, Progress};
use super::request::RunningDownload;
use super::upstream::BlobKey;
use crate::actors::abort_on_panic::abort_on_panic;
use crate::actors::admission::{Share, refused};
use crate::actors::cache_status::CacheStatus;
use crate::actors::single_flight::{Join, SingleFlight};
use crate::domain::download::Expected;
use crate::domain::id::GroupId;
use crate::domain::speed::Speed;
use crate::telemetry::TraceParent;
use crate::upstream::{ContentHead, UpstreamError};

/// Owner of the running downloads and `HEAD` requests; see the module.
pub struct BlobCache {
    shared: Arc<DownloadContext>,
    downloads: HashMap<BlobKey, Running>,
    heads: SingleFlight<BlobKey, Confirmed>,
}

struct Running {
    progress: watch::Receiver<Progress>,
    unlinked: PendingLinks,
    speed: Speed,
}

/// Interval at which the progress of downloads is noted for their speed.
const SPEED_INTERVAL: Duration = Duration::from_secs(1);

impl Running {
    /// Returns true if the download has ended, or its task was lost.
    fn is_over(&self) -> bool {
        self.progress.borrow().end.is_some() || self.progress.has_changed().is_err()
    }
}

/// Outcome of a `HEAD`: success means that upstream has the blob for this account.
pub(super) type Confirmed = Result<ContentHead, UpstreamError>;

impl BlobCache {
    pub(super) fn new(shared: Arc<DownloadContext>, max_waiters: usize) -> Self {
        let heads = SingleFlight::new(max_waiters);
        Self { shared, downloads: HashMap::new(), heads }
    }

    /// Starts a download, in place of one that has ended.
    fn begin(
        &mut self,
        (key, expected): (BlobKey, Expected),
        share: Share,
        trace: Option<TraceParent>,
        me: Addr<Self>,
    ) -> Result<&Running, BlobError> {
        self.downloads.remove(&key);
        if self.downloads.len() >= self.shared.options.max_downloads.get() {
            refused("downloads");
            return Err(BlobError::Busy);
        }
        let (sender, progress) = watch::channel(Progress::default());
        let unlinked = PendingLinks::default();
        let expected = self.shared.trusted(&key, expected);
        let group_quota = (self.shared.quotas)(share.holder);
        let order = DownloadRequest { key: key.clone(), expected, group_quota, unlinked: unlinked.clone() };
        // A panic drops the sender, which is an error for all readers. The outer task reports the end in any case.
        let download = download_task::run(Arc::clone(&self.shared), order, sender);
        let download = actix_rt::spawn(TraceParent::during(trace, download));
        let ended = key.clone();
        actix_rt::spawn(async move {
            let _ = download.await;
            drop(share);
            me.do_send(DownloadEnded(ended));
        });
        metrics::gauge!("dependency_proxy_downloads_in_flight").set((self.downloads.len() + 1) as f64);
        Ok(self.downloads.entry(key).insert_entry(Running { progress, unlinked, speed: Speed::default() }).into_mut())
    }

    fn start_head(&self, key: BlobKey, group: GroupId, trace: Option<TraceParent>, me: Addr<Self>) {
        let head = self.shared.upstream.request(key.head(Some(group)));
        actix_rt::spawn(async move {
            // A separate task: a panic becomes an error, so that no caller waits forever.
            let head = actix_rt::spawn(TraceParent::during(trace, head));
            let confirmed = head.await.unwrap_or(Err(UpstreamError::Lost));
            me.do_send(BlobConfirmed(key, confirmed));
        });
    }
}

impl Actor for BlobCache {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(SPEED_INTERVAL, |cache, _| {
            let now = Instant::now();
            for running in cache.downloads.values_mut() {
                let received = running.progress.borrow().readable;
                running.speed.note(received, now);
            }
        });
    }
}

impl Drop for BlobCache {
    fn drop(&mut self) {
        abort_on_panic("blob_cache");
    }
}

/// Adds a reader to the download of a blob, which gets its progress. If none runs, begins one if `begin` is set,
/// and otherwise returns `None`.
#[derive(Message)]
#[rtype(result = "Result<Option<Joined>, BlobError>")]
pub(super) struct JoinDownload {
    pub(super) key: BlobKey,
    pub(super) expected: Expected,
    /// The group of the reader, if it has no link yet. It gets one after the download.
    pub(super) unlinked: Option<GroupId>,
    /// A permit of the group with which a download begins if none runs.
    pub(super) begin: Option<Share>,
    /// The span of the pull.
    pub(super) trace: Option<TraceParent>,
}

/// A download that was joined or begun.
pub(super) struct Joined {
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) source: CacheStatus,
}

impl Handler<JoinDownload> for BlobCache {
    type Result = Result<Option<Joined>, BlobError>;

    fn handle(&mut self, message: JoinDownload, ctx: &mut Self::Context) -> Self::Result {
        let JoinDownload { key, expected, unlinked, begin, trace } = message;
        // A download that has ended is not reused: after a failure a new one may succeed.
        let joined = self.downloads.get(&key).is_some_and(|download| !download.is_over());
        let (running, source) = match joined {
            true => (&self.downloads[&key], CacheStatus::Coalesced),
            false => match begin {
                Some(share) => (self.begin((key, expected), share, trace, ctx.address())?, CacheStatus::Miss),
                None => return Ok(None),
            },
        };
        if let Some(group) = unlinked {
            running.unlinked.add(group);
        }
        Ok(Some(Joined { progress: running.progress.clone(), source }))
    }
}

/// Reports that a download has ended, with any outcome.
#[derive(Message)]
#[rtype(result = "()")]
struct DownloadEnded(BlobKey);

impl Handler<DownloadEnded> for BlobCache {
    type Result = ();

    fn handle(&mut self, DownloadEnded(key): DownloadEnded, _: &mut Self::Context) {
        // A new download of the blob may have replaced it already.
        if self.downloads.get(&key).is_some_and(Running::is_over) {
            self.downloads.remove(&key);
        }
        metrics::gauge!("dependency_proxy_downloads_in_flight").set(self.downloads.len() as f64);
    }
}

/// Requests the downloads that are under way.
#[derive(Message)]
#[rtype(result = "Vec<RunningDownload>")]
pub(super) struct ListDownloads;

impl Handler<ListDownloads> for BlobCache {
    type Result = MessageResult<ListDownloads>;

    fn handle(&mut self, _: ListDownloads, _: &mut Self::Context) -> Self::Result {
        let now = Instant::now();
        let running = self.downloads.iter().filter(|(_, running)| !running.is_over()).map(|(key, running)| {
            let progress = running.progress.borrow();
            RunningDownload {
                origin: key.origin.clone(),
                digest: key.digest,
                received: progress.readable,
                length: progress.accepted.as_ref().map(|accepted| accepted.length),
                bytes_per_second: running.speed.per_second(progress.readable, now),
            }
        });
        MessageResult(running.collect())
    }
}

/// Sends a `HEAD` for a blob to upstream, or waits for the one that is under way.
#[derive(Message)]
#[rtype(result = "Confirmed")]
pub(super) struct ConfirmBlob {
    /// The group for which it is sent.
    pub(super) group: GroupId,
    pub(super) key: BlobKey,
    /// The outcome of a `HEAD` that was completed after this time is reused: the caller found no link before it.
    pub(super) since: Instant,
    /// Time before that at which a successful `HEAD` may have been completed.
    pub(super) max_age: Duration,
    /// The span of the pull.
    pub(super) trace: Option<TraceParent>,
}

impl Handler<ConfirmBlob> for BlobCache {
    type Result = ResponseFuture<Confirmed>;

    fn handle(
        &mut self,
        ConfirmBlob { group, key, since, max_age, trace }: ConfirmBlob,
        ctx: &mut Self::Context,
    ) -> Self::Result {
        let is_recent = |completed_at: Instant, confirmed: &Confirmed| {
            since < completed_at + if confirmed.is_ok() { max_age } else { Duration::ZERO }
        };
        let confirmed = match self.heads.join_or_reuse(&key, is_recent) {
            Join::First(confirmed) => {
                self.start_head(key, group, trace, ctx.address());
                confirmed
            }
            Join::Coalesced(confirmed) => confirmed,
            Join::Full => {
                refused("blob_heads");
                return Box::pin(ready(Err(UpstreamError::Busy)));
            }
        };
        Box::pin(async move { confirmed.await.unwrap_or(Err(UpstreamError::Lost)) })
    }
}

/// Reports the outcome of a `HEAD`.
#[derive(Message)]
#[rtype(result = "()")]
struct BlobConfirmed(BlobKey, Confirmed);

impl Handler<BlobConfirmed> for BlobCache {
    type Result = ();

    fn handle(&mut self, BlobConfirmed(key, confirmed): BlobConfirmed, _: &mut Self::Context) {
        self.heads.complete(&key, &confirmed);
    }
}
