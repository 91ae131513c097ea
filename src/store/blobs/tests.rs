//! Tests of stored blobs: what is found, kept open and in memory, and what is damaged.

use std::fs::File;

use super::*;
use crate::auth::sha256;
use crate::store::spool::Spool;

const DIGEST: Digest = Digest::from_bytes([7; 32]);

fn committed(folder: &Path, bytes: &[u8]) -> BlobFiles {
    committed_as(folder, bytes, &DIGEST)
}

fn committed_as(folder: &Path, bytes: &[u8], digest: &Digest) -> BlobFiles {
    let blobs = BlobFiles::open(folder, MinFree::Percent(0), 8).unwrap();
    let spool = Spool::open(folder).unwrap();
    let spooled = spool.create().unwrap();
    spooled.write_at(0, bytes).unwrap();
    blobs.commit(spooled, digest).unwrap();
    blobs
}

fn file(blobs: &BlobFiles) -> BlobFile {
    match blobs.blob(&DIGEST, None).unwrap().unwrap().content {
        BlobContent::File(file) => file,
        BlobContent::Bytes(bytes) => unreachable!("{} bytes are kept in memory", bytes.len()),
    }
}

/// More bytes than are kept in memory.
static MANY: [u8; 2 * MAX_IN_MEMORY_BYTES as usize] = [b'm'; 2 * MAX_IN_MEMORY_BYTES as usize];

#[test]
fn a_committed_blob_is_found_by_its_digest_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = committed(folder.path(), &MANY);
    assert_eq!(blobs.blob(&DIGEST, Some(2 * MAX_IN_MEMORY_BYTES)).unwrap().unwrap().length, 2 * MAX_IN_MEMORY_BYTES);
    let file = file(&blobs);
    assert_eq!(file.read(1, 4).unwrap(), "mmmm");
    assert_eq!(blobs.digests().unwrap(), [DIGEST]);
    assert_eq!(folder.path().join("spool").read_dir().unwrap().count(), 0);
    assert!(blobs.remove(&DIGEST).unwrap());
    assert!(blobs.blob(&DIGEST, None).unwrap().is_none());
    assert_eq!(file.read(0, 2).unwrap(), "mm");
}

#[test]
fn a_small_blob_is_kept_in_memory_until_it_is_removed_or_replaced() {
    let (folder, digest) = (tempfile::tempdir().unwrap(), sha256::digest(b"hello"));
    let blobs = committed_as(folder.path(), b"hello", &digest);
    let bytes = |blobs: &BlobFiles| match blobs.blob(&digest, Some(5)).unwrap().map(|blob| blob.content) {
        Some(BlobContent::Bytes(bytes)) => Some(bytes),
        Some(BlobContent::File(_)) => unreachable!("it is small"),
        None => None,
    };
    assert_eq!(bytes(&blobs).unwrap(), "hello");
    fs::write(blobs.path(&digest), "what").unwrap();
    blobs.close_removed();
    assert_eq!(bytes(&blobs).unwrap(), "hello", "whatever is written over it");
    assert!(blobs.already_open(&digest, Some(6)).is_none());
    fs::remove_file(blobs.path(&digest)).unwrap();
    blobs.close_removed();
    assert_eq!(bytes(&blobs), None);

    let blobs = committed_as(folder.path(), b"hello", &digest);
    assert_eq!(bytes(&blobs).unwrap(), "hello");
    blobs.remove(&digest).unwrap();
    assert_eq!(bytes(&blobs), None);
}

#[test]
fn a_small_blob_that_is_damaged_is_removed_before_it_is_kept_in_memory() {
    let (folder, digest) = (tempfile::tempdir().unwrap(), sha256::digest(b"hello"));
    for bit in 0..40 {
        let blobs = committed_as(folder.path(), b"hello", &digest);
        let mut damaged = *b"hello";
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(blobs.path(&digest), damaged).unwrap();
        assert!(blobs.blob(&digest, Some(5)).unwrap().is_none());
        assert!(!blobs.path(&digest).exists());
    }
}

#[test]
fn what_a_power_cut_left_short_is_as_good_as_none() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = committed(folder.path(), b"");
    assert!(blobs.blob(&DIGEST, None).unwrap().is_none());
    let blobs = committed(folder.path(), b"hel");
    assert!(blobs.blob(&DIGEST, Some(5)).unwrap().is_none());
}

#[test]
fn a_file_that_is_open_is_not_opened_again_unless_something_happened_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let (blobs, length) = (committed(folder.path(), &MANY), Some(2 * MAX_IN_MEMORY_BYTES));
    assert_eq!(blobs.already_open(&DIGEST, length).map(|blob| blob.length), length, "since its download");
    assert!(blobs.already_open(&DIGEST, Some(6)).is_none());
    File::options().write(true).open(blobs.path(&DIGEST)).unwrap().set_len(MAX_IN_MEMORY_BYTES + 1).unwrap();
    assert!(blobs.already_open(&DIGEST, length).is_none() && blobs.blob(&DIGEST, length).unwrap().is_none());
    blobs.blob(&DIGEST, None).unwrap().unwrap();
    fs::remove_file(blobs.path(&DIGEST)).unwrap();
    assert!(blobs.already_open(&DIGEST, None).is_none() && blobs.blob(&DIGEST, None).unwrap().is_none());
}

#[test]
fn a_removed_blob_is_not_kept_open() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = committed(folder.path(), &MANY);
    let watched = file(&blobs).downgrade();
    assert!(watched.upgrade().is_some());
    blobs.remove(&DIGEST).unwrap();
    assert!(watched.upgrade().is_none());
}

#[test]
fn a_file_that_somebody_removed_is_closed_when_it_is_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = committed(folder.path(), &MANY);
    let watched = file(&blobs).downgrade();
    blobs.close_removed();
    assert!(watched.upgrade().is_some());
    fs::remove_file(blobs.path(&DIGEST)).unwrap();
    blobs.close_removed();
    assert!(watched.upgrade().is_none());
}

#[test]
fn room_is_what_the_disk_has_beyond_what_is_kept_free() {
    let folder = tempfile::tempdir().unwrap();
    let free_space = |min_free| BlobFiles::open(folder.path(), min_free, 8).unwrap().room_left().unwrap();
    assert!(free_space(MinFree::Bytes(0)) > 0);
    assert_eq!(free_space(MinFree::Bytes(u64::MAX)), 0);
    assert_eq!(free_space(MinFree::Percent(100)), 0);
}
