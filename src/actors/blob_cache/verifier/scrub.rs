//! The rest of a round, after the blobs: manifests against their digests, the index against the small files and the
//! stored files, and what is counted against the index. What differs is corrected, reported and counted by the store.

use jiff::Timestamp;

use super::{Work, count, time_for};
use crate::store::error::StoreError;

impl Work {
    /// Verifies what is stored beside the blobs, at the same rate.
    pub(super) fn scrub(&mut self) {
        let done = self.verify_manifests().and_then(|()| self.compare());
        if let Err(error) = &done {
            tracing::warn!(%error, "manifests or the index could not be verified");
        }
        if done.is_ok() && !self.ended {
            metrics::gauge!("dependency_proxy_verified_at_seconds").set(Timestamp::now().as_second() as f64);
            tracing::info!("all that is stored was verified");
        }
    }

    fn verify_manifests(&mut self) -> Result<(), StoreError> {
        let content = self.content.clone();
        for digest in content.manifests()? {
            let read = content.verify_manifest(&digest)?;
            count(read);
            self.pause(time_for(read, self.options.bytes_per_second));
            if !self.pause_for_file() {
                break;
            }
        }
        Ok(())
    }

    fn compare(&mut self) -> Result<(), StoreError> {
        let (content, files) = (self.content.clone(), self.files.clone());
        let mut pace = || self.pause_for_file();
        let corrected = content.verify_again(&files, &mut pace)?;
        if corrected > 0 {
            tracing::warn!(corrected, "entries of the index were corrected by the files");
        }
        content.recount(&mut pace).map(drop)
    }
}
