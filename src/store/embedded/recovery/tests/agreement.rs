//! Tests with a file of another installation or of another history.

use super::*;

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
            EmbeddedIdentities::restore(
                &files.data,
                (&backup.directory, &KeptEvents::default()),
                backup.number,
                || Ok(()),
            )
            .unwrap();
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
    store.commit(&[put(70)], &[]).unwrap();
    store.write_export().unwrap();
    drop(store);
    let store = EmbeddedIdentities::open(&files.data).unwrap();
    store.commit(&[put(7)], &[]).unwrap();
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

/// Returns a store of another installation that was restored once, so that its numbers begin above ours.
fn foreign() -> (tempfile::TempDir, Files) {
    let (data, files) = store();
    let backup = export::read(&files.journal).unwrap();
    EmbeddedIdentities::restore(data.path(), (&backup.directory, &KeptEvents::default()), backup.number, || Ok(()))
        .unwrap();
    (data, files)
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
