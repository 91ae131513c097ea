//! Tests of the journal: appends, the state after failures, and compaction.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::sync::Arc;

use super::*;
use crate::domain::directory::{Record, Service, Write};
use crate::store::embedded::changes::Rest;

fn entry(last_user: u64) -> [Entry; 1] {
    [Entry::of(&Write::Put(Record::Service(Service { last_user, ..Service::default() }))).unwrap()]
}

fn journal(folder: &Path) -> Journal {
    Journal::create(&folder.join("journal"), Position::of_new_history(0), &Records::new()).unwrap()
}

fn history(folder: &Path) -> History {
    changes::read(fs::read(folder.join("journal")).unwrap().as_slice()).unwrap()
}

fn last_user(history: &History) -> u64 {
    changes::directory_of(&history.records).unwrap().service().last_user
}

#[test]
fn a_change_stands_in_the_file_before_it_is_applied() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(folder.path());
    for user in 1..=3 {
        let applied = |position: Position| {
            assert_eq!((history(folder.path()).end(), position.number), (position, user));
            Ok(())
        };
        journal.append(&entry(user), applied).unwrap();
    }
    assert_eq!(journal.end().unwrap(), history(folder.path()).end());
}

#[test]
fn nothing_is_appended_to_what_was_written_by_halves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let journal = journal(folder.path());
    journal.append(&entry(1), |_| Ok(())).unwrap();
    let before = fs::read(&path).unwrap();
    // A write to a read-only descriptor fails as one on a full disk does.
    let writable = std::mem::replace(&mut journal.state.lock().unwrap().file, File::open(&path).unwrap());
    fs::write(&path, [before.as_slice(), b"{\"number\":2,\"prev"].concat()).unwrap();
    assert!(journal.append(&entry(2), |_| Ok(())).is_err());
    assert!(journal.append(&entry(2), |_| Ok(())).is_err(), "the half line could not be truncated away");
    drop(writable);
    let read = history(folder.path());
    assert!(matches!(read.rest, Rest::Torn(_)));
    let journal = Journal::open(&path, &read).unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
    journal.append(&entry(3), |_| Ok(())).unwrap();
    assert_eq!((history(folder.path()).end().number, last_user(&history(folder.path()))), (2, 3));
}

#[test]
fn nothing_follows_a_change_that_was_written_and_not_applied() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(folder.path());
    assert!(journal.append(&entry(1), |_| Err(StoreError::Io("no".to_owned()))).is_err());
    let refused = journal.append(&entry(2), |_| Ok(())).unwrap_err().to_string();
    assert!(refused.contains("restart"), "{refused}");
    assert!(journal.compact().is_err() && journal.read_back().is_err());
    assert_eq!(history(folder.path()).end().number, 1);
}

#[test]
fn a_file_that_was_changed_by_another_hand_is_not_rewritten() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = journal(folder.path());
    journal.min_changes_bytes = 0;
    for user in 1..=9 {
        journal.append(&entry(user), |_| Ok(())).unwrap();
    }
    let path = folder.path().join("journal");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(journal.compact().is_err());
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn compaction_keeps_the_end_and_the_records_and_shortens_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = journal(folder.path());
    assert!(!journal.compact().unwrap());
    journal.min_changes_bytes = 0;
    for user in 1..=9 {
        journal.append(&entry(user), |_| Ok(())).unwrap();
    }
    let before = history(folder.path());
    assert!(journal.compact().unwrap());
    assert!(!journal.compact().unwrap());
    let after = history(folder.path());
    assert_eq!((after.end(), last_user(&after)), (before.end(), 9));
    assert!(after.whole_bytes < before.whole_bytes / 2);
    assert_eq!(after.snapshot_bytes, after.whole_bytes);
    journal.append(&entry(10), |_| Ok(())).unwrap();
    let after = history(folder.path());
    assert_eq!((after.end().number, last_user(&after), &after.rest), (10, 10, &Rest::Nothing));
    assert_eq!(after.digest_at(9), Some(before.end().digest));
}

#[test]
fn changes_that_are_appended_while_the_file_is_rewritten_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = journal(folder.path());
    journal.min_changes_bytes = 0;
    let journal = Arc::new(journal);
    let writer = std::thread::spawn({
        let journal = journal.clone();
        move || (1..=300).for_each(|user| journal.append(&entry(user), |_| Ok(())).unwrap())
    });
    let mut rewritten = 0;
    while !writer.is_finished() {
        rewritten += usize::from(journal.compact().unwrap());
        let now = history(folder.path());
        assert_eq!(last_user(&now), now.end().number);
    }
    writer.join().unwrap();
    assert!(rewritten > 0);
    let end = history(folder.path());
    assert_eq!((end.end(), last_user(&end), end.rest), (journal.end().unwrap(), 300, Rest::Nothing));
}
