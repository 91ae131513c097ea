//! Keeps room for new content: evicts what is seldom read when the disk or the quota is full. One eviction runs at a
//! time; those who wait for room share it.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::reads::Reads;
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

/// Room for some small files: descriptions, links and tags.
const SMALL_BYTES: u64 = 1 << 20;

impl Evictor {
    /// Returns a handle that evicts from these stores, and records these reads before it decides.
    pub fn new(content: ContentStore, files: BlobFiles, reads: Reads) -> Self {
        Self { content, files, reads, running: Arc::default() }
    }

    /// Evicts content if there is less room than for this number of bytes. Some more is evicted then, so that the next
    /// callers find room. Evicts nothing if that would not be enough. There may be less room all the same, if content is
    /// being read.
    ///
    /// # Errors
    ///
    /// Fails if the store fails.
    pub async fn make_room(&self, bytes: u64) -> Result<(), StoreError> {
        self.evict(move |files| files.missing(bytes)).await
    }

    /// Does work that stores small files and this number of bytes. If the disk is full, makes room and does it once more.
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

    /// Makes room for what is stored next within the quota, so that it need not wait.
    ///
    /// # Errors
    ///
    /// Fails if the store fails.
    pub async fn keep_headroom(&self) -> Result<(), StoreError> {
        self.evict(|files| files.lacking_headroom().map(Some)).await
    }

    /// Evicts what is missing, and as much as the headroom.
    async fn evict(
        &self,
        missing: impl Fn(&BlobFiles) -> Result<Option<u64>, StoreError> + Clone + Send + 'static,
    ) -> Result<(), StoreError> {
        let missing = || {
            let (files, missing) = (self.files.clone(), missing.clone());
            blocking(move || Ok(missing(&files)?.filter(|missing| *missing > 0).map(|bytes| (bytes, files.headroom()))))
        };
        if missing().await?.is_none() {
            return Ok(());
        }
        let _running = self.running.lock().await;
        // Another eviction may have made room meanwhile.
        let Some((missing, headroom)) = missing().await? else { return Ok(()) };
        self.record().await?;
        report(self.content.evict(missing.saturating_add(headroom?), self.files.clone()).await?);
        Ok(())
    }

    /// Writes the reads, and the files that came and went.
    ///
    /// # Errors
    ///
    /// Fails if the store fails. The reads are lost then.
    pub async fn record(&self) -> Result<(), StoreError> {
        self.content.record_files(self.reads.take()).await
    }
}

fn report(Evicted { files, bytes }: Evicted) {
    metrics::counter!("dependency_proxy_evicted_files_total").increment(files as u64);
    metrics::counter!("dependency_proxy_evicted_bytes_total").increment(bytes);
    static LINES: LineLimit<()> = LineLimit::new();
    if let Some(left_out) = LINES.admit(&()) {
        tracing::info!(files, bytes, left_out, "content that is seldom read was evicted to make room");
    }
}
