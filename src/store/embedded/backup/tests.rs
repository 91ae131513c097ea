//! Tests of the format: a backup yields what was written, or is rejected, after whatever happened to its bytes.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;
use crate::domain::chosen_setting::{ChosenSetting, ChosenValue};
use crate::domain::directory::{Record, Service, Write};
use crate::domain::id::UserId;
use crate::domain::user::User;
use crate::store::embedded::identity::EmbeddedIdentities;

const AT: &str = "2026-11-29T03:00:00Z";

fn user(id: u64) -> Write {
    Write::Put(Record::User(User::new(UserId(id), format!("user-{id}").parse().unwrap(), "", AT.parse().unwrap())))
}

fn service(last_user: u64) -> Write {
    Write::Put(Record::Service(Service { last_user, ..Service::default() }))
}

/// Returns the data folder of a store with one user.
fn store() -> (tempfile::TempDir, EmbeddedIdentities) {
    let data = tempfile::tempdir().unwrap();
    let store = EmbeddedIdentities::open(data.path()).unwrap();
    store.commit(&[user(1), service(1)], &[]).unwrap();
    (data, store)
}

fn beside() -> Beside {
    let setting = |key: &[&str], value| ChosenSetting { key: key.iter().map(|key| (*key).to_owned()).collect(), value };
    let settings = vec![
        setting(&["server", "listen"], ChosenValue::Plain("0.0.0.0:5050".into())),
        setting(
            &["upstreams", "docker.io", "password"],
            ChosenValue::Secret { secret: Some("canary".into()), file: None },
        ),
        setting(&["upstreams", "quay.io", "password"], ChosenValue::Secret { secret: None, file: Some("/x".into()) }),
    ];
    Beside { settings, signing_keys: Some(KeySet::generate()), account_keys: Some(KeySet::generate()) }
}

fn backup(beside: &Beside) -> Vec<u8> {
    let (data, _store) = store();
    let mut bytes = Vec::new();
    let snapshot = FolderSnapshot::of(data.path()).unwrap().unwrap();
    snapshot.write_backup(&mut bytes, beside, "0.1.0", AT.parse().unwrap()).unwrap();
    bytes
}

fn refusal(bytes: &[u8]) -> String {
    read(bytes).unwrap_err().reason().to_owned()
}

#[test]
fn a_backup_yields_what_was_written() {
    let beside = beside();
    let read = read(backup(&beside).as_slice()).unwrap();
    assert_eq!((read.number, read.directory.users().count(), read.installation.is_some()), (1, 1, true));
    let shown = |beside: &Beside| {
        (
            format!("{:?}", beside.settings),
            [&beside.signing_keys, &beside.account_keys].map(|keys| keys.as_ref().unwrap().to_json().unwrap()),
        )
    };
    assert_eq!(shown(&read.beside), shown(&beside));
    assert!(!shown(&beside).0.contains("canary"), "a secret is shown");
    let secret = match &read.beside.settings[1].value {
        ChosenValue::Secret { secret, .. } => secret.as_ref().map(|secret| secret.expose_secret()),
        ChosenValue::Plain(_) => None,
    };
    assert_eq!(secret, Some("canary"));
}

#[test]
fn the_format_is_the_one_that_is_documented() {
    let text = String::from_utf8(backup(&beside())).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let header = r#"{"format":"dependency-proxy backup","version":1,"program":"0.1.0","at":"2026-11-29T03:00:00Z","number":1,"installation":""#;
    assert!(lines[0].starts_with(header), "{}", lines[0]);
    assert_eq!(lines[1], r#"{"setting":["server","listen"],"value":"0.0.0.0:5050"}"#);
    assert_eq!(lines[2], r#"{"setting":["upstreams","docker.io","password"],"secret":"canary"}"#);
    assert_eq!(lines[3], r#"{"setting":["upstreams","quay.io","password"],"secret":null,"file":"/x"}"#);
    assert!(lines[4].starts_with(r#"{"signing_keys":{"keys":[{"kid":""#), "{}", lines[4]);
    assert!(lines[5].starts_with(r#"{"account_keys":{"keys":[{"kid":""#), "{}", lines[5]);
    assert!(lines[6].starts_with(r#"{"key":"service","value":{"record":"service","#), "{}", lines[6]);
    assert!(lines[7].starts_with(r#"{"key":"user/1","value":{"record":"user","#), "{}", lines[7]);
    assert!(lines[8].starts_with(r#"{"records":2,"sha256":"sha256:"#) && lines.len() == 9, "{}", lines[8]);
    let without = String::from_utf8(backup(&Beside::default())).unwrap();
    assert!(!without.contains("_keys") && !without.contains("setting"), "{without}");
}

#[test]
fn a_backup_that_is_cut_off_anywhere_is_refused() {
    let bytes = backup(&beside());
    for length in 0..bytes.len() {
        let refusal = read(&bytes[..length]).map(|_| ()).unwrap_err();
        let in_header = !bytes[..length].contains(&b'\n');
        assert!(in_header || refusal.reason().starts_with("it is incomplete"), "{length}: {refusal}");
    }
}

#[test]
fn a_changed_backup_and_one_of_another_version_are_refused_with_the_reason() {
    let text = String::from_utf8(backup(&beside())).unwrap();
    for (from, to, reason) in [
        ("user-1", "user-2", "its checksum does not match"),
        ("\"file\":\"/x\"}", "\"file\":\"/x\",\"more\":1}", "line 4 is not one of a backup"),
        ("{\"signing_keys\"", "{\"other_keys\"", "line 5 is not one of a backup"),
        ("\"version\":1", "\"version\":2", "it has version 2 of the format, and this program reads version 1"),
    ] {
        let refusal = refusal(text.replacen(from, to, 1).as_bytes());
        assert!(refusal.starts_with(reason) && !refusal.contains("canary"), "{refusal}");
    }
    assert!(
        refusal(text.replacen("\"version\":1", "\"version\":2", 1).as_bytes()).contains("the program of version 0.1.0")
    );
    assert_eq!(refusal(format!("{text}\n").as_bytes()), "it goes on after its last line");
    assert_eq!(refusal(format!("{text}{text}").as_bytes()), "it goes on after its last line");
}

#[test]
fn an_incomplete_last_change_is_left_out_and_a_damaged_journal_is_refused() {
    let (data, store) = store();
    store.commit(&[user(2)], &[]).unwrap();
    drop(store);
    let journal = data.path().join("identity.journal");
    let bytes = std::fs::read(&journal).unwrap();
    std::fs::write(&journal, &bytes[..bytes.len() - 9]).unwrap();
    let snapshot = FolderSnapshot::of(data.path()).unwrap().unwrap();
    assert_eq!((snapshot.incomplete, snapshot.number(), snapshot.directory.users().count()), (true, 1, 1));
    std::fs::write(&journal, [&bytes[..bytes.len() - 9], b"\n", &bytes[bytes.len() - 9..]].concat()).unwrap();
    assert!(matches!(FolderSnapshot::of(data.path()), Err(StoreError::Damaged(_))));
    std::fs::remove_file(&journal).unwrap();
    assert!(FolderSnapshot::of(data.path()).unwrap().is_none());
}

#[test]
fn every_change_that_was_acknowledged_before_is_in_it_also_while_the_journal_is_compacted() {
    const CHANGES: u64 = 500;
    const DEADLINE: Duration = Duration::from_secs(120);
    let (data, store) = store();
    let (acknowledged, length) =
        (AtomicU64::new(1), || std::fs::metadata(data.path().join("identity.journal")).unwrap().len());
    thread::scope(|threads| {
        threads.spawn(|| {
            let (mut compactions, mut before) = (0, length());
            for id in 2..=CHANGES {
                let Write::Put(Record::User(user)) = user(1) else { unreachable!() };
                let long = User { name: format!("{id} {}", "x".repeat(4000)), ..user };
                store.commit(&[Write::Put(Record::User(long)), service(id)], &[]).unwrap();
                acknowledged.store(id, Ordering::SeqCst);
                store.tidy().unwrap();
                compactions += u32::from(length() < before);
                before = length();
            }
            assert!(compactions > 2, "{compactions} compactions");
        });
        let deadline = Instant::now() + DEADLINE;
        loop {
            let before = acknowledged.load(Ordering::SeqCst);
            assert!(Instant::now() < deadline, "only {before} changes within {DEADLINE:?}");
            let snapshot = FolderSnapshot::of(data.path()).unwrap().unwrap();
            assert!(snapshot.directory.service().last_user >= before, "changes after number {before} are missing");
            if before == CHANGES {
                break;
            }
        }
    });
}

#[test]
fn a_backup_replaces_a_backup_or_an_empty_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backup");
    let write = |bytes: &'static [u8]| {
        Output::File(path.clone()).write(|to| Ok(to.write_all(bytes)?)).map_err(|error| error.reason().to_owned())
    };
    write(b"").unwrap();
    write(b"{\"format\":\"dependency-proxy backup\",\"version\":1}\n").unwrap();
    write(b"something else\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(write(b"").unwrap_err(), "it exists already and is not a backup: name another file");
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/null", &path).unwrap();
    assert_eq!(write(b"").unwrap_err(), "it is not a regular file");
    let failed = Output::File(folder.path().join("other")).write(|_| Err(StoreError::Full));
    assert!(failed.is_err() && std::fs::read_dir(folder.path()).unwrap().count() == 1, "nothing is left behind");
}

proptest! {
    #[test]
    fn no_change_of_bytes_is_overlooked_or_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        static BYTES: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| backup(&beside()));
        let mut changed = BYTES.clone();
        for (at, byte) in changes {
            let at = at.index(changed.len());
            changed[at] = byte;
        }
        if let Some(cut) = cut {
            changed.truncate(cut.index(changed.len()));
        }
        prop_assert!(read(changed.as_slice()).is_err() || changed == *BYTES);
    }

    #[test]
    fn no_bytes_after_a_header_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let header = br#"{"format":"dependency-proxy backup","version":1,"program":"","at":"2026-11-29T03:00:00Z","number":1}"#;
        prop_assert!(read([header, b"\n".as_slice(), &bytes].concat().as_slice()).is_err());
    }
}
