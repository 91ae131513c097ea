//! Verification of stored blobs: reads them back and compares their digests. A damaged blob is removed, so that it
//! is downloaded again. The caller decides when, how fast and in which order blobs are verified.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{Advice, OFlags, fadvise};

use super::{BlobFile, BlobFiles, for_each_file};
use crate::auth::sha256::Hasher;
use crate::domain::digest::Digest;
use crate::store::atomic_file;
use crate::store::damage::{self, Kind};
use crate::store::error::StoreError;

/// Result of the verification of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// The content has the expected digest.
    Holds,
    /// The content had another digest or could not be read, and the file was removed.
    Removed,
    /// There is no file of this digest, or it was replaced during the verification.
    Gone,
    /// The caller stopped the verification before its end.
    Stopped,
}

/// Identity of a version of a file: device, inode, and time of the last status change in seconds and nanoseconds.
/// Differs after the file was replaced or written to.
pub type Stamp = (u64, u64, i64, i64);

/// Number of bytes read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// Nice value of threads that verify blobs: a lower priority than that of the threads that serve requests.
const VERIFIER_NICE: i32 = 15;

impl BlobFiles {
    /// Reads the blob and compares its digest. Calls `pace` with the number of bytes of each chunk; it may wait to
    /// limit the speed, and returns false to stop. Pages that were not in the page cache before are dropped from
    /// it, so that blobs that are served stay cached. Blocks.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be opened or, where it is damaged, cannot be removed.
    pub fn verify(&self, digest: &Digest, pace: &mut dyn FnMut(u64) -> bool) -> Result<Verified, StoreError> {
        let path = self.path(digest);
        let file = match open_quietly(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Verified::Gone),
            Err(error) => return Err(error.into()),
        };
        let found = match hash(&file, pace) {
            Ok(None) => return Ok(Verified::Stopped),
            Ok(Some(found)) => Ok(found),
            Err(error) => Err(error),
        };
        if found.as_ref().is_ok_and(|found| found == digest) {
            return Ok(Verified::Holds);
        }
        if self.remove_damaged(digest, &file.metadata()?)? { Ok(Verified::Removed) } else { Ok(Verified::Gone) }
    }

    /// Removes a damaged blob, which was read from the file of this metadata. Returns false if another file is there:
    /// it was verified as it was downloaded.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be removed, or if the store is closed.
    pub(super) fn remove_damaged(&self, digest: &Digest, read: &Metadata) -> Result<bool, StoreError> {
        let (path, read) = (self.path(digest), stamp_of(read));
        let _change = self.usage.closing().begin()?;
        let remove = |path: &Path| if stamp(path)? == Some(read) { atomic_file::remove_file(path) } else { Ok(false) };
        let removed = self.remove_with(digest, remove);
        if !matches!(removed, Ok(false)) {
            damage::found(Kind::Blob, &path, digest, "it is removed and fetched again");
        }
        removed
    }

    /// Returns the identity of the file of this blob; `None` if there is no file.
    ///
    /// # Errors
    ///
    /// Fails if the file system does not report the file's metadata.
    pub fn stamp(&self, digest: &Digest) -> Result<Option<Stamp>, StoreError> {
        Ok(stamp(&self.path(digest))?)
    }

    /// Returns the digests of all stored blobs, the most recently read or written first. The order depends on the
    /// access times that the file system records. Blocks.
    ///
    /// # Errors
    ///
    /// Fails if a folder cannot be read.
    pub fn by_last_use(&self) -> Result<Vec<Digest>, StoreError> {
        let mut blobs = Vec::new();
        for_each_file(&self.folder, "", |digest, entry| {
            // A blob that was removed meanwhile sorts last; its verification finds nothing.
            let used = entry.metadata().map_or(0, |file| file.atime().max(file.mtime()));
            blobs.push((u32::try_from(used).unwrap_or_default(), digest));
        })?;
        blobs.sort_unstable_by_key(|(used, _)| std::cmp::Reverse(*used));
        Ok(blobs.into_iter().map(|(_, digest)| digest).collect())
    }
}

/// Lowers the scheduling priority of the calling thread below that of the threads that serve requests.
pub fn lower_priority() {
    // An error is ignored: verification works at normal priority as well.
    let _ = rustix::process::setpriority_process(None, VERIFIER_NICE);
}

/// Returns the digest of the whole file; `None` if `pace` stopped it.
fn hash(file: &File, pace: &mut dyn FnMut(u64) -> bool) -> io::Result<Option<Digest>> {
    let (mut hasher, mut buffer, mut offset) = (Hasher::default(), vec![0; CHUNK_BYTES], 0);
    let blob = BlobFile::new(file.try_clone()?);
    loop {
        let was_cached = blob.is_cached(&(offset..offset + CHUNK_BYTES as u64)).unwrap_or(true);
        let read = match file.read_at(&mut buffer, offset) {
            Ok(0) => return Ok(Some(hasher.finish())),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..read]);
        if !was_cached {
            let _ = fadvise(file, offset, std::num::NonZeroU64::new(read as u64), Advice::DontNeed);
        }
        offset += read as u64;
        if !pace(read as u64) {
            return Ok(None);
        }
    }
}

/// Opens a file so that reading leaves no traces: the access time is not updated, and read-ahead, which would fill
/// the page cache, is switched off.
fn open_quietly(path: &Path) -> io::Result<File> {
    let without_time = i32::try_from(OFlags::NOATIME.bits()).unwrap_or_default();
    let file = match OpenOptions::new().read(true).custom_flags(without_time).open(path) {
        // Only the owner of a file may open it with `O_NOATIME` (open(2)).
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(path)?,
        opened => opened?,
    };
    let _ = fadvise(&file, 0, None, Advice::Random);
    Ok(file)
}

fn stamp(path: &Path) -> io::Result<Option<Stamp>> {
    match std::fs::metadata(path) {
        Ok(file) => Ok(Some(stamp_of(&file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn stamp_of(file: &Metadata) -> Stamp {
    (file.dev(), file.ino(), file.ctime(), file.ctime_nsec())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::auth::sha256;
    use crate::domain::min_free::MinFree;
    use crate::store::spool::Spool;

    fn stored(folder: &Path, bytes: &[u8]) -> (BlobFiles, Digest) {
        let blobs = BlobFiles::open(folder, MinFree::Percent(0), 8).unwrap();
        let (digest, spooled) = (sha256::digest(bytes), Spool::open(folder).unwrap().create().unwrap());
        spooled.write_at(0, bytes).unwrap();
        blobs.commit(spooled, &digest).unwrap();
        (blobs, digest)
    }

    #[test]
    fn a_blob_with_a_bit_flipped_anywhere_is_removed_and_one_that_holds_stays() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..700_000_u32).map(|n| (n / 3) as u8).collect();
        for at in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, 500_000, bytes.len() - 1] {
            let (blobs, digest) = stored(folder.path(), &bytes);
            let mut seen = 0;
            let mut pace = |read| {
                seen += read;
                true
            };
            assert_eq!(blobs.verify(&digest, &mut pace).unwrap(), Verified::Holds);
            assert_eq!(seen, bytes.len() as u64);
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            std::fs::write(blobs.path(&digest), damaged).unwrap();
            assert_eq!(blobs.verify(&digest, &mut |_| true).unwrap(), Verified::Removed, "byte {at}");
            assert!(blobs.blob(&digest, None).unwrap().is_none());
            assert_eq!(blobs.verify(&digest, &mut |_| true).unwrap(), Verified::Gone);
        }
    }

    #[test]
    fn what_was_stored_anew_while_the_file_before_was_read_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (blobs, digest) = stored(folder.path(), b"hello");
        std::fs::write(blobs.path(&digest), "hellO").unwrap();
        let mut again = |_| {
            stored(folder.path(), b"hello");
            true
        };
        assert_eq!(blobs.verify(&digest, &mut again).unwrap(), Verified::Gone);
        assert_eq!(blobs.verify(&digest, &mut |_| true).unwrap(), Verified::Holds);
        assert_eq!(blobs.verify(&digest, &mut |_| false).unwrap(), Verified::Stopped);
    }

    #[test]
    fn those_used_last_come_first_and_a_verification_is_no_use() {
        let folder = tempfile::tempdir().unwrap();
        let digests: Vec<Digest> = [b"a", b"b", b"c"].map(|bytes| stored(folder.path(), bytes).1).into();
        let blobs = BlobFiles::open(folder.path(), MinFree::Percent(0), 8).unwrap();
        let age = |digest: &Digest, seconds| {
            let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            let times = std::fs::FileTimes::new().set_accessed(then).set_modified(then);
            File::options().write(true).open(blobs.path(digest)).unwrap().set_times(times).unwrap();
        };
        for (digest, seconds) in digests.iter().zip([200, 300, 100]) {
            age(digest, seconds);
        }
        blobs.verify(&digests[2], &mut |_| true).unwrap();
        assert_eq!(blobs.by_last_use().unwrap(), [digests[1], digests[0], digests[2]]);
    }

    #[test]
    fn a_blob_that_was_replaced_after_its_damage_was_read_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (blobs, digest) = stored(folder.path(), b"right");
        let path = blobs.path(&digest);
        std::fs::write(&path, b"wrong").unwrap();
        let read = std::fs::metadata(&path).unwrap();
        std::fs::rename(&path, path.with_extension("read")).unwrap();
        std::fs::write(&path, b"right").unwrap();
        assert!(!blobs.remove_damaged(&digest, &read).unwrap() && path.exists());
        let read = std::fs::metadata(&path).unwrap();
        assert!(blobs.remove_damaged(&digest, &read).unwrap() && !path.exists());
    }
}
