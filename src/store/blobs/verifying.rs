//! Reading stored blobs back to see whether they still have their digests. What does not is removed, so that it is fetched again.
//! When, how fast and in which order that is done is decided elsewhere.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{Advice, OFlags, fadvise};

use super::{BlobFile, BlobFiles, for_each_file};
use crate::auth::sha256::Hasher;
use crate::domain::digest::Digest;
use crate::store::damage::{self, Kind};
use crate::store::error::StoreError;

/// What a verification of a blob found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// The file has its digest.
    Holds,
    /// It had another one, or could not be read, and was removed.
    Removed,
    /// There is no such file.
    Gone,
    /// The verification was stopped before its end.
    Stopped,
}

/// Tells a file from one that replaced it, and from itself before it was written to: device, inode and time of change.
pub type Stamp = (u64, u64, i64, i64);

/// So many bytes are read at once.
const CHUNK: usize = 256 * 1024;

/// Below the priority of threads that serve (`nice`).
const PRIORITY: i32 = 15;

impl BlobFiles {
    /// Reads the blob and compares its digest. `pace` is given the number of bytes of each chunk, waits as long as it likes, and
    /// says whether to go on. Uses no memory that the kernel needs for blobs that are served: what was not in the page cache before
    /// is dropped from it. Blocks.
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
        // One that was stored anew meanwhile was verified as it was written.
        if stamp(&path)? != Some(stamp_of(&file.metadata()?)) {
            return Ok(Verified::Gone);
        }
        let removed = self.remove(digest);
        damage::found(Kind::Blob, &path, digest, "it is removed and fetched again");
        removed.map(|_| Verified::Removed)
    }

    /// What tells the file of this blob from others; nothing where there is none.
    pub fn stamp(&self, digest: &Digest) -> Result<Option<Stamp>, StoreError> {
        Ok(stamp(&self.path(digest))?)
    }

    /// The digests of all stored blobs, those read or written last first, as far as the file system notes it. Blocks.
    pub fn by_last_use(&self) -> Result<Vec<Digest>, StoreError> {
        let mut blobs = Vec::new();
        for_each_file(&self.folder, |digest, entry| {
            // One that was removed meanwhile need not be verified.
            let used = entry.metadata().map_or(0, |file| file.atime().max(file.mtime()));
            blobs.push((u32::try_from(used).unwrap_or_default(), digest));
        })?;
        blobs.sort_unstable_by_key(|(used, _)| std::cmp::Reverse(*used));
        Ok(blobs.into_iter().map(|(_, digest)| digest).collect())
    }
}

/// Gives the calling thread the processor only where threads that serve leave it.
pub fn lower_priority() {
    // Where that is not allowed it is merely less polite.
    let _ = rustix::process::setpriority_process(None, PRIORITY);
}

/// The digest of the whole file, or nothing where it was stopped.
fn hash(file: &File, pace: &mut dyn FnMut(u64) -> bool) -> io::Result<Option<Digest>> {
    let (mut hasher, mut buffer, mut offset) = (Hasher::default(), vec![0; CHUNK], 0);
    let blob = BlobFile::new(file.try_clone()?);
    loop {
        let was_cached = blob.is_cached(&(offset..offset + CHUNK as u64)).unwrap_or(true);
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

/// Opens a file without the traces of its being used: the time of last use stays, and the kernel reads nothing ahead, which would
/// stay in memory.
fn open_quietly(path: &Path) -> io::Result<File> {
    let without_time = i32::try_from(OFlags::NOATIME.bits()).unwrap_or_default();
    let file = match OpenOptions::new().read(true).custom_flags(without_time).open(path) {
        // Only the owner of a file may.
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

fn stamp_of(file: &std::fs::Metadata) -> Stamp {
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
        for at in [0, 1, CHUNK - 1, CHUNK, 500_000, bytes.len() - 1] {
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
}
