//! Tests of restores: from each of the files, killed at each step, and over what cannot be set aside.

use std::collections::BTreeMap;

use super::*;
use crate::store::embedded::export::Exported;
use crate::store::reserve::Reserve;

#[test]
fn a_restore_from_any_of_the_files_counts_on_and_keeps_what_was_there() {
    for source in ["identity", "identity.journal", "identity.jsonl"] {
        let (_data, files) = store();
        let source = files.data.join(source);
        let backup = export::read(&source).unwrap();
        let aside = EmbeddedIdentities::restore(
            &files.data,
            (&backup.directory, &KeptEvents::default()),
            backup.number,
            || Ok(()),
        )
        .unwrap()
        .unwrap();
        for kept in ["db", "identity.journal", "identity.jsonl", "identity.jsonl.1"] {
            assert!(aside.join(kept).exists(), "{kept}");
        }
        let store = EmbeddedIdentities::open(&files.data).unwrap();
        let expected = if source == files.export { CHANGES - 1 } else { CHANGES };
        assert_eq!(store.load().unwrap().service().last_user, expected);
        let end = store.journal_for_tests().end().unwrap();
        assert_eq!((end.number, export::position(&files.export).unwrap()), (CHANGES + 1000, Exported::At(end)));
    }
}

#[test]
fn a_restore_that_is_killed_leaves_what_was_there_or_what_was_restored() {
    let (_data, files) = store();
    let counted = || EmbeddedIdentities::open(&files.data).unwrap().load().unwrap().service().last_user;
    drop(replacement(&files));
    assert_eq!(counted(), CHANGES, "before anything is set aside");
    replacement(&files).keep_aside().unwrap();
    assert_eq!(counted(), CHANGES, "before the journal is replaced");
    let mut replacing = replacement(&files);
    replacing.keep_aside().unwrap();
    drop(replacing.switch().unwrap());
    assert_eq!(counted(), 1, "after it is");
    assert!(replacement(&files).carry_out().unwrap().is_some());
    assert_eq!(counted(), 1, "once more");
}

#[test]
fn a_restore_that_is_killed_over_a_damaged_journal_leaves_the_newest_copy_where_it_is_advised() {
    let (_data, files) = store();
    let mut bytes = fs::read(&files.journal).unwrap();
    bytes[300] ^= 1;
    fs::write(&files.journal, bytes).unwrap();
    replacement(&files).keep_aside().unwrap();
    refused(&files, "is damaged", &files.database);
    // Earlier versions moved the database first.
    let aside = files.data.join("identity.replaced-7");
    fs::rename(&files.database, &aside).unwrap();
    refused(&files, "is damaged", &aside);
    let backup = export::read(&aside).unwrap();
    EmbeddedIdentities::restore(&files.data, (&backup.directory, &KeptEvents::default()), backup.number, || Ok(()))
        .unwrap();
    assert_eq!(EmbeddedIdentities::open(&files.data).unwrap().load().unwrap().service().last_user, CHANGES);
}

#[test]
fn a_restore_does_without_a_copy_of_what_can_be_neither_linked_nor_read() {
    for unreadable in ["identity.journal", "identity.jsonl"] {
        let (_data, files) = store();
        let path = files.data.join(unreadable);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let mut replacing = replacement(&files);
        replacing.keep_aside().unwrap();
        replacing.undo();
        assert!(path.is_dir() && !files.data.join("identity.replaced-1").exists(), "{unreadable}: it is undone");
        let aside = replacement(&files).carry_out().unwrap().unwrap();
        assert!(aside.join("db").exists() && aside.join(unreadable).is_dir(), "{unreadable}");
        assert_eq!(
            EmbeddedIdentities::open(&files.data).unwrap().load().unwrap().service().last_user,
            1,
            "{unreadable}"
        );
    }
}

#[test]
fn a_restore_that_cannot_set_aside_says_which_file_and_changes_nothing() {
    let (_data, files) = store();
    let before = fs::read(&files.journal).unwrap();
    // A file that is gone can be neither linked nor moved.
    let mut replacing = replacement(&files);
    replacing.keep_aside().unwrap();
    replacing.moved.push(files.data.join("gone"));
    let refusal = replacing.switch().err().unwrap().to_string();
    assert!(refusal.contains("gone"), "{refusal}");
    assert_eq!(fs::read(&files.journal).unwrap(), before);
    assert!(!files.data.join("identity.replaced-1").exists());
    assert_eq!(opened(&files), Ok(CHANGES));
}

/// Returns a prepared restore of a store that counts one user.
fn replacement(files: &Files) -> Replacement<'_> {
    let records = BTreeMap::from([("service".to_owned(), Entry::of(&put(1)).unwrap().value.unwrap())]);
    let known = known(files);
    let position = Position::of_new_history(known.change + 1000).of_installation(known.installation);
    Replacement::prepare(files, position, &records, &Reserve::at(&files.data)).unwrap()
}
