//! The actor that owns the running downloads and the questions whether upstream has a blob: one of each, whoever asks. Sees no
//! bytes.

use std::collections::HashMap;
use std::future::ready;
use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::watch;

use super::error::BlobError;
use super::flight;
use super::ports::Key;
use super::progress::{Order, Progress, Unlinked};
use super::shared::Shared;
use crate::actors::abort_on_panic::abort_on_panic;
use crate::actors::flights::{Boarding, Flights};
use crate::actors::manifests::Source;
use crate::actors::places::{Share, refused};
use crate::domain::download::Expected;
use crate::domain::id::GroupId;
use crate::upstream::{ContentHead, UpstreamError};

/// Owns the running downloads and questions.
pub struct BlobCache {
    shared: Arc<Shared>,
    downloads: HashMap<Key, Running>,
    questions: Flights<Key, Confirmed>,
}

struct Running {
    progress: watch::Receiver<Progress>,
    unlinked: Unlinked,
}

impl Running {
    fn is_over(&self) -> bool {
        self.progress.borrow().end.is_some() || self.progress.has_changed().is_err()
    }
}

pub(super) type Confirmed = Result<ContentHead, UpstreamError>;

impl BlobCache {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let questions = Flights::new(shared.options.max_waiters);
        Self { shared, downloads: HashMap::new(), questions }
    }

    fn begin(&mut self, key: Key, expected: Expected, share: Share, me: Addr<Self>) -> Result<&Running, BlobError> {
        self.downloads.remove(&key);
        if self.downloads.len() >= self.shared.options.max_downloads {
            refused("downloads");
            return Err(BlobError::Busy);
        }
        let (sender, progress) = watch::channel(Progress::default());
        let unlinked = Unlinked::default();
        let expected = self.shared.trusted(&key, expected);
        let order = Order { key: key.clone(), expected, unlinked: unlinked.clone() };
        // A panic drops the sender: that is an error to all who follow. The outer task reports the end in any case.
        let download = actix_rt::spawn(flight::run(Arc::clone(&self.shared), order, sender));
        let ended = key.clone();
        actix_rt::spawn(async move {
            let _ = download.await;
            drop(share);
            me.do_send(DownloadEnded(ended));
        });
        metrics::gauge!("dependency_proxy_downloads_in_flight").set((self.downloads.len() + 1) as f64);
        Ok(self.downloads.entry(key).insert_entry(Running { progress, unlinked }).into_mut())
    }

    fn ask(&self, key: Key, me: Addr<Self>) {
        let question = self.shared.upstream.head_blob(&key.origin, &key.digest);
        actix_rt::spawn(async move {
            // A panic must leave nobody waiting.
            let confirmed = actix_rt::spawn(question).await.unwrap_or(Err(UpstreamError::Lost));
            me.do_send(BlobConfirmed(key, confirmed));
        });
    }
}

impl Actor for BlobCache {
    type Context = Context<Self>;
}

impl Drop for BlobCache {
    fn drop(&mut self) {
        abort_on_panic("blob_cache");
    }
}

/// Joins the download of a blob: the asker gets its progress. Where none runs it begins, or there is nothing to join.
#[derive(Message)]
#[rtype(result = "Result<Option<Joined>, BlobError>")]
pub(super) struct JoinDownload {
    pub(super) key: Key,
    pub(super) expected: Expected,
    /// The asker's group, if it has no link yet.
    pub(super) unlinked: Option<GroupId>,
    /// Begins one where none runs, with this part of the group's share.
    pub(super) begin: Option<Share>,
}

pub(super) struct Joined {
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) source: Source,
}

impl Handler<JoinDownload> for BlobCache {
    type Result = Result<Option<Joined>, BlobError>;

    fn handle(&mut self, message: JoinDownload, ctx: &mut Self::Context) -> Self::Result {
        let JoinDownload { key, expected, unlinked, begin } = message;
        // One that is over has nothing to give but its outcome: whoever comes now may have more luck.
        let joined = self.downloads.get(&key).is_some_and(|download| !download.is_over());
        let (running, source) = match joined {
            true => (&self.downloads[&key], Source::Joined),
            false => match begin {
                Some(share) => (self.begin(key, expected, share, ctx.address())?, Source::Miss),
                None => return Ok(None),
            },
        };
        if let Some(group) = unlinked {
            running.unlinked.add(group);
        }
        Ok(Some(Joined { progress: running.progress.clone(), source }))
    }
}

/// A download came to its end, whichever.
#[derive(Message)]
#[rtype(result = "()")]
struct DownloadEnded(Key);

impl Handler<DownloadEnded> for BlobCache {
    type Result = ();

    fn handle(&mut self, DownloadEnded(key): DownloadEnded, _: &mut Self::Context) {
        // It may have been replaced already.
        if self.downloads.get(&key).is_some_and(Running::is_over) {
            self.downloads.remove(&key);
        }
        metrics::gauge!("dependency_proxy_downloads_in_flight").set(self.downloads.len() as f64);
    }
}

/// Asks whether upstream has a blob: the asker gets what upstream says of it.
#[derive(Message)]
#[rtype(result = "Confirmed")]
pub(super) struct ConfirmBlob(pub(super) Key);

impl Handler<ConfirmBlob> for BlobCache {
    type Result = ResponseFuture<Confirmed>;

    fn handle(&mut self, ConfirmBlob(key): ConfirmBlob, ctx: &mut Self::Context) -> Self::Result {
        let confirmed = match self.questions.board(&key) {
            Boarding::First(confirmed) => {
                self.ask(key, ctx.address());
                confirmed
            }
            Boarding::Joined(confirmed) => confirmed,
            Boarding::Full => {
                refused("blob_questions");
                return Box::pin(ready(Err(UpstreamError::Busy)));
            }
        };
        Box::pin(async move { confirmed.await.unwrap_or(Err(UpstreamError::Lost)) })
    }
}

/// Upstream said whether it has a blob.
#[derive(Message)]
#[rtype(result = "()")]
struct BlobConfirmed(Key, Confirmed);

impl Handler<BlobConfirmed> for BlobCache {
    type Result = ();

    fn handle(&mut self, BlobConfirmed(key, confirmed): BlobConfirmed, _: &mut Self::Context) {
        self.questions.land(&key, &confirmed);
    }
}
