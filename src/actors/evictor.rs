//! Eviction of content that is seldom read, when the disk or the quota is full. One eviction runs at a time, and all
//! callers that wait for free space share it.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::time::timeout;

use super::reads::Reads;
use crate::domain::deadlines;
use crate::store::blobs::BlobFiles;
use crate::store::blocking::blocking;
use crate::store::content::{ContentStore, Evicted};
use crate::store::error::StoreError;
use crate::telemetry::LineLimit;

/// Handle for evictions. Cheap to clone.
#[derive(Clone)]
pub struct Evictor {
    content: ContentStore,
    files: BlobFiles,
    reads: Reads,
    running: Arc<Mutex<()>>,
    /// Earliest time of the next eviction, if the last one evicted nothing.
    next: Arc<std::sync::Mutex<Option<Instant>>>,
    pause_factor: u32,
}

/// Pause after an eviction that evicted nothing, because all content is pinned or being read, as a multiple of its
/// duration: each looks at all content.
const PAUSE_FACTOR: u32 = 10;

/// Maximum of that pause.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Maximum number of bytes that are evicted at a time.
const MAX_STEP_BYTES: u64 = 4 << 30;

/// Maximum number of steps for one caller: as many as a cache of a petabyte has.
const MAX_STEPS: usize = 250_000;

/// Space for some small files: descriptions, links and tags.
const SMALL_BYTES: u64 = 1 << 20;

impl Evictor {
    /// Returns a handle that evicts from these stores, and records these reads before it decides.
    pub fn new(content: ContentStore, files: BlobFiles, reads: Reads) -> Self {
        let (running, next) = Default::default();
        Self { content, files, reads, running, next, pause_factor: PAUSE_FACTOR }
    }

    /// Evicts content if there is less free space than this number of bytes. Some more is evicted then, so that the
    /// next callers need not wait. Evicts nothing if that would not be enough, and shortly after an eviction that found
    /// nothing to evict. Waits for a bounded time; the eviction continues after it. There may still be less free space,
    /// if content is being read.
    ///
    /// # Errors
    ///
    /// Fails if the store fails.
    pub async fn make_room(&self, bytes: u64) -> Result<(), StoreError> {
        if self.is_paused() || self.missing(bytes).await?.is_none() {
            return Ok(());
        }
        let evictor = self.clone();
        // A task of its own: it goes on if the caller leaves, so that the lock is held until it ends.
        let evicting = actix_rt::spawn(async move { evictor.evict(bytes).await });
        match timeout(deadlines::EVICTION, evicting).await {
            Ok(evicted) => evicted.unwrap_or_else(|lost| Err(StoreError::Io(lost.to_string()))),
            Err(_elapsed) => Ok(()),
        }
    }

    /// Does work that stores small files and this number of bytes. If the disk is full, makes space and does it once
    /// more.
    ///
    /// # Errors
    ///
    /// Fails if the work fails.
    pub async fn with_room<T, F>(&self, bytes: u64, work: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        match work().await {
            Err(StoreError::Full) => {
                // If this fails, the work fails as well and reports it.
                drop(self.make_room(bytes.saturating_add(SMALL_BYTES)).await);
                work().await
            }
            outcome => outcome,
        }
    }

    /// Makes space within the quota, so that the next content can be stored without waiting. Does nothing while another
    /// eviction is running.
    ///
    /// # Errors
    ///
    /// Fails if the store fails.
    pub async fn keep_headroom(&self) -> Result<(), StoreError> {
        let files = self.files.clone();
        let lacking = blocking(move || files.lacking_headroom()).await?;
        let Ok(_running) = self.running.try_lock() else { return Ok(()) };
        if lacking > 0 && !self.is_paused() {
            self.evict_bytes(lacking.min(MAX_STEP_BYTES)).await.map(drop)
        } else {
            Ok(())
        }
    }

    /// Evicts until there is space for this number of bytes. Works in steps, so that another caller continues as soon
    /// as its bytes fit.
    async fn evict(&self, bytes: u64) -> Result<(), StoreError> {
        for _ in 0..MAX_STEPS {
            let _running = self.running.lock().await;
            // Another eviction may have made space meanwhile.
            let Some((missing, headroom)) = self.missing(bytes).await? else { return Ok(()) };
            let step = missing.saturating_add(headroom).min(MAX_STEP_BYTES);
            if self.is_paused() || !self.evict_bytes(step).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Evicts this number of bytes, as far as possible. Returns true if there is more space than before.
    async fn evict_bytes(&self, bytes: u64) -> Result<bool, StoreError> {
        let began = Instant::now();
        let recorded = self.record().await;
        if let Err(error) = &recorded {
            tracing::debug!(%error, "the reads of stored content could not be recorded before an eviction");
        }
        let evicted = self.content.evict(bytes, self.files.clone()).await?;
        // After a crash there may be records of files that are gone.
        let has_evicted = evicted.files + evicted.gone > 0;
        // What is not recorded cannot be evicted, and the next eviction may record it.
        let is_fruitless = recorded.is_ok() && !has_evicted;
        let pause = began.elapsed().saturating_mul(self.pause_factor).min(MAX_PAUSE);
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = is_fruitless.then(|| Instant::now() + pause);
        report(evicted);
        Ok(has_evicted)
    }

    /// Returns true shortly after an eviction that evicted nothing.
    fn is_paused(&self) -> bool {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|next| Instant::now() < next)
    }

    /// Returns the number of bytes to evict so that this number can be stored, and the headroom; `None` if there is
    /// space, or if an eviction would not be enough.
    async fn missing(&self, bytes: u64) -> Result<Option<(u64, u64)>, StoreError> {
        let files = self.files.clone();
        let missing = move || {
            let missing = files.missing(bytes)?.filter(|missing| *missing > 0);
            missing.map(|missing| Ok((missing, files.headroom()?))).transpose()
        };
        blocking(missing).await
    }

    /// Writes the reads, and the files that came and went.
    ///
    /// # Errors
    ///
    /// Fails if the store fails. The reads are lost then.
    pub async fn record(&self) -> Result<(), StoreError> {
        self.content.record_files(self.reads.take(), self.files.clone()).await
    }
}

fn report(Evicted { files, bytes, failure, gone: _ }: Evicted) {
    static FAILURES: LineLimit<()> = LineLimit::new();
    if let Some(error) = failure
        && let Some(left_out) = FAILURES.admit(&())
    {
        tracing::warn!(error, left_out, "a stored file could not be removed to make room");
    }
    if files == 0 {
        return;
    }
    metrics::counter!("dependency_proxy_evicted_files_total").increment(files as u64);
    metrics::counter!("dependency_proxy_evicted_bytes_total").increment(bytes);
    static LINES: LineLimit<()> = LineLimit::new();
    if let Some(left_out) = LINES.admit(&()) {
        tracing::info!(files, bytes, left_out, "content that is seldom read was evicted to make room");
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::id::GroupId;
    use crate::domain::manifest::ACCEPTED;
    use crate::domain::min_free::MinFree;
    use crate::domain::origin::{Account, Origin};
    use crate::domain::quota::Quota;
    use crate::domain::reference::Reference;
    use crate::store::content::{Grant, Pulled};
    use crate::store::embedded::content::EmbeddedContent;
    use crate::store::embedded::index::Index;
    use crate::store::images::ImageKey;
    use crate::store::link::TagEntry;
    use crate::store::manifests::{Manifest, ManifestStore};
    use crate::store::usage::Usage;

    #[actix_rt::test]
    async fn an_eviction_that_found_nothing_is_not_repeated_at_once() {
        let (folder, usage) = (tempfile::tempdir().unwrap(), Usage::default());
        let index = Index::open(folder.path(), folder.path()).unwrap();
        let manifests = ManifestStore::new(folder.path()).counted_in(usage.clone());
        let content = ContentStore::embedded(EmbeddedContent::new(index, manifests));
        let files =
            BlobFiles::open(folder.path(), MinFree::Bytes(0), 8).unwrap().within(Quota::Bytes(100), usage.clone());
        let manifest = Manifest::new(ACCEPTED[2].to_owned(), " ".repeat(90).into());
        let origin = Origin {
            upstream: "docker.io".parse().unwrap(),
            account: Account::Anonymous,
            repository: "library/app".parse().unwrap(),
        };
        let entry = TagEntry { digest: manifest.digest, checked_at: Timestamp::UNIX_EPOCH, denied: false };
        let pulled = Pulled::Digest(entry);
        let image =
            ImageKey { group: GroupId(1), origin: origin.clone(), reference: Reference::Digest(manifest.digest) };
        let grant = Grant { group: GroupId(1), origin, links: Vec::new(), pulled };
        content.grant(grant, Some(Arc::new(manifest))).await.unwrap();

        let evictor = Evictor { pause_factor: u32::MAX, ..Evictor::new(content.clone(), files, Reads::default()) };
        assert!(content.pin(image.clone(), true).await.unwrap());
        evictor.make_room(50).await.unwrap();
        assert_eq!(usage.totals().bytes, 90, "it is pinned");
        assert!(content.pin(image, false).await.unwrap());
        evictor.make_room(50).await.unwrap();
        assert_eq!(usage.totals().bytes, 90, "nobody looks again so soon");
        Evictor { next: Arc::default(), ..evictor }.make_room(50).await.unwrap();
        assert_eq!(usage.totals().bytes, 0);
    }
}
