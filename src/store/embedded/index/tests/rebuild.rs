//! Tests of a database that is lost, damaged, full or behind its files: the files decide.

use super::*;

#[test]
fn a_lost_index_is_rebuilt_from_the_small_files() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    let index = Index::open(data.path(), data.path()).unwrap();
    index.add_links(A, &origin, &[(digest(1), GRANTED)]).unwrap();
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    index.set_tag(B, &origin, &latest(), entry(2, 200)).unwrap();
    drop(index);
    fs::remove_dir_all(data.path().join("index")).unwrap();
    let index = Index::open(data.path(), data.path()).unwrap();
    assert_eq!(index.link(A, &origin, &digest(1)).unwrap(), Some(GRANTED));
    assert_eq!(index.tag(&origin, &latest()).unwrap(), Some(entry(2, 200)));
    assert_eq!(images(&index, A)[0].entry, entry(1, 100));
}

/// Returns an index whose database lacks the last changes, as sled continues after damage at the end of its log:
/// the database has a link and a tag that group A has lost meanwhile, and lacks its new ones.
fn behind(data: &Path) -> Index {
    let origin = origin(Account::Anonymous);
    let index = Index::open(data, data).unwrap();
    index.add_links(A, &origin, &[(digest(1), GRANTED)]).unwrap();
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    index.set_tag(B, &origin, &latest(), entry(1, 100)).unwrap();
    index.flush().unwrap();
    drop(index);
    copy(&data.join("index"), &data.join("before"));
    let index = Index::open(data, data).unwrap();
    index.forget_group(A).unwrap();
    index.remove_files(A).unwrap();
    index.add_links(A, &origin, &[(digest(2), GRANTED)]).unwrap();
    index.set_tag(B, &origin, &latest(), entry(2, 200)).unwrap();
    drop(index);
    fs::remove_dir_all(data.join("index")).unwrap();
    fs::rename(data.join("before"), data.join("index")).unwrap();
    Index::open(data, data).unwrap()
}

#[test]
fn a_database_that_lost_its_last_changes_is_put_right_and_what_was_forgotten_stays_so() {
    let data = tempfile::tempdir().unwrap();
    let (index, origin) = (behind(data.path()), origin(Account::Anonymous));
    for checked in [false, true] {
        if checked {
            assert!(index.check_against_files().unwrap() >= 4);
        }
        assert_eq!(index.link(A, &origin, &digest(1)).unwrap(), None, "checked: {checked}");
        assert_eq!(index.link(A, &origin, &digest(2)).unwrap(), Some(GRANTED), "checked: {checked}");
        assert_eq!(index.tag(&origin, &latest()).unwrap(), Some(entry(2, 200)), "checked: {checked}");
        assert!(!has_tag(&index, A, &origin), "checked: {checked}");
    }
    assert_eq!(index.check_against_files().unwrap(), 0);
    drop(index);
    assert_eq!(Index::open(data.path(), data.path()).unwrap().check_against_files().unwrap(), 0);
}

#[test]
fn what_is_added_during_the_comparison_stays() {
    let data = tempfile::tempdir().unwrap();
    let (index, origin) = (behind(data.path()), origin(Account::Anonymous));
    std::thread::scope(|threads| {
        let adding = threads.spawn(|| {
            for byte in 3..200 {
                index.add_links(A, &origin, &[(digest(byte), GRANTED)]).unwrap();
            }
        });
        index.check_against_files().unwrap();
        adding.join().unwrap();
    });
    for byte in 2..200 {
        assert_eq!(index.link(A, &origin, &digest(byte)).unwrap(), Some(GRANTED), "{byte}");
    }
}

#[test]
fn a_denial_is_found_in_the_files_too() {
    let data = tempfile::tempdir().unwrap();
    let (index, origin) = (Index::open(data.path(), data.path()).unwrap(), origin(Account::Anonymous));
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    index.set_tag(B, &origin, &latest(), entry(1, 200)).unwrap();
    index.deny_tag(&origin, &latest()).unwrap();
    drop(index);
    fs::remove_dir_all(data.path().join("index")).unwrap();
    let index = Index::open(data.path(), data.path()).unwrap();
    assert_eq!(index.tag(&origin, &latest()).unwrap(), Some(TagEntry { denied: true, ..entry(1, 200) }));
}

#[test]
fn a_database_that_fails_is_replaced_by_the_files_at_once_and_rebuilt_at_the_next_start() {
    let data = tempfile::tempdir().unwrap();
    let (index, origin) = (Index::open(data.path(), data.path()).unwrap(), origin(Account::Anonymous));
    index.add_links(A, &origin, &[(digest(1), GRANTED)]).unwrap();
    index.links.insert(key::link(&digest(1), A, &origin), "not JSON").unwrap();
    assert_eq!(index.link(A, &origin, &digest(1)).unwrap(), Some(GRANTED));
    index.add_links(A, &origin, &[(digest(2), GRANTED)]).unwrap();
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    assert_eq!(index.link(A, &origin, &digest(2)).unwrap(), Some(GRANTED));
    assert_eq!(index.tag(&origin, &latest()).unwrap(), Some(entry(1, 100)));
    drop(index);
    let index = Index::open(data.path(), data.path()).unwrap();
    assert!(data.path().join("index.damaged").exists());
    assert_eq!(index.trust(), Trust::Checked);
    assert_eq!(index.link(A, &origin, &digest(2)).unwrap(), Some(GRANTED));
}

#[test]
fn a_denial_holds_where_the_database_has_no_space_for_it() {
    let data = tempfile::tempdir().unwrap();
    let (mut index, origin) = (Index::open(data.path(), data.path()).unwrap(), origin(Account::Anonymous));
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    index.set_tag(A, &origin, &"old".parse().unwrap(), entry(1, 100)).unwrap();
    index.database.fill_up();
    assert!(matches!(index.set_tag(B, &origin, &latest(), entry(1, 200)), Err(StoreError::Full)));
    index.deny_tag(&origin, &latest()).unwrap();
    index.drop_tag(&origin, &"old".parse().unwrap()).unwrap();
    for _ in 0..2 {
        assert!(index.tag(&origin, &latest()).unwrap().is_some_and(|entry| entry.denied));
        assert_eq!(index.tag(&origin, &"old".parse().unwrap()).unwrap(), None);
        drop(index);
        index = Index::open(data.path(), data.path()).unwrap();
    }
}
