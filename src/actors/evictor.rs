//! Eviction of content that is seldom read, when the disk or the quota is full. One eviction runs at a time, and those
//! who wait for free space share it.

use std::sync::Arc;

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
}

/// Maximum number of bytes that are evicted at a time.
const MAX_STEP_BYTES: u64 = 4 << 30;

/// Maximum number of steps for one caller: as many as a cache of a petabyte has.
const MAX_STEPS: usize = 250_000;

/// Space for some small files: descriptions, links and tags.
const SMALL_BYTES: u64 = 1 << 20;

impl Evictor {
    /// Returns a handle that evicts from these stores, and records these reads before it decides.
    pub fn new(content: ContentStore, files: BlobFiles, reads: Reads) -> Self {
        Self { content, files, reads, running: Arc::default() }
    }

    /// Evicts content if there is less free space than this number of bytes. Some more is evicted then, so that the
    /// next callers need not wait. Evicts nothing if that would not be enough. Waits for a bounded time: an eviction
    /// goes on after it. There may be less free space all the same, if content is being read.
    ///
    /// # Errors
    ///
    /// Fails if the store fails.
    pub async fn make_room(&self, bytes: u64) -> Result<(), StoreError> {
        if self.missing(bytes).await?.is_none() {
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
                // A failure shows again in the work.
                drop(self.make_room(bytes.saturating_add(SMALL_BYTES)).await);
                work().await
            }
            outcome => outcome,
        }
    }

    /// Makes space for what is stored next within the quota, so that it need not wait. Does nothing while another
    /// eviction is running.
    ///
    /// # Errors
    ///
    /// Fails if the store fails.
    pub async fn keep_headroom(&self) -> Result<(), StoreError> {
        let files = self.files.clone();
        let lacking = blocking(move || files.lacking_headroom()).await?;
        let Ok(_running) = self.running.try_lock() else { return Ok(()) };
        if lacking > 0 { self.evict_bytes(lacking.min(MAX_STEP_BYTES)).await.map(drop) } else { Ok(()) }
    }

    /// Evicts until there is space for this number of bytes, in steps, so that other callers whose bytes fit go on.
    async fn evict(&self, bytes: u64) -> Result<(), StoreError> {
        for _ in 0..MAX_STEPS {
            let _running = self.running.lock().await;
            // Another eviction may have made space meanwhile.
            let Some((missing, headroom)) = self.missing(bytes).await? else { return Ok(()) };
            let step = missing.saturating_add(headroom).min(MAX_STEP_BYTES);
            if self.evict_bytes(step).await? == 0 {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Evicts this number of bytes, and returns the number of those that were evicted.
    async fn evict_bytes(&self, bytes: u64) -> Result<u64, StoreError> {
        if let Err(error) = self.record().await {
            tracing::debug!(%error, "the reads of stored content could not be recorded before an eviction");
        }
        let evicted = self.content.evict(bytes, self.files.clone()).await?;
        let bytes = evicted.bytes;
        report(evicted);
        Ok(bytes)
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

fn report(Evicted { files, bytes, failure }: Evicted) {
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
