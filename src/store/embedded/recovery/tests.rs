//! Tests with one damaged file: either all identities are present, or the start is refused.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::fs;

use super::*;
use crate::domain::directory::{Record, Write};
use crate::store::embedded::changes::Entry;
use crate::store::embedded::identity::EmbeddedIdentities;
use crate::store::embedded::reserve::Reserve;

const CHANGES: u64 = 6;

fn put(last_user: u64) -> Write {
    Write::Put(Record::Service(Service { last_user, ..Service::default() }))
}

/// Returns a store whose changes count users up to [`CHANGES`], and whose export lacks the last change.
fn store() -> (tempfile::TempDir, Files) {
    let data = tempfile::tempdir().unwrap();
    let store = EmbeddedIdentities::open(data.path()).unwrap();
    for user in 1..=CHANGES {
        store.commit(&[put(user)]).unwrap();
        if user < CHANGES {
            store.write_export().unwrap();
        }
    }
    drop(store);
    let files = Files::below(data.path());
    (data, files)
}

fn opened(files: &Files) -> Result<u64, String> {
    let store = EmbeddedIdentities::open(&files.data).map_err(|error| error.to_string())?;
    let last_user = store.load().unwrap().service().last_user;
    assert_eq!(store.journal_for_tests().end().unwrap().number, last_user);
    store.commit(&[put(last_user)]).unwrap();
    Ok(last_user)
}

/// Checks that the start is refused for this reason, and that the refusal names this file to restore from.
fn refused(files: &Files, reason: &str, source: &Path) {
    let refusal = opened(files).unwrap_err();
    assert!(refusal.contains(reason), "{refusal}");
    assert!(refusal.contains(&format!("--from {}", source.display())), "{refusal}");
}

#[test]
fn a_database_that_is_missing_emptied_or_damaged_is_made_anew() {
    for damage in ["missing", "emptied", "unreadable", "cut", "zeroed"] {
        let (_data, files) = store();
        let file = files.database.join("db");
        let mut bytes = fs::read(&file).unwrap();
        match damage {
            "missing" => fs::remove_dir_all(&files.database).unwrap(),
            "emptied" => fs::write(&file, "").unwrap(),
            "unreadable" => fs::write(files.database.join("conf"), [0xa5; 64]).unwrap(),
            "cut" => fs::write(&file, &bytes[..bytes.len() / 2]).unwrap(),
            _ => {
                let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
                bytes[used / 2..=used].fill(0);
                fs::write(&file, bytes).unwrap();
            }
        }
        assert_eq!(opened(&files), Ok(CHANGES), "{damage}");
    }
}

#[test]
fn records_that_differ_are_put_right_and_times_of_last_use_stay() {
    let (_data, files) = store();
    let id = crate::domain::id::CredentialId::from_random([1; 16]);
    let at = jiff::Timestamp::from_second(1_000).unwrap();
    let database = RecordsDatabase::open(&files.database).unwrap();
    database.note_last_used([(id, at)]).unwrap();
    let position = database.position().unwrap().unwrap();
    database.apply(&[Entry::of(&put(2)).unwrap()], position).unwrap();
    drop(database);
    assert_eq!(opened(&files), Ok(CHANGES));
    assert!(files.database.with_extension("damaged").is_dir());
    assert_eq!(EmbeddedIdentities::open(&files.data).unwrap().last_used().unwrap().get(&id), Some(&at));
}

#[test]
fn times_of_last_use_that_cannot_be_read_do_not_stop_a_start() {
    let (_data, files) = store();
    let database = sled::open(&files.database).unwrap();
    database.open_tree("last_used").unwrap().insert("nonsense", "").unwrap();
    database.flush().unwrap();
    drop(database);
    assert_eq!(opened(&files), Ok(CHANGES));
    assert!(EmbeddedIdentities::open(&files.data).unwrap().last_used().unwrap().is_empty());
}

#[test]
fn a_change_that_was_on_its_way_counts_if_its_line_is_whole_and_is_dropped_if_not() {
    let (_data, files) = store();
    let journal = Journal::open(&files.journal, &journal_of(&files)).unwrap();
    journal.append(&[Entry::of(&put(CHANGES + 1)).unwrap()], |_| Ok(())).unwrap();
    let whole = fs::read(&files.journal).unwrap();
    for cut in [1, 40, 200] {
        fs::write(&files.journal, &whole[..whole.len() - cut]).unwrap();
        let store = EmbeddedIdentities::open(&files.data).unwrap();
        assert_eq!(store.load().unwrap().service().last_user, CHANGES);
    }
    fs::write(&files.journal, &whole).unwrap();
    assert_eq!(opened(&files), Ok(CHANGES + 1));
    assert!(!files.database.with_extension("damaged").exists(), "that is no damage");
}

#[test]
fn a_journal_that_lacks_what_was_acknowledged_is_refused_wherever_it_was_cut_or_changed() {
    let (_data, files) = store();
    let whole = fs::read(&files.journal).unwrap();
    for at in (0..whole.len()).step_by(7) {
        fs::write(&files.journal, &whole[..at]).unwrap();
        refused(&files, "cannot be opened", &files.database);
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        fs::write(&files.journal, changed).unwrap();
        refused(&files, "cannot be opened", &files.database);
    }
    fs::remove_file(&files.journal).unwrap();
    refused(&files, "is missing", &files.database);
    fs::write(&files.journal, whole).unwrap();
    assert_eq!(opened(&files), Ok(CHANGES), "a refusal changes nothing");
}

#[test]
fn an_export_that_knows_more_stops_a_start_when_the_database_does_not() {
    let (_data, files) = store();
    let store = EmbeddedIdentities::open(&files.data).unwrap();
    store.write_export().unwrap();
    drop(store);
    fs::remove_dir_all(&files.database).unwrap();
    let bytes = fs::read(&files.journal).unwrap();
    let line = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for cut in [line, bytes.len() - 5] {
        fs::write(&files.journal, &bytes[..cut]).unwrap();
        refused(&files, "the export knows of change 6", &files.export);
    }
    // A damaged last export does not matter: the previous one is read.
    fs::write(&files.export, "damaged").unwrap();
    fs::write(&files.journal, &bytes[..line]).unwrap();
    assert_eq!(opened(&files), Ok(CHANGES - 1), "nobody is left who knows better");
}

/// Returns a store of another installation that was restored once, so that its numbers begin above ours.
fn foreign() -> (tempfile::TempDir, Files) {
    let (data, files) = store();
    let backup = export::read(&files.journal).unwrap();
    EmbeddedIdentities::restore(data.path(), &backup.directory, backup.number, || Ok(())).unwrap();
    (data, files)
}

#[test]
fn one_file_of_another_installation_is_named_and_outvoted_whatever_its_numbers_are() {
    for others in [store(), foreign()] {
        for (name, agreeing) in [
            ("identity.journal", "the database and the export"),
            ("identity", "the journal and the export"),
            ("identity.jsonl", "the journal and the database"),
        ] {
            let (_data, files) = store();
            let from = others.1.data.join(name);
            replace(&files.data.join(name), &from);
            let reason = format!("{} is of another installation than {agreeing}", files.data.join(name).display());
            let source = if name == "identity.journal" { &files.database } else { &files.journal };
            refused(&files, &reason, source);
            let backup = export::read(source).unwrap();
            EmbeddedIdentities::restore(&files.data, &backup.directory, backup.number, || Ok(())).unwrap();
            assert_eq!(
                EmbeddedIdentities::open(&files.data).unwrap().load().unwrap().service().last_user,
                CHANGES,
                "{name}"
            );
            assert!(EmbeddedIdentities::open(&files.data).is_ok(), "{name}");
        }
    }
}

#[test]
fn a_file_of_another_history_of_the_same_installation_is_named_and_outvoted() {
    let (_data, files) = store();
    let (_copy, copies) = copied(&files);
    let store = EmbeddedIdentities::open(&copies.data).unwrap();
    store.commit(&[put(70)]).unwrap();
    store.write_export().unwrap();
    drop(store);
    let store = EmbeddedIdentities::open(&files.data).unwrap();
    store.commit(&[put(7)]).unwrap();
    store.write_export().unwrap();
    drop(store);
    fs::copy(&copies.export, &files.export).unwrap();
    let reason = "identity.jsonl is of another history than the journal and the database";
    refused(&files, reason, &files.journal);
}

#[test]
fn where_two_files_disagree_and_there_is_no_third_the_refusal_names_both() {
    let (_data, files) = store();
    let (_other, others) = foreign();
    fs::remove_file(&files.export).unwrap();
    fs::remove_file(export::previous(&files.export)).unwrap();
    fs::copy(&others.journal, &files.journal).unwrap();
    let refusal = opened(&files).unwrap_err();
    for part in ["identity.journal", "identity are of different installations", "no third file shows"] {
        assert!(refusal.contains(part), "{part}: {refusal}");
    }
}

#[test]
fn what_restores_kept_aside_is_advised_only_where_it_is_of_this_installation() {
    let (_data, files) = store();
    let (_other, others) = foreign();
    fs::create_dir(files.data.join("identity.replaced-1")).unwrap();
    fs::copy(&others.journal, files.data.join("identity.replaced-1/identity.journal")).unwrap();
    fs::write(&files.journal, "damaged").unwrap();
    refused(&files, "cannot be opened", &files.database);
}

#[test]
fn files_of_a_version_without_installations_are_opened_and_marked() {
    let (_data, files) = store();
    unmark(&files);
    assert_eq!(opened(&files), Ok(CHANGES));
    let end = journal_of(&files).end();
    assert!(end.installation.is_some());
    assert_eq!(RecordsDatabase::open(&files.database).unwrap().position().unwrap(), Some(end));
    assert!(!files.database.with_extension("damaged").exists(), "that is no damage");
    // A journal without an installation that is put there later does not count as one of this installation.
    let (_other, others) = foreign();
    unmark(&others);
    fs::copy(&others.journal, &files.journal).unwrap();
    let store = EmbeddedIdentities::open(&files.data).err().unwrap().to_string();
    assert!(store.contains("identity.journal") && store.contains("of different installations"), "{store}");
}

#[test]
fn an_incomplete_line_counts_as_never_acknowledged_only_where_the_database_says_so() {
    let (_data, files) = store();
    assert_eq!(opened(&files), Ok(CHANGES), "with one more change");
    let whole = fs::read(&files.journal).unwrap();
    fs::remove_dir_all(&files.database).unwrap();
    fs::write(&files.journal, &whole[..whole.len() - 1]).unwrap();
    let known = CHANGES;
    let refusal = opened(&files).unwrap_err();
    for part in [
        format!("incomplete line after change {known}"),
        format!(
            "changes after number {known}, if there were any, are lost, and credentials that they revoked become valid again"
        ),
        format!("--from {} --up-to {known}", files.journal.display()),
    ] {
        assert!(refusal.contains(&part), "{part}: {refusal}");
    }
    let backup = export::read_up_to(&files.journal, Some(known)).unwrap();
    EmbeddedIdentities::restore(&files.data, &backup.directory, backup.number, || Ok(())).unwrap();
    assert_eq!(EmbeddedIdentities::open(&files.data).unwrap().load().unwrap().service().last_user, known);
}

#[test]
fn what_can_be_read_of_a_damaged_journal_is_advised_where_it_is_newer_than_the_export() {
    let (_data, files) = store();
    let store = EmbeddedIdentities::open(&files.data).unwrap();
    for user in [7, 8] {
        store.commit(&[put(user)]).unwrap();
    }
    drop(store);
    fs::remove_dir_all(&files.database).unwrap();
    let mut bytes = fs::read(&files.journal).unwrap();
    let length = bytes.len();
    bytes[length - 10] ^= 1;
    bytes.extend(b"and more\n");
    fs::write(&files.journal, bytes).unwrap();
    let refusal = opened(&files).unwrap_err();
    assert!(refusal.contains(&format!("--from {} --up-to 7", files.journal.display())), "{refusal}");
    assert!(refusal.contains("changes after number 7"), "{refusal}");
    assert!(export::read(&files.journal).is_err() && export::read_up_to(&files.journal, Some(8)).is_err());
    assert_eq!(export::read_up_to(&files.journal, Some(7)).unwrap().directory.service().last_user, 7);
    assert_eq!(export::read_up_to(&files.journal, Some(3)).unwrap().directory.service().last_user, 3);
}

/// Removes the installation from the files.
fn unmark(files: &Files) {
    let history = journal_of(files);
    let end = Position { installation: None, ..history.end() };
    Journal::create(&files.journal, end, &history.records).unwrap();
    RecordsDatabase::open(&files.database).unwrap().apply(&[], end).unwrap();
    fs::remove_file(&files.export).unwrap();
    drop(fs::remove_file(export::previous(&files.export)));
}

/// Returns a copy of the folder.
fn copied(files: &Files) -> (tempfile::TempDir, Files) {
    let data = tempfile::tempdir().unwrap();
    for name in ["identity", "identity.journal", "identity.jsonl"] {
        replace(&data.path().join(name), &files.data.join(name));
    }
    let files = Files::below(data.path());
    (data, files)
}

/// Replaces a file or folder with a copy of another.
fn replace(to: &Path, from: &Path) {
    let _ = fs::remove_file(to).or_else(|_| fs::remove_dir_all(to));
    let copied = std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}

#[test]
fn a_store_from_before_there_was_a_journal_is_taken_over_once() {
    let (_data, files) = store_of_before(7, 7);
    let store = EmbeddedIdentities::open(&files.data).unwrap();
    assert_eq!(store.load().unwrap().service().last_user, 7);
    assert_eq!(store.journal_for_tests().end().unwrap().number, 1);
    drop(store);
    let begun = journal_of(&files).end();
    assert_eq!(RecordsDatabase::open(&files.database).unwrap().position().unwrap(), Some(begun));
    fs::remove_file(&files.journal).unwrap();
    refused(&files, "is missing", &files.database);
}

#[test]
fn a_store_from_before_whose_export_shows_that_it_lost_changes_is_refused() {
    let (_data, files) = store_of_before(6, 7);
    refused(&files, "the export has changes that the database lacks", &files.export);
    let (_data, files) = store_of_before(7, 6);
    assert!(EmbeddedIdentities::open(&files.data).is_ok(), "an export may be behind");
}

#[test]
fn a_takeover_that_was_killed_is_completed() {
    let (_data, files) = store_of_before(7, 7);
    let texts = RecordsDatabase::open(&files.database).unwrap().texts().unwrap();
    Journal::create(&files.journal, Position::of_new_history(1), &texts).unwrap();
    assert_eq!(EmbeddedIdentities::open(&files.data).unwrap().load().unwrap().service().last_user, 7);
    assert!(!files.database.with_extension("damaged").exists());
}

#[test]
fn a_restore_from_any_of_the_files_counts_on_and_keeps_what_was_there() {
    for source in ["identity", "identity.journal", "identity.jsonl"] {
        let (_data, files) = store();
        let source = files.data.join(source);
        let backup = export::read(&source).unwrap();
        let aside =
            EmbeddedIdentities::restore(&files.data, &backup.directory, backup.number, || Ok(())).unwrap().unwrap();
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

/// Returns a prepared restore of a store that counts one user.
fn replacement(files: &Files) -> Replacement<'_> {
    let records = BTreeMap::from([("service".to_owned(), Entry::of(&put(1)).unwrap().value.unwrap())]);
    let known = known(files);
    let position = Position::of_new_history(known.change + 1000).of_installation(known.installation);
    Replacement::prepare(files, position, &records, &Reserve::at(&files.data)).unwrap()
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
    EmbeddedIdentities::restore(&files.data, &backup.directory, backup.number, || Ok(())).unwrap();
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

#[test]
fn the_numbers_that_a_damaged_store_gave_are_known() {
    let (_data, files) = store();
    let bytes = fs::read(&files.journal).unwrap();
    fs::write(&files.journal, &bytes[..bytes.len() - 200]).unwrap();
    fs::remove_file(&files.export).unwrap();
    let known = known(&files);
    assert_eq!((known.change, known.service.last_user), (CHANGES, CHANGES));
    fs::remove_dir_all(&files.database).unwrap();
    assert_eq!(super::known(&files).service.last_user, CHANGES - 1);
}

fn journal_of(files: &Files) -> History {
    changes::read(fs::read(&files.journal).unwrap().as_slice()).unwrap()
}

/// Returns a database without a position, and an export of version 1 beside it.
fn store_of_before(last_user: u64, exported: u64) -> (tempfile::TempDir, Files) {
    let data = tempfile::tempdir().unwrap();
    let files = Files::below(data.path());
    let record = |last_user| Record::Service(Service { last_user, ..Service::default() });
    let database = sled::open(&files.database).unwrap();
    let records = database.open_tree("records").unwrap();
    records.insert("service", serde_json::to_vec(&record(last_user)).unwrap()).unwrap();
    records.flush().unwrap();
    drop((records, database));
    let record = serde_json::to_string(&record(exported)).unwrap();
    let body = format!("{{\"format\":\"dependency-proxy identities\",\"version\":1}}\n{record}\n");
    let digest = crate::auth::sha256::digest(body.as_bytes());
    fs::write(&files.export, format!("{body}{{\"sha256\":\"{digest}\"}}\n")).unwrap();
    (data, files)
}
