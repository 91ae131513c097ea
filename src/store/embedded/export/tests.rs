//! Tests of exports: content, frequency and reading back.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;
use crate::domain::directory::{Service, Write};
use crate::store::embedded::changes::{Entry, Records};

struct Store {
    folder: tempfile::TempDir,
    journal: Journal,
    export: Export,
}

impl Store {
    fn new(number: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("identity.journal");
        let journal = Journal::create(&journal, Position::of_new_history(number), &Records::new()).unwrap();
        let export = Export::at(&folder.path().join("identity.jsonl"));
        Self { folder, journal, export }
    }

    fn change(&self, last_token: u64) {
        let record = Record::Service(Service { last_token, ..Service::default() });
        self.journal.append(&[Entry::of(&Write::Put(record)).unwrap()], |_| Ok(())).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("identity.jsonl")
    }
}

fn last_token(path: &Path) -> u64 {
    read(path).unwrap().directory.service().last_token
}

#[test]
fn an_export_and_a_journal_are_read_back_and_changed_ones_are_refused() {
    let store = Store::new(0);
    store.change(9);
    assert!(store.export.write_now(&store.journal).unwrap());
    assert!(!store.export.write_now(&store.journal).unwrap(), "nothing has changed");
    for name in ["identity.jsonl", "identity.journal"] {
        let path = store.folder.path().join(name);
        assert_eq!((last_token(&path), read(&path).unwrap().number), (9, 1));
        let text = fs::read_to_string(&path).unwrap();
        for changed in [text.replace("identities", "idiocies"), text[1..].to_owned(), String::new()] {
            fs::write(&path, changed).unwrap();
            assert!(matches!(read(&path), Err(StoreError::Damaged(_))));
        }
    }
    assert!(matches!(read(&store.folder.path().join("nowhere")), Err(StoreError::Io(_))));
}

#[test]
fn an_export_of_the_first_version_is_read_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identity.jsonl");
    let body = "{\"format\":\"dependency-proxy identities\",\"version\":1}\n{\"record\":\"service\",\
                \"proxy_enabled\":null,\"last_user\":0,\"last_group\":0,\"last_token\":9}\n";
    let text = format!("{body}{{\"sha256\":\"{}\"}}\n", sha256::digest(body.as_bytes()));
    fs::write(&path, &text).unwrap();
    assert_eq!((last_token(&path), position(&path).unwrap()), (9, Exported::Unnumbered));
    for changed in [text.replace('9', "8"), text[..text.len() - 2].to_owned()] {
        fs::write(&path, changed).unwrap();
        assert!(matches!(read(&path), Err(StoreError::Damaged(_))));
    }
}

#[test]
fn the_export_before_the_last_is_kept_and_a_damaged_one_is_not() {
    let store = Store::new(0);
    for token in 1..=3 {
        store.change(token);
        store.export.write_now(&store.journal).unwrap();
    }
    assert_eq!((last_token(&store.path()), last_token(&previous(&store.path()))), (3, 2));
    fs::write(store.path(), "damaged").unwrap();
    store.change(4);
    store.export.write_now(&store.journal).unwrap();
    assert_eq!((last_token(&store.path()), last_token(&previous(&store.path()))), (4, 2));
}

#[test]
fn an_export_is_not_replaced_by_one_with_fewer_changes() {
    let (old, new) = (Store::new(10), Store::new(20));
    for store in [&old, &new] {
        store.change(1);
    }
    new.export.write_now(&new.journal).unwrap();
    fs::copy(new.path(), old.path()).unwrap();
    let refused = old.export.write_now(&old.journal).unwrap_err().to_string();
    assert!(refused.contains("has 21 changes"), "{refused}");
    assert_eq!(position(&old.path()).unwrap(), position(&new.path()).unwrap());
}

#[test]
fn a_large_export_is_written_less_often() {
    let store = Store::new(0);
    store.change(1);
    assert!(store.export.write_if_due(&store.journal).unwrap());
    store.export.pace.lock().unwrap().next = Some(Instant::now() + Duration::from_secs(3600));
    store.change(2);
    assert!(!store.export.write_if_due(&store.journal).unwrap());
    assert!(store.export.write_now(&store.journal).unwrap(), "at a stop it is written at once");
    assert_eq!(next_interval(91 << 20, Duration::from_secs(1)), Duration::from_secs(91));
    assert_eq!(next_interval(1 << 20, Duration::from_secs(2)), Duration::from_secs(40));
}
