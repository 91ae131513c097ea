//! The end of the embedded store's use: the index agrees with the files then, or is marked so that the next start
//! compares the two.

use std::collections::HashMap;
use std::time::Duration;

use super::EmbeddedContent;
use crate::store::closing::Closing;
use crate::store::error::StoreError;

impl EmbeddedContent {
    /// Closes the store; see [`ContentStore::close`](crate::store::content::ContentStore::close).
    pub(in crate::store) fn close(&self, max_wait: Duration) -> Result<(), StoreError> {
        let usage = self.manifests().usage();
        let is_complete = self.closing().close(max_wait);
        self.index().record_files(usage, &HashMap::new())?;
        // On a full disk the changes of files are not recorded.
        if is_complete && !usage.has_changes() { self.index().close() } else { self.index().flush() }
    }

    /// Returns the changes under way, for which the end of the store waits.
    pub(in crate::store) fn closing(&self) -> &Closing {
        self.manifests().usage().closing()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::domain::digest::Digest;
    use crate::domain::min_free::MinFree;
    use crate::domain::quota::Quota;
    use crate::store::blobs::BlobFiles;
    use crate::store::embedded::index::Index;
    use crate::store::manifests::ManifestStore;
    use crate::store::spool::Spool;
    use crate::store::usage::Usage;

    /// Longer than any change of these tests.
    const MINUTE: Duration = Duration::from_secs(60);

    fn open(folder: &Path) -> (EmbeddedContent, BlobFiles) {
        let usage = Usage::default();
        let index = Index::open(folder, folder).unwrap().counted_in(&usage);
        let blobs = BlobFiles::open(folder, MinFree::Bytes(0), 8).unwrap().within(Quota::Unlimited, usage.clone());
        (EmbeddedContent::new(index, ManifestStore::new(folder).counted_in(usage)), blobs)
    }

    /// Opens the store, and compares the index with all files, as a start does.
    fn started(folder: &Path) -> (EmbeddedContent, BlobFiles) {
        let (content, blobs) = open(folder);
        content.index().check_against_files().unwrap();
        content.reconcile(&blobs, &mut || true).unwrap();
        (content, blobs)
    }

    fn store(folder: &Path, blobs: &BlobFiles, digest: &Digest) -> Result<(), StoreError> {
        let spooled = Spool::open(folder).unwrap().create().unwrap();
        spooled.write_at(0, b"hello").unwrap();
        blobs.commit(spooled, digest)
    }

    fn is_marked(folder: &Path) -> bool {
        folder.join("index/in-use").exists()
    }

    #[test]
    fn the_index_agrees_with_the_files_after_the_close_and_no_file_changes_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let (stays, goes, late) =
            (Digest::from_bytes([1; 32]), Digest::from_bytes([2; 32]), Digest::from_bytes([3; 32]));
        let (content, blobs) = started(folder.path());
        for digest in [stays, goes] {
            store(folder.path(), &blobs, &digest).unwrap();
        }
        content.record_files(&HashMap::new(), &blobs).unwrap();
        blobs.remove(&goes).unwrap();
        content.close(MINUTE).unwrap();
        assert!(!is_marked(folder.path()));
        assert!(matches!(blobs.remove(&stays), Err(StoreError::Closed)));
        assert!(matches!(store(folder.path(), &blobs, &late), Err(StoreError::Closed)));
        drop((content, blobs));
        let (content, blobs) = open(folder.path());
        assert_eq!(content.manifests().usage().totals().blobs, 1);
        assert_eq!(content.reconcile(&blobs, &mut || true).unwrap(), 0, "the records agree with the files");
    }

    #[test]
    fn the_index_stays_marked_until_what_a_kill_has_left_is_compared() {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path()));
        assert!(is_marked(folder.path()));
        for (compares_links, compares_files) in [(false, false), (true, false), (false, true)] {
            let (content, blobs) = open(folder.path());
            if compares_links {
                content.index().check_against_files().unwrap();
            }
            if compares_files {
                content.reconcile(&blobs, &mut || true).unwrap();
            }
            content.close(MINUTE).unwrap();
            assert!(is_marked(folder.path()), "links {compares_links}, files {compares_files}");
        }
        started(folder.path()).0.close(MINUTE).unwrap();
        assert!(!is_marked(folder.path()));
        open(folder.path()).0.close(MINUTE).unwrap();
        assert!(!is_marked(folder.path()), "nothing was left");
    }

    #[test]
    fn the_index_stays_marked_if_a_change_is_under_way_for_too_long() {
        let folder = tempfile::tempdir().unwrap();
        let (content, _blobs) = started(folder.path());
        let _change = content.closing().begin().unwrap();
        content.close(Duration::from_millis(10)).unwrap();
        assert!(is_marked(folder.path()));
    }

    #[test]
    fn a_comparison_ends_with_the_close_and_does_not_count_as_one() {
        let folder = tempfile::tempdir().unwrap();
        let (content, blobs) = open(folder.path());
        store(folder.path(), &blobs, &Digest::from_bytes([1; 32])).unwrap();
        content.index().check_against_files().unwrap();
        content.closing().close(MINUTE);
        content.reconcile(&blobs, &mut || true).unwrap();
        content.close(MINUTE).unwrap();
        assert!(is_marked(folder.path()));
    }
}
