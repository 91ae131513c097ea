//! Tests of the store of identities: what was committed is there, whatever happens to its files.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use jiff::Timestamp;

use super::*;
use crate::domain::directory::{Record, RecordKey, Service};
use crate::domain::last_use::AddressUse;
use crate::store::embedded::export;
use crate::store::embedded::restorable::KeptEvents;

fn service(last_user: u64) -> Record {
    Record::Service(Service { last_user, ..Service::default() })
}

#[test]
fn a_folder_that_was_there_before_does_not_open_the_identities_to_others() {
    use std::os::unix::fs::PermissionsExt;
    let data = tempfile::tempdir().unwrap();
    std::fs::set_permissions(data.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    EmbeddedIdentities::open(data.path()).unwrap();
    let mode = std::fs::metadata(data.path().join("identity")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let data = tempfile::tempdir().unwrap();
    EmbeddedIdentities::open(data.path()).unwrap().commit(&[Write::Put(service(7))], &[]).unwrap();
    let store = EmbeddedIdentities::open(data.path()).unwrap();
    assert_eq!(store.load().unwrap().service().last_user, 7);
    store.commit(&[Write::Remove(RecordKey::Service)], &[]).unwrap();
    assert_eq!(store.load().unwrap().service().last_user, 0);
}

#[test]
fn times_of_last_use_are_kept_until_they_are_forgotten() {
    let data = tempfile::tempdir().unwrap();
    let store = EmbeddedIdentities::open(data.path()).unwrap();
    let (id, at) = (CredentialId::from_random([1; 16]), Timestamp::from_second(1_000).unwrap());
    let other = CredentialId::from_random([2; 16]);
    let uses = vec![AddressUse { address: [10, 0, 0, 1].into(), at }];
    let last_use = LastUse { at, addresses: uses };
    store.note_last_used([(id, last_use.clone()), (other, at.into())]).unwrap();
    store.forget_last_used(&[other]).unwrap();
    assert_eq!(store.last_used().unwrap(), HashMap::from([(id, last_use)]));
    store.note_last_used([(id, at.into())]).unwrap();
    assert_eq!(store.last_used().unwrap(), HashMap::from([(id, at.into())]));
}

#[test]
fn a_journal_that_is_damaged_or_removed_while_it_is_open_is_written_anew() {
    for damage in ["flipped", "removed", "older", "moved"] {
        let data = tempfile::tempdir().unwrap();
        let journal = data.path().join("identity.journal");
        let store = EmbeddedIdentities::open(data.path()).unwrap();
        store.commit(&[Write::Put(service(7))], &[]).unwrap();
        let mut bytes = std::fs::read(&journal).unwrap();
        store.commit(&[Write::Put(service(8))], &[]).unwrap();
        match damage {
            "flipped" => {
                bytes[100] ^= 1;
                std::fs::write(&journal, bytes).unwrap();
            }
            "removed" => std::fs::remove_file(&journal).unwrap(),
            "older" => std::fs::write(&journal, bytes).unwrap(),
            _ => {
                std::fs::write(data.path().join("older"), bytes).unwrap();
                std::fs::rename(data.path().join("older"), &journal).unwrap();
            }
        }
        store.commit(&[Write::Put(service(9))], &[]).unwrap();
        store.tidy().unwrap();
        assert_eq!(export::read(&journal).unwrap().directory.service().last_user, 9, "{damage}");
        store.commit(&[Write::Put(service(10))], &[]).unwrap();
        drop(store);
        assert_eq!(EmbeddedIdentities::open(data.path()).unwrap().load().unwrap().service().last_user, 10, "{damage}");
    }
}

#[test]
fn a_store_that_lost_its_content_is_refused_with_the_way_out() {
    let data = tempfile::tempdir().unwrap();
    let store = EmbeddedIdentities::open(data.path()).unwrap();
    store.commit(&[Write::Put(service(7))], &[]).unwrap();
    store.write_export().unwrap();
    drop(store);
    assert!(EmbeddedIdentities::open(data.path()).is_ok());
    std::fs::remove_dir_all(data.path().join("identity")).unwrap();
    std::fs::remove_file(data.path().join("identity.journal")).unwrap();
    let refusal = EmbeddedIdentities::open(data.path()).err().unwrap().to_string();
    assert!(refusal.contains("admin restore"), "{refusal}");
}

#[test]
fn a_restored_store_holds_what_it_was_given_and_the_one_before_is_kept_aside() {
    let data = tempfile::tempdir().unwrap();
    let given = Directory::from_records([service(7)]);
    assert_eq!(EmbeddedIdentities::restore(data.path(), (&given, &KeptEvents::default()), 0, || Ok(())).unwrap(), None);
    let store = EmbeddedIdentities::open(data.path()).unwrap();
    store.commit(&[Write::Put(service(8))], &[]).unwrap();
    drop(store);
    let aside =
        EmbeddedIdentities::restore(data.path(), (&given, &KeptEvents::default()), 0, || Ok(())).unwrap().unwrap();
    assert!(aside.join("db").exists());
    assert_eq!(EmbeddedIdentities::open(data.path()).unwrap().load().unwrap().service().last_user, 7);
    let export = export::read(&data.path().join("identity.jsonl")).unwrap();
    assert_eq!(export.directory.service().last_user, 7);
}
