//! Tests with one damaged file: what is restored from the others, and what is refused.

use super::*;

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
    database.note_last_used([(id, at.into())]).unwrap();
    let position = database.position().unwrap().unwrap();
    database.apply(&[Entry::of(&put(2)).unwrap()], position).unwrap();
    drop(database);
    assert_eq!(opened(&files), Ok(CHANGES));
    assert!(files.database.with_extension("damaged").is_dir());
    assert_eq!(EmbeddedIdentities::open(&files.data).unwrap().last_used().unwrap().get(&id), Some(&at.into()));
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
    EmbeddedIdentities::restore(&files.data, (&backup.directory, &KeptEvents::default()), backup.number, || Ok(()))
        .unwrap();
    assert_eq!(EmbeddedIdentities::open(&files.data).unwrap().load().unwrap().service().last_user, known);
}

#[test]
fn what_can_be_read_of_a_damaged_journal_is_advised_where_it_is_newer_than_the_export() {
    let (_data, files) = store();
    let store = EmbeddedIdentities::open(&files.data).unwrap();
    for user in [7, 8] {
        store.commit(&[put(user)], &[]).unwrap();
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
