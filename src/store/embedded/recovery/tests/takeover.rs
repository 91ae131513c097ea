//! Tests of a store from before there was a journal.

use super::*;

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
