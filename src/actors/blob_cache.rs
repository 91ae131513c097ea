//! The owner of running downloads: each blob is fetched once, whoever asks and however many. Coordinates only: bytes go from
//! upstream to the spool in a task of their own, and from the file to each client.
//!
//! Who may read what is decided here, too. A proven link of the group opens a blob; without one upstream is asked for that
//! digest in that repository with the group's account, whether or not the bytes are stored: so a missing link tells nothing
//! about them.
//!
//! A link is proven once upstream's acceptance is certain: after a `HEAD` that names the stored blob's length or digest, or
//! after a download whose digest held. Until then a group reads along as one of those who asked for the same.

mod alone;
mod error;
mod flight;
mod opened;
mod ports;
mod progress;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::prelude::*;
use quick_cache::sync::Cache;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

pub use self::error::BlobError;
pub use self::opened::OpenedBlob;
pub use self::ports::BlobUpstream;

use self::alone::Alone;

use self::opened::{Follower, Held};
use self::ports::Key;
use self::progress::{Accepted, End, Order, Progress, Unlinked};
use super::abort_on_panic::abort_on_panic;
use super::flights::{Boarding, Flights};
use super::manifests::Source;
use super::places::{Place, Places, refused};
use crate::domain::digest::Digest;
use crate::domain::download::Unstored;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::store::blobs::{BlobFiles, StoredBlob};
use crate::store::error::StoreError;
use crate::store::index::{Index, Link};
use crate::store::spool::Spool;
use crate::upstream::{ContentHead, UpstreamError};

/// A blob is committed or fails while it is being looked for: so often the search begins anew.
const LOOKS: usize = 3;

/// The warning that blobs are passed on unstored is repeated after this time at the earliest.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Opens blobs. Cheap to clone; the way to a blob that is committed and linked passes no mailbox.
#[derive(Clone)]
pub struct Blobs {
    shared: Arc<Shared>,
    cache: Addr<BlobCache>,
    known: Arc<Cache<OpenBlob, Link>>,
    waiters: Places,
}

/// The blob that a group asks for, and where it would come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OpenBlob {
    /// Who asks.
    pub group: GroupId,
    /// Where upstream has it.
    pub origin: Origin,
    /// Which it is.
    pub digest: Digest,
}

/// The bounds of the blob cache.
#[derive(Clone, Debug)]
pub struct BlobCacheOptions {
    /// So many downloads run at once; more are refused.
    pub max_downloads: usize,
    /// So many askers wait for upstream's first byte at once; more are refused.
    pub max_waiters: usize,
    /// So many clients have a stream of their own, for what is not stored, at once; more are refused.
    pub max_unstored_streams: usize,
    /// So many links are remembered in memory.
    pub known_links: usize,
    /// Longer blobs are passed on unstored; `None`: all are stored.
    pub max_blob_bytes: Option<u64>,
    /// An asker is told after this time that upstream is too slow; the download goes on.
    pub answer_within: Duration,
}

impl Blobs {
    /// Starts the blob cache on this arbiter, where its downloads run.
    pub fn start(
        arbiter: &ArbiterHandle,
        upstream: Arc<dyn BlobUpstream>,
        index: Arc<Index>,
        files: BlobFiles,
        spool: Spool,
        options: BlobCacheOptions,
    ) -> Self {
        let known = Arc::new(Cache::new(options.known_links));
        let waiters = Places::new("blob_waiters", options.max_waiters);
        let alone = Places::new("unstored_streams", options.max_unstored_streams);
        let shared = Arc::new(Shared { upstream, index, files, spool, options, alone, warned: Mutex::new(None) });
        let actors = Arc::clone(&shared);
        let cache = BlobCache::start_in_arbiter(arbiter, |_| BlobCache::new(actors));
        Self { shared, cache, known, waiters }
    }

    /// Opens a blob for this group: the committed file, or the download that is under way, or one that begins with this. Answers
    /// once upstream's acceptance and the length are certain, within the configured time.
    pub async fn open(&self, wanted: OpenBlob) -> Result<OpenedBlob, BlobError> {
        let late = Instant::now() + self.shared.options.answer_within;
        timeout_at(late, self.look(&wanted, late)).await.unwrap_or(Err(BlobError::TooSlow))
    }

    /// Forgets what links of this group are remembered in memory: they are looked up again.
    pub fn forget_group(&self, group: GroupId) {
        self.known.retain(|wanted, _| wanted.group != group);
    }

    async fn look(&self, wanted: &OpenBlob, late: Instant) -> Result<OpenedBlob, BlobError> {
        for _ in 0..LOOKS {
            match self.look_up(wanted).await? {
                (Some(link), Some(stored)) if link.proven => {
                    self.remember(wanted, link);
                    return Ok(stored.opened(Source::Hit));
                }
                (_, Some(stored)) => {
                    self.confirm(wanted, stored.length).await?;
                    return Ok(stored.opened(Source::Revalidated));
                }
                (link, None) => match self.download(wanted, link, late).await? {
                    Some(opened) => return Ok(opened),
                    None => continue,
                },
            }
        }
        Err(BlobError::Interrupted)
    }

    /// The group's link and the committed blob, as far as there are any.
    async fn look_up(&self, wanted: &OpenBlob) -> Result<(Option<Link>, Option<StoredBlob>), BlobError> {
        let known = self.known.get(wanted);
        let (shared, OpenBlob { group, origin, digest }) = (Arc::clone(&self.shared), wanted.clone());
        let looked_up = spawn_blocking(move || {
            let link = match known {
                Some(link) => Some(link),
                None => shared.index.link(group, &origin, &digest)?,
            };
            let stored = shared.files.blob(&digest, link.and_then(|link| link.size))?;
            Ok::<_, StoreError>((link, stored))
        });
        Ok(looked_up.await.map_err(|_| BlobError::Interrupted)??)
    }

    fn remember(&self, wanted: &OpenBlob, link: Link) {
        if !self.known.contains_key(wanted) {
            self.known.insert(wanted.clone(), link);
        }
    }

    /// Makes the group's link to a stored blob, if upstream has it for this group. What upstream says must fit the blob: a web page
    /// with status 200 opens nothing.
    async fn confirm(&self, wanted: &OpenBlob, length: u64) -> Result<(), BlobError> {
        let _waiting = self.wait()?;
        let key = wanted.key();
        let told = self.cache.send(ConfirmBlob(key.clone())).await.map_err(|_| BlobError::Interrupted)??;
        let same_length = told.length.map(|told| told == length);
        let same_digest = told.digest.map(|told| told == wanted.digest);
        match (same_length, same_digest) {
            (Some(false), _) => {
                return Err(BlobError::WrongLength { expected: length, told: told.length.unwrap_or_default() });
            }
            (_, Some(false)) | (None, None) => {
                return Err(UpstreamError::Nonsense { what: "neither the length nor the digest of the blob" }.into());
            }
            (Some(true), _) | (None, Some(true)) => {}
        }
        let (shared, group) = (Arc::clone(&self.shared), wanted.group);
        spawn_blocking(move || shared.link(group, &key, length)).await.map_err(|_| BlobError::Interrupted)
    }

    /// Joins or begins the download. `None`: the blob has been committed meanwhile.
    async fn download(
        &self,
        wanted: &OpenBlob,
        link: Option<Link>,
        late: Instant,
    ) -> Result<Option<OpenedBlob>, BlobError> {
        let _waiting = self.wait()?;
        let (key, size) = (wanted.key(), link.and_then(|link| link.size));
        let unlinked = link.is_none_or(|link| !link.proven).then_some(wanted.group);
        let join = JoinDownload { key: key.clone(), size, unlinked };
        let Joined { mut progress, source } = self.cache.send(join).await.map_err(|_| BlobError::Interrupted)??;
        let decided = progress.wait_for(|progress| progress.accepted.is_some() || progress.end.is_some());
        let Ok(decided) = timeout_at(late, decided).await else { return Err(too_slow(&progress)) };
        let Progress { accepted, end, .. } = decided.map_err(|_| BlobError::Interrupted)?.clone();
        match (end, accepted) {
            (Some(End::Failed(error)), _) => Err(error),
            (Some(End::AlreadyStored), _) => Ok(None),
            (Some(End::Unstored), _) | (Some(End::Spilled { .. }), None) => {
                let alone = Alone::begin(&self.shared, key, size, unlinked).await?;
                Ok(Some(OpenedBlob::new(alone.length(), source, Held::Alone(alone))))
            }
            (_, Some(Accepted { length, file })) => {
                if let Some(expected) = size.filter(|&size| size != length) {
                    return Err(BlobError::WrongLength { expected, told: length });
                }
                let follower = Follower { shared: Arc::clone(&self.shared), key, file, length, progress };
                Ok(Some(OpenedBlob::new(length, source, Held::Spool(follower))))
            }
            (Some(End::Done) | None, None) => Err(BlobError::Interrupted),
        }
    }

    fn wait(&self) -> Result<Place, BlobError> {
        self.waiters.take().ok_or(BlobError::Busy)
    }
}

impl OpenBlob {
    fn key(&self) -> Key {
        Key { origin: self.origin.clone(), digest: self.digest }
    }
}

impl StoredBlob {
    fn opened(self, source: Source) -> OpenedBlob {
        OpenedBlob::new(self.length, source, Held::File(self.file))
    }
}

/// Why there is nothing yet, as far as upstream said.
fn too_slow(progress: &watch::Receiver<Progress>) -> BlobError {
    progress.borrow().refusal.clone().map_or(BlobError::TooSlow, BlobError::from)
}

/// What the handle, the actor and its downloads have in common. Nothing in it changes but permits.
struct Shared {
    upstream: Arc<dyn BlobUpstream>,
    index: Arc<Index>,
    files: BlobFiles,
    spool: Spool,
    options: BlobCacheOptions,
    alone: Places,
    warned: Mutex<Option<Instant>>,
}

impl Shared {
    /// Gives the group a link. Without one upstream is merely asked again, so a failure is no more than a warning. Blocks.
    fn link(&self, group: GroupId, key: &Key, size: u64) {
        let link = Link { size: Some(size), proven: true };
        if let Err(error) = self.index.add_links(group, &key.origin, &[(key.digest, link)]) {
            tracing::warn!(%group, digest = %key.digest, %error, "a link could not be stored");
        }
    }

    fn tell_unstored(&self, reason: Unstored) {
        let word = match reason {
            Unstored::TooLong => "too_long",
            Unstored::NoRoom => "no_room",
        };
        metrics::counter!("dependency_proxy_unstored_blobs_total", "reason" => word).increment(1);
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|last| last.elapsed() >= WARN_EVERY) {
            *warned = Some(Instant::now());
            tracing::warn!(reason = word, "blobs are passed on to clients without being stored");
        }
    }
}

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

type Confirmed = Result<ContentHead, UpstreamError>;

impl BlobCache {
    fn new(shared: Arc<Shared>) -> Self {
        let questions = Flights::new(shared.options.max_waiters);
        Self { shared, downloads: HashMap::new(), questions }
    }

    fn begin(&mut self, key: Key, size: Option<u64>, me: Addr<Self>) -> Result<&Running, BlobError> {
        self.downloads.remove(&key);
        if self.downloads.len() >= self.shared.options.max_downloads {
            refused("downloads");
            return Err(BlobError::Busy);
        }
        let (sender, progress) = watch::channel(Progress::default());
        let unlinked = Unlinked::default();
        let order = Order { key: key.clone(), size, unlinked: unlinked.clone() };
        // A panic drops the sender: that is an error to all who follow. The outer task reports the end in any case.
        let download = actix_rt::spawn(flight::run(Arc::clone(&self.shared), order, sender));
        let ended = key.clone();
        actix_rt::spawn(async move {
            let _ = download.await;
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

/// Joins the download of a blob, beginning it if none runs: the asker gets its progress.
#[derive(Message)]
#[rtype(result = "Result<Joined, BlobError>")]
struct JoinDownload {
    key: Key,
    size: Option<u64>,
    /// The asker's group, if it has no link yet.
    unlinked: Option<GroupId>,
}

struct Joined {
    progress: watch::Receiver<Progress>,
    source: Source,
}

impl Handler<JoinDownload> for BlobCache {
    type Result = Result<Joined, BlobError>;

    fn handle(&mut self, JoinDownload { key, size, unlinked }: JoinDownload, ctx: &mut Self::Context) -> Self::Result {
        // One that is over has nothing to give but its outcome: whoever comes now may have more luck.
        let joined = self.downloads.get(&key).is_some_and(|download| !download.is_over());
        let (running, source) = match joined {
            true => (&self.downloads[&key], Source::Joined),
            false => (self.begin(key, size, ctx.address())?, Source::Miss),
        };
        if let Some(group) = unlinked {
            running.unlinked.add(group);
        }
        Ok(Joined { progress: running.progress.clone(), source })
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
struct ConfirmBlob(Key);

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
