//! The comparison of what a machine has stored with what the object store has.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use super::{COMPARED_AT_ONCE, PAUSES, Uploader, Uploads};
use crate::domain::digest::Digest;
use crate::store::blocking::blocking;
use crate::store::error::StoreError;

/// Time since the last read after which content is not uploaded until it is read again: by then the database may have
/// forgotten that it went from the object store.
const MAX_AGE: Duration = Duration::from_secs(28 * 24 * 3600);

impl Uploads {
    /// Queues what this machine has stored and the object store lacks: at the start, and after the queue was full.
    pub(super) async fn compare(&self, uploader: Uploader) {
        loop {
            if self.overflowed.swap(false, Ordering::Relaxed)
                && let Err(error) = self.compare_once(&uploader).await
            {
                self.overflowed.store(true, Ordering::Relaxed);
                tracing::debug!(%error, "the stored content could not be compared with the object store");
            }
            sleep(PAUSES.1).await;
        }
    }

    async fn compare_once(&self, uploader: &Uploader) -> Result<(), StoreError> {
        for digests in uploader.stored().await?.chunks(COMPARED_AT_ONCE) {
            let mut contents = uploader.ages(digests.to_vec()).await?;
            contents.retain(|(_, age)| *age < MAX_AGE);
            for digest in uploader.objects.lacking(&contents).await? {
                if self.under_way.unfinished().insert(digest) {
                    // Waits while the queue is full.
                    let _ = self.queue.send(digest).await;
                }
            }
            self.report();
        }
        uploader.objects.forget_evicted().await
    }
}

impl Uploader {
    /// Returns the content that this machine has stored.
    pub(in crate::store::fleet) async fn stored(&self) -> Result<Vec<Digest>, StoreError> {
        let (files, content) = (self.files.clone(), self.content.clone());
        blocking(move || {
            let mut stored = content.manifests().digests()?;
            stored.extend(files.digests()?);
            Ok(stored)
        })
        .await
    }

    /// Returns contents with the time since each was last read here; none for what was stored a moment ago.
    pub(in crate::store::fleet) async fn ages(
        &self,
        digests: Vec<Digest>,
    ) -> Result<Vec<(Digest, Duration)>, StoreError> {
        let content = self.content.clone();
        blocking(move || {
            let now = Timestamp::now();
            let age = |digest: &Digest| {
                let since = content.index().last_read(digest).map(|read_at| now.duration_since(read_at));
                since.and_then(|since| Duration::try_from(since).ok()).unwrap_or_default()
            };
            Ok(digests.into_iter().map(|digest| (digest, age(&digest))).collect())
        })
        .await
    }
}
