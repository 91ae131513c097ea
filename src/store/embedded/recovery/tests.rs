//! Tests of a start after damage, and of restores: either all identities are present, or the start is refused.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod agreement;
mod damage;
mod replacement;
mod takeover;

use std::fs;
use std::path::Path;

use super::*;
use crate::domain::directory::{Record, Write};
use crate::store::embedded::changes::{Entry, Position};
use crate::store::embedded::identity::EmbeddedIdentities;
use crate::store::embedded::restorable::KeptEvents;

const CHANGES: u64 = 6;

fn put(last_user: u64) -> Write {
    Write::Put(Record::Service(Service { last_user, ..Service::default() }))
}

/// Returns a store whose changes count users up to [`CHANGES`], and whose export lacks the last change.
fn store() -> (tempfile::TempDir, Files) {
    let data = tempfile::tempdir().unwrap();
    let store = EmbeddedIdentities::open(data.path()).unwrap();
    for user in 1..=CHANGES {
        store.commit(&[put(user)], &[]).unwrap();
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
    store.commit(&[put(last_user)], &[]).unwrap();
    Ok(last_user)
}

/// Checks that the start is refused for this reason, and that the refusal names this file to restore from.
fn refused(files: &Files, reason: &str, source: &Path) {
    let refusal = opened(files).unwrap_err();
    assert!(refusal.contains(reason), "{refusal}");
    assert!(refusal.contains(&format!("--from {}", source.display())), "{refusal}");
}

fn journal_of(files: &Files) -> History {
    changes::read(fs::read(&files.journal).unwrap().as_slice()).unwrap()
}
