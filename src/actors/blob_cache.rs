//! The owner of running downloads: each blob is fetched once, whoever asks and however many. Coordinates only: bytes go from
//! upstream to the spool in a task of their own, and from the file to each client.
//!
//! Who may read what is decided here, too. A proven link of the group opens a blob; without one upstream is asked for that
//! digest in that repository with the group's account, whether or not the bytes are stored: so a missing link tells nothing
//! about them.
//!
//! A link is proven once upstream's acceptance is certain: after a `HEAD` that names the stored blob's length or digest, or
//! after a download whose digest held. Until then a group reads along as one of those who asked for the same.
//!
//! A blob that is not stored is downloaded by whoever pulls it: by a request for the whole or for the rest of it (`bytes=N-`, an
//! interrupted pull). A `HEAD` and a bounded range begin no download: see `head` and `ranges`.

mod alone;
mod downloads;
mod error;
mod flight;
mod head;
mod opened;
mod piece;
mod ports;
mod progress;
mod range_stream;
mod ranges;
mod repeats;
mod shared;
#[cfg(test)]
mod tests;
mod verifier;
mod writer;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::prelude::*;
use quick_cache::sync::Cache;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};

pub use self::downloads::BlobCache;
pub use self::error::BlobError;
pub use self::opened::{OpenedBlob, Pieces};
pub use self::piece::{Giving, Part, Piece};
pub use self::ports::BlobUpstream;
pub use self::verifier::VerifyOptions;

use self::alone::Alone;
use self::downloads::{ConfirmBlob, JoinDownload, Joined};
use self::opened::{Follower, Held};
use self::ports::Key;
use self::progress::{Accepted, End, Progress};
use self::shared::Shared;
use self::verifier::Verifier;
use super::manifests::Source;
use super::places::{Place, Places, Share, Shares};
use super::unstored::{Kind, UnstoredReports};
use crate::domain::digest::Digest;
use crate::domain::download::Expected;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::store::blobs::{BlobContent, BlobFiles, StoredBlob};
use crate::store::error::StoreError;
use crate::store::index::{Index, Link};
use crate::store::spool::Spool;
use crate::upstream::{ContentHead, UpstreamError};

/// A blob is committed or fails while it is being looked for: so often the search begins anew.
const LOOKS: usize = 3;

/// Opens blobs. Cheap to clone; the way to a blob that is committed and linked passes no mailbox.
#[derive(Clone)]
pub struct Blobs {
    shared: Arc<Shared>,
    cache: Addr<BlobCache>,
    known: Arc<Cache<OpenBlob, Link>>,
    /// Counts what was taken away: what was looked up before that is not remembered.
    forgotten: Arc<AtomicU64>,
    waiters: Places,
    range_shares: Shares,
    unstored_shares: Shares,
    download_shares: Shares,
    range_streams: Places,
    /// How many bytes of a blob that is not stored were given out in ranges.
    ranged: Arc<Cache<Key, u64>>,
    verifier: Arc<OnceLock<Verifier>>,
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
    /// Maximum number of downloads that one group has begun and that run; more wait.
    pub max_downloads_per_group: usize,
    /// So many askers wait for upstream's first byte at once; more are refused.
    pub max_waiters: usize,
    /// So many clients have a stream of their own, for what is not stored, at once; more are refused.
    pub max_unstored_streams: usize,
    /// The maximum of responses with ranges that come straight from upstream, at once; more are refused.
    pub max_range_streams: usize,
    /// So many links are remembered in memory.
    pub known_links: usize,
    /// Longer blobs are passed on unstored; `None`: all are stored.
    pub max_blob_bytes: Option<u64>,
    /// An asker is told after this time that upstream is too slow; the download goes on.
    pub answer_within: Duration,
}

/// What the store has of a blob.
enum Stored {
    /// The committed file, or what becomes it.
    Opened(Box<OpenedBlob>),
    /// Nothing, beside this link of the group.
    Absent(Option<Link>),
}

/// The maximum of blobs whose ranges are counted.
const MAX_RANGED_BLOBS: usize = 1000;

/// As long as a disk may take for what it was given last.
const COMMIT_WITHIN: Duration = Duration::from_secs(3);

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
        let range_streams = Places::new("range_streams", options.max_range_streams);
        let range_shares = Shares::of("range_streams", options.max_range_streams);
        let unstored_shares = Shares::of("unstored_streams", options.max_unstored_streams);
        let download_shares = Shares::new("downloads", options.max_downloads_per_group);
        let ranged = Arc::new(Cache::new(MAX_RANGED_BLOBS));
        let (misled, committing) = Default::default();
        let unstored = UnstoredReports::new(Kind::Blobs, files.room().clone());
        let shared = Arc::new(Shared { upstream, index, files, spool, options, alone, unstored, misled, committing });
        let actors = Arc::clone(&shared);
        let cache = BlobCache::start_in_arbiter(arbiter, |_| BlobCache::new(actors));
        let (forgotten, verifier) = Default::default();
        Self {
            shared,
            cache,
            known,
            forgotten,
            waiters,
            range_streams,
            ranged,
            range_shares,
            unstored_shares,
            download_shares,
            verifier,
        }
    }

    /// Begins to verify the index and stored blobs in the background.
    pub fn verify_stored(&self, options: VerifyOptions) {
        self.verifier
            .get_or_init(|| Verifier::start(self.shared.files.clone(), Arc::clone(&self.shared.index), options));
    }

    /// Notes that all of an open blob is given to a client, whichever number stands for it: a credential, an address. One that comes
    /// back for the same stored blob within minutes may have found it damaged, so that it is verified.
    pub fn given_whole(&self, opened: &OpenedBlob, digest: &Digest, client: u64) {
        if let Some(verifier) = self.verifier.get()
            && opened.is_stored_file()
        {
            verifier.given(client, digest);
        }
    }

    /// Waits, for a bounded time, until what was given out whole is stored and linked.
    pub async fn finish(&self) {
        if timeout(COMMIT_WITHIN, self.shared.committing.write()).await.is_err() {
            tracing::warn!("the last blobs may not have been stored");
        }
    }

    /// Opens a blob for this group: the committed file, or the download that is under way, or one that begins with this. Answers
    /// once upstream's acceptance and the length are certain, within the configured time.
    pub async fn open(&self, wanted: OpenBlob) -> Result<OpenedBlob, BlobError> {
        if let Some((link, stored)) = self.at_hand(&wanted)
            && link.proven
        {
            return Ok(stored.opened(Source::Hit));
        }
        let late = Instant::now() + self.shared.options.answer_within;
        timeout_at(late, self.look(&wanted, late)).await.unwrap_or(Err(BlobError::TooSlow))
    }

    /// Says whether blobs of this image are not stored at present, so that pulls of it have them from upstream.
    pub fn pass_through(&self, image: &Origin) -> bool {
        self.shared.unstored.concerns(image)
    }

    /// Forgets what links of this group are remembered in memory: they are looked up again.
    pub fn forget_group(&self, group: GroupId) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.known.retain(|wanted, _| wanted.group != group);
    }

    async fn look(&self, wanted: &OpenBlob, late: Instant) -> Result<OpenedBlob, BlobError> {
        for _ in 0..LOOKS {
            match self.stored(wanted, late).await? {
                Stored::Opened(opened) => return Ok(*opened),
                Stored::Absent(link) => {
                    if let Some(opened) = self.download(wanted, link, late, true).await? {
                        return Ok(opened);
                    }
                }
            }
        }
        Err(BlobError::Interrupted)
    }

    /// The committed blob, where the group has a granted link or upstream grants one now.
    async fn stored(&self, wanted: &OpenBlob, late: Instant) -> Result<Stored, BlobError> {
        for first in [true, false] {
            let forgotten = self.forgotten.load(Ordering::SeqCst);
            match self.look_up(wanted).await? {
                (Some(link), Some(stored)) if link.proven => {
                    self.remember(wanted, link, forgotten);
                    return Ok(Stored::Opened(stored.opened(Source::Hit).into()));
                }
                (link, Some(stored)) => {
                    // The file of a download is in place a moment before the links of those who asked for it.
                    if let Some(opened) = self.download(wanted, link, late, false).await? {
                        return Ok(Stored::Opened(opened.into()));
                    }
                    if first {
                        continue;
                    }
                    self.confirm(wanted, stored.length).await?;
                    return Ok(Stored::Opened(stored.opened(Source::Revalidated).into()));
                }
                (link, None) => return Ok(Stored::Absent(link)),
            }
        }
        Err(BlobError::Interrupted)
    }

    /// The group's link and the committed blob, as far as there are any.
    async fn look_up(&self, wanted: &OpenBlob) -> Result<(Option<Link>, Option<StoredBlob>), BlobError> {
        if let Some((link, stored)) = self.at_hand(wanted) {
            return Ok((Some(link), Some(stored)));
        }
        let known = self.known.get(wanted);
        let (shared, OpenBlob { group, origin, digest }) = (Arc::clone(&self.shared), wanted.clone());
        let looked_up = spawn_blocking(move || {
            let link = match known {
                Some(link) => Some(link),
                None => shared.index.link(group, &origin, &digest)?,
            };
            let expected = link.and_then(|link| link.expected().verified);
            // Passed through instead: upstream has what cannot be opened here.
            let stored = shared.files.blob(&digest, expected).unwrap_or_else(|error| {
                tracing::warn!(%digest, %error, "a stored blob cannot be opened");
                None
            });
            Ok::<_, StoreError>((link, stored))
        });
        Ok(looked_up.await.map_err(|_| BlobError::Interrupted)??)
    }

    /// What most requests want: everything that it takes is in memory.
    fn at_hand(&self, wanted: &OpenBlob) -> Option<(Link, StoredBlob)> {
        let link = self.known.get(wanted)?;
        Some((link, self.shared.files.already_open(&wanted.digest, link.expected().verified)?))
    }

    fn remember(&self, wanted: &OpenBlob, link: Link, forgotten: u64) {
        if !self.known.contains_key(wanted) {
            self.known.insert(wanted.clone(), link);
            // Looked at after the insertion: whoever forgets from now on finds it.
            if self.forgotten.load(Ordering::SeqCst) != forgotten {
                self.known.remove(wanted);
            }
        }
    }

    /// Makes the group's link to a stored blob, if upstream has it for this group. What upstream says must fit the blob: a web page
    /// with status 200 opens nothing.
    async fn confirm(&self, wanted: &OpenBlob, length: u64) -> Result<(), BlobError> {
        let key = wanted.key();
        let head = self.head_upstream(key.clone()).await?;
        if !affirms(&head, &key.digest, length) {
            // The stored file may be the wrong one.
            if let Some(verifier) = self.verifier.get() {
                verifier.suspect(&wanted.digest);
            }
            self.confirm_by_range(&key, length).await?;
        }
        let (shared, group) = (Arc::clone(&self.shared), wanted.group);
        spawn_blocking(move || shared.link(group, &key, length)).await.map_err(|_| BlobError::Interrupted)
    }

    /// A `HEAD` that tells another length may be wrong; a `GET` of the first byte decides.
    async fn confirm_by_range(&self, key: &Key, length: u64) -> Result<(), BlobError> {
        let content = self.shared.upstream.blob_range(&key.origin, &key.digest, 0..1).await?;
        let head = content.map(|content| content.head).unwrap_or_default();
        match head.length {
            _ if affirms(&head, &key.digest, length) => Ok(()),
            Some(told) => Err(BlobError::WrongLength { expected: length, told }),
            None => {
                Err(UpstreamError::InvalidResponse { what: "neither the length nor the digest of the blob" }.into())
            }
        }
    }

    /// What upstream says of the blob, requested once whoever waits for it.
    async fn head_upstream(&self, key: Key) -> Result<ContentHead, BlobError> {
        let _waiting = self.wait()?;
        Ok(self.cache.send(ConfirmBlob(key)).await.map_err(|_| BlobError::Interrupted)??)
    }

    /// Joins the download, or begins it where that is wanted. `None`: there is none, or the blob has been committed meanwhile.
    async fn download(
        &self,
        wanted: &OpenBlob,
        link: Option<Link>,
        late: Instant,
        begin: bool,
    ) -> Result<Option<OpenedBlob>, BlobError> {
        let _waiting = self.wait()?;
        let (key, expected) = (wanted.key(), link.map(Link::expected).unwrap_or_default());
        let unlinked = link.is_none_or(|link| !link.proven).then_some(wanted.group);
        let mut joined = self.join(&key, expected, unlinked, None).await?;
        if joined.is_none() && begin {
            let share = self.download_shares.take(wanted.group, late).await.ok_or(BlobError::Busy)?;
            joined = self.join(&key, expected, unlinked, Some(share)).await?;
        }
        let Some(Joined { mut progress, source }) = joined else { return Ok(None) };
        let decided = progress.wait_for(|progress| progress.accepted.is_some() || progress.end.is_some());
        let Ok(decided) = timeout_at(late, decided).await else { return Err(too_slow(&progress)) };
        let Progress { accepted, end, .. } = decided.map_err(|_| BlobError::Interrupted)?.clone();
        match (end, accepted) {
            (Some(End::Failed(error)), _) => Err(error),
            (Some(End::AlreadyStored), _) => Ok(None),
            (Some(End::Unstored), _) | (Some(End::Spilled { .. }), None) => {
                let alone = {
                    let share = self.unstored_shares.take(wanted.group, late).await.ok_or(BlobError::Busy)?;
                    Alone::begin(&self.shared, key, expected, unlinked, share).await?
                };
                Ok(Some(OpenedBlob::new(alone.length(), source, Held::Alone(alone))))
            }
            (_, Some(Accepted { length, file })) => {
                if let Some(expected) = expected.verified.filter(|&verified| verified != length) {
                    return Err(BlobError::WrongLength { expected, told: length });
                }
                let follower = Follower { shared: Arc::clone(&self.shared), key, file, length, progress };
                Ok(Some(OpenedBlob::new(length, source, Held::Spool(follower))))
            }
            (Some(End::Done) | None, None) => Err(BlobError::Interrupted),
        }
    }

    /// Joins the download, or begins it with this part of the group's share.
    async fn join(
        &self,
        key: &Key,
        expected: Expected,
        unlinked: Option<GroupId>,
        begin: Option<Share>,
    ) -> Result<Option<Joined>, BlobError> {
        let join = JoinDownload { key: key.clone(), expected, unlinked, begin };
        self.cache.send(join).await.map_err(|_| BlobError::Interrupted)?
    }

    fn wait(&self) -> Result<Place, BlobError> {
        self.waiters.take().ok_or(BlobError::Busy)
    }
}

/// Whether this is the head of the blob with this digest and length, as far as it says so.
fn affirms(head: &ContentHead, digest: &Digest, length: u64) -> bool {
    let same_length = head.length.map(|told| told == length);
    let same_digest = head.digest.map(|told| told == *digest);
    matches!((same_length, same_digest), (Some(true), Some(true) | None) | (None, Some(true)))
}

impl OpenBlob {
    fn key(&self) -> Key {
        Key { origin: self.origin.clone(), digest: self.digest }
    }
}

impl StoredBlob {
    fn opened(self, source: Source) -> OpenedBlob {
        let held = match self.content {
            BlobContent::File(file) => Held::File(file),
            BlobContent::Bytes(bytes) => Held::Bytes(bytes),
        };
        OpenedBlob::new(self.length, source, held)
    }
}

/// Why there is nothing yet, as far as upstream said.
fn too_slow(progress: &watch::Receiver<Progress>) -> BlobError {
    progress.borrow().refusal.clone().map_or(BlobError::TooSlow, BlobError::from)
}
