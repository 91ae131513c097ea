//! Uploads of stored content to the object store, by two workers. What a replica has stored is uploaded once by one of
//! them all; while an engine is away it waits, and clients are served from the files of this machine.

mod comparing;
mod local_content;

use std::collections::HashSet;
use std::io::Cursor;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc};
use tokio::time::sleep;

use self::local_content::LocalContent;
use super::bucket::{Bucket, Upload};
use super::claims::{Claim, Claims};
use super::index::StoredObject;
use super::objects::Objects;
use crate::auth::sha256;
use crate::domain::digest::Digest;
use crate::store::blobs::BlobFiles;
use crate::store::embedded::content::EmbeddedContent;
use crate::store::error::{FleetError, StoreError};

/// The queue of uploads. Cheap to clone.
#[derive(Clone)]
pub(super) struct Uploads {
    queue: mpsc::Sender<Digest>,
    /// True once the queue was full: something that is stored here is not uploaded.
    overflowed: Arc<AtomicBool>,
    under_way: Arc<UnderWay>,
}

/// Uploads that are not done.
#[derive(Default)]
struct UnderWay {
    /// Those that wait, and those that a worker has.
    unfinished: std::sync::Mutex<HashSet<Digest>>,
    /// Number of those that a worker has, and that an engine has let fail.
    failing: AtomicUsize,
    /// Number of those that are queued again after a time.
    later: AtomicUsize,
}

/// The stores that the workers read and write.
#[derive(Clone)]
pub(super) struct Uploader {
    pub(super) bucket: Bucket,
    pub(super) objects: Objects,
    pub(super) claims: Claims,
    pub(super) files: BlobFiles,
    pub(super) content: Arc<EmbeddedContent>,
}

/// Number of workers.
const WORKERS: usize = 2;
/// Maximum number of uploads that wait.
const MAX_WAITING: usize = 65_536;
/// Pauses after a failure of an engine: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// Interval at which content that another replica uploads is checked again.
const RECHECK_INTERVAL: Duration = Duration::from_secs(3);
/// Maximum number of attempts to upload one content before other content is uploaded first.
const MAX_CONSECUTIVE_ATTEMPTS: usize = 4;
/// Interval at which the end of all uploads is looked for.
const FINISH_INTERVAL: Duration = Duration::from_millis(20);
/// Number of digests that are compared with the table at once.
pub(super) const COMPARED_AT_ONCE: usize = 500;

impl Uploads {
    /// Starts the workers, and a comparison of what this machine has with what the object store has.
    pub(super) fn start(uploader: Uploader) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        let uploads = Self { queue, overflowed: Arc::new(AtomicBool::new(true)), under_way: Arc::default() };
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..WORKERS {
            let (uploader, waiting, again) = (uploader.clone(), waiting.clone(), uploads.clone());
            uploader.bucket.runtime().clone().spawn(async move {
                while let Some(digest) = next(&waiting).await {
                    uploader.upload_until_done(digest, &again).await;
                    again.under_way.unfinished().remove(&digest);
                    again.report();
                }
            });
        }
        let (comparing, runtime) = (uploads.clone(), uploader.bucket.runtime().clone());
        runtime.spawn(async move { comparing.compare(uploader).await });
        uploads
    }

    /// Queues stored content, unless it waits already. Does not wait.
    pub(super) fn add(&self, digest: Digest) {
        if !self.under_way.unfinished().insert(digest) {
            return;
        }
        if self.queue.try_send(digest).is_err() {
            self.under_way.unfinished().remove(&digest);
            self.overflowed.store(true, Ordering::Relaxed);
        }
        self.report();
    }

    /// Waits until all that was queued is uploaded, for at most this time; if an engine does not respond, for at most
    /// the time of `patience`. Returns the number of uploads that are left: the next start goes on with them.
    pub(super) async fn finished(&self, limit: Duration, patience: Duration) -> usize {
        let began = Instant::now();
        loop {
            let left = self.under_way.unfinished().len();
            let limit = if self.under_way.failing.load(Ordering::SeqCst) > 0 { patience.min(limit) } else { limit };
            if left == 0 || began.elapsed() >= limit {
                return left;
            }
            sleep(FINISH_INTERVAL).await;
        }
    }

    fn report(&self) {
        let later = self.under_way.later.load(Ordering::SeqCst);
        let waiting = self.under_way.unfinished().len() + later;
        metrics::gauge!("dependency_proxy_fleet_waiting_uploads").set(waiting as f64);
    }
}

impl UnderWay {
    fn unfinished(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.unfinished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An upload that an engine has let fail, as counted.
struct Failing(Arc<UnderWay>);

impl Failing {
    fn new(under_way: &Arc<UnderWay>) -> Self {
        under_way.failing.fetch_add(1, Ordering::SeqCst);
        Self(under_way.clone())
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        self.0.failing.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn next(waiting: &Mutex<mpsc::Receiver<Digest>>) -> Option<Digest> {
    waiting.lock().await.recv().await
}

impl Uploader {
    /// Uploads content, however long an engine is away. Content that cannot be read is left out.
    async fn upload_until_done(&self, digest: Digest, again: &Uploads) {
        let (mut pause, mut failing) = (PAUSES.0, None);
        for attempt in 1.. {
            match self.upload(&digest, again).await {
                Ok(()) => return,
                Err(StoreError::Fleet(error)) => {
                    failing.get_or_insert_with(|| Failing::new(&again.under_way));
                    tracing::debug!(%digest, %error, "an upload is repeated");
                    count("repeated");
                    if attempt == MAX_CONSECUTIVE_ATTEMPTS {
                        // The store may refuse this one alone: others go first.
                        again_later(again, digest);
                        return;
                    }
                    sleep(pause).await;
                    pause = (2 * pause).min(PAUSES.1);
                }
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::warn!(%digest, %error, "stored content could not be uploaded to the object store");
                    count("failed");
                    return;
                }
            }
        }
    }

    async fn upload(&self, digest: &Digest, again: &Uploads) -> Result<(), StoreError> {
        if self.objects.find(digest).await?.is_some() {
            return Ok(());
        }
        let Some(content) = self.open(digest).await? else { return Ok(()) };
        let key = sha256::digest(format!("upload\n{digest}").as_bytes());
        let unreachable = || FleetError::Unreachable("it does not say who uploads".to_owned());
        let epoch = match self.claims.claim(&key, None).await.ok_or_else(unreachable)? {
            Claim::Lead { epoch } => epoch,
            Claim::Follow(_) => {
                // Where that replica has failed, this one goes on.
                again_later(again, *digest);
                return Ok(());
            }
        };
        let uploaded = self.put(digest, content).await;
        self.claims.release(&key, epoch).await.ok();
        uploaded
    }

    /// Uploads content, whoever else does so. Content that is gone is left out.
    pub(super) async fn upload_unclaimed(&self, digest: &Digest) -> Result<(), StoreError> {
        match self.open(digest).await? {
            Some(content) => self.put(digest, content).await,
            None => Ok(()),
        }
    }

    /// Returns the length of stored content in bytes; 0 if it is gone.
    pub(super) async fn length(&self, digest: &Digest) -> Result<u64, StoreError> {
        Ok(match self.open(digest).await? {
            Some(LocalContent::Blob(_, length)) => length,
            Some(LocalContent::Manifest { bytes, .. }) => bytes.len() as u64,
            None => 0,
        })
    }

    /// Uploads content, and names the object once it is whole.
    async fn put(&self, digest: &Digest, content: LocalContent) -> Result<(), StoreError> {
        let (uploaded, media_type, named) = match content {
            LocalContent::Blob(file, length) => (self.bucket.put(digest, file, length).await?, None, Vec::new()),
            LocalContent::Manifest { bytes, media_type, named } => {
                let length = bytes.len() as u64;
                (self.bucket.put(digest, Cursor::new(bytes), length).await?, Some(media_type), named)
            }
        };
        match uploaded {
            Upload::Done { name, size } => {
                let object = StoredObject { name, size, media_type };
                count("done");
                metrics::counter!("dependency_proxy_fleet_uploaded_bytes_total").increment(size);
                let age = self.ages(vec![*digest]).await?.first().map_or(Duration::ZERO, |(_, age)| *age);
                if let Some(unneeded) = self.objects.add(*digest, object, named, age).await? {
                    // What is left behind here is removed by the search for objects without a name.
                    self.bucket.delete(&unneeded).await.ok();
                }
                Ok(())
            }
            Upload::WrongDigest => Err(StoreError::Damaged(format!("the file of {digest} has other content"))),
        }
    }

    /// Opens content of this machine; `None` if it is gone.
    async fn open(&self, digest: &Digest) -> Result<Option<LocalContent>, StoreError> {
        LocalContent::open(self.files.clone(), self.content.clone(), *digest).await
    }
}

/// Puts content at the end of the queue, after a time.
fn again_later(again: &Uploads, digest: Digest) {
    let again = again.clone();
    again.under_way.later.fetch_add(1, Ordering::SeqCst);
    tokio::spawn(async move {
        sleep(RECHECK_INTERVAL).await;
        again.under_way.later.fetch_sub(1, Ordering::SeqCst);
        again.add(digest);
    });
}

fn count(outcome: &'static str) {
    metrics::counter!("dependency_proxy_fleet_uploads_total", "outcome" => outcome).increment(1);
}
