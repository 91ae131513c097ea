//! Checks of an interleaving: what callers got, what is stored, and what is left over.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::interleaving::{Interleaving, LAST_GROUP, RunningCall};
use super::process::Process;
use super::scheduler::Ended;
use crate::actors::blob_cache::{BlobCacheHandle, BlobError};
use crate::actors::cache_status::CacheStatus;
use crate::domain::id::GroupId;

impl Interleaving<'_> {
    /// Checks that a caller got a response, or has left.
    pub(super) async fn check_call(
        &self,
        ended: Ended,
        number: usize,
        call: RunningCall,
    ) -> Option<Result<CacheStatus, String>> {
        if !call.is_finished() {
            self.oracle.violated(format!("caller {number} waits for ever ({ended:?})"));
            return None;
        }
        match call.await {
            Ok(outcome) => {
                self.oracle.known().sees(outcome.as_ref().map_or("left", kind_of));
                if let Some(Err(error)) = &outcome {
                    self.oracle.fails(error);
                }
                outcome.map(|outcome| outcome.map_err(|error| error.to_string()))
            }
            Err(lost) => {
                let panic = lost.into_panic();
                let is_ours = panic.downcast_ref::<&str>().is_some_and(|fault| *fault == "a fault of ours");
                if !is_ours {
                    self.oracle.violated(format!("caller {number} panicked"));
                }
                None
            }
        }
    }

    /// Checks that nothing is under way any more.
    pub(super) async fn check_rest(&self, process: &Process) {
        let downloads = process.blobs.downloads().await;
        if !downloads.is_empty() {
            self.oracle.violated(format!("{downloads:?} never ends"));
        }
        let BlobCacheHandle { shared, waiters, range_streams, .. } = &process.blobs;
        let options = &self.scenario.options;
        let free = [shared.unstored_streams.free(), range_streams.free(), waiters.free()];
        let max = [options.max_unstored_streams.get(), options.max_range_streams.get(), self.scenario.max_waiters];
        if free != max {
            self.oracle.violated(format!("of {max:?} permits, {free:?} are free"));
        }
        if self.world.folder.path().join("spool").read_dir().unwrap().next().is_some() {
            self.oracle.violated("a file is left in the spool".to_owned());
        }
    }

    /// Checks what is stored, if it has changed.
    pub(super) fn check(&mut self) {
        let inode = fs::metadata(&self.stored).ok().map(|file| file.ino());
        if let Some(what) = match (self.checked, inode) {
            (Some(_), None) => Some("a stored file is removed"),
            (Some(before), Some(now)) if before != now => Some("a stored file is replaced"),
            _ => None,
        } {
            self.oracle.known().sees(what);
        }
        if inode.is_some() && inode != self.checked {
            self.oracle.stores(&fs::read(&self.stored).unwrap());
        }
        self.checked = inode;
    }

    /// Checks that no group has a link to what upstream has not served to its account.
    pub(super) fn check_links(&self) {
        let index = self.world.content.engine().index();
        for (group, elsewhere) in (1..=LAST_GROUP).flat_map(|group| [(group, false), (group, true)]) {
            let origin = self.scenario.origin(elsewhere);
            let link = index.link(GroupId(group), &origin, &self.scenario.digest).unwrap();
            let is_granted = link.is_some_and(|link| link.is_granted());
            if is_granted && !(self.oracle.known().accepted.contains(&origin) && self.oracle.is_all_sent()) {
                self.oracle.violated(format!("group {group} has a link to what upstream has not served"));
            }
        }
    }
}

fn kind_of(outcome: &Result<CacheStatus, BlobError>) -> &'static str {
    match outcome {
        Ok(CacheStatus::Hit) => "hit",
        Ok(CacheStatus::Miss) => "miss",
        Ok(CacheStatus::Coalesced) => "coalesced",
        Ok(CacheStatus::Revalidated) => "revalidated",
        Ok(_) => "another",
        Err(BlobError::WrongDigest) => "wrong digest",
        Err(BlobError::WrongLength { .. }) => "wrong length",
        Err(BlobError::Busy) => "busy",
        Err(BlobError::TooSlow) => "too slow",
        Err(BlobError::Interrupted) => "interrupted",
        Err(BlobError::NoLength) => "no length",
        Err(BlobError::Unavailable(_)) => "unavailable",
        Err(BlobError::Unknown | BlobError::Denied { .. }) => "refused",
        Err(BlobError::Store(_)) => "store failed",
    }
}
