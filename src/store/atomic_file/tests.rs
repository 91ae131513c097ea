//! Tests of the replacement of files.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::*;

#[test]
fn a_file_is_written_replaced_and_removed_without_leftovers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/file");
    write_file(&path, b"one").unwrap();
    write_small(&path, b"two").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    assert!(remove_file(&path).unwrap());
    assert!(!remove_file(&path).unwrap());
}

#[test]
fn a_new_file_replaces_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write_new(&path, b"one", 0o600).unwrap();
    assert_eq!(write_new(&path, b"two", 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!((fs::read(&path).unwrap(), fs::read_dir(folder.path()).unwrap().count()), (b"one".to_vec(), 1));
}

#[test]
fn a_renamed_file_replaces_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("x/to"));
    write_file(&from, b"new").unwrap();
    write_file(&to, b"old").unwrap();
    rename(&from, &to).unwrap();
    assert_eq!(fs::read(&to).unwrap(), b"new");
    assert!(!from.exists());
}

#[test]
fn what_a_killed_writer_left_is_removed_and_what_is_being_written_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("a/b");
    create_folder(&below).unwrap();
    let left = write_beside(&below, b"x").unwrap();
    write_file(&below.join("file"), b"whole").unwrap();
    let mut leftovers = TempFileSweep::below(&[folder.path(), &below]);
    leftovers.before = fs::metadata(left.path()).unwrap().modified().unwrap();
    assert_eq!(leftovers.remove().unwrap(), 0);
    leftovers.before += Duration::from_secs(1);
    assert_eq!(leftovers.remove().unwrap(), 1);
    assert_eq!(fs::read_dir(&below).unwrap().count(), 1);
}
