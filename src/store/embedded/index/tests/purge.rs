//! Tests of the removal of a group from the index.

use super::*;

#[test]
fn a_group_is_forgotten_also_where_its_small_files_are_lost_or_its_entries() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    let index = Index::open(data.path(), data.path()).unwrap();
    index.add_links(A, &origin, &[(digest(1), GRANTED)]).unwrap();
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    fs::remove_dir_all(data.path().join("groups")).unwrap();
    link_files::append(&index.groups, A, &origin, &[(&digest(2), GRANTED)]).unwrap();
    assert_eq!(index.forget_group(A).unwrap(), [digest(1), digest(2)]);
    index.remove_files(A).unwrap();
    assert_eq!(index.link(A, &origin, &digest(1)).unwrap(), None);
    assert_eq!(index.tag(&origin, &latest()).unwrap(), None);
    assert!(index.groups().unwrap().is_empty());
}

#[test]
fn what_is_pulled_during_a_purge_goes_with_it_and_leaves_no_entry_without_a_file() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    let index = Index::open(data.path(), data.path()).unwrap();
    index.add_links(A, &origin, &[(digest(1), GRANTED)]).unwrap();
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    index.add_links(B, &origin, &[(digest(2), GRANTED)]).unwrap();
    assert_eq!(index.forget_group(A).unwrap(), [digest(1)]);
    index.add_links(A, &origin, &[(digest(3), GRANTED)]).unwrap();
    index.set_tag(A, &origin, &latest(), entry(3, 200)).unwrap();
    index.remove_files(A).unwrap();
    assert_eq!(index.link(A, &origin, &digest(3)).unwrap(), None);
    assert_eq!(index.tag(&origin, &latest()).unwrap(), None);
    assert_eq!(index.groups().unwrap(), [B]);
    assert_eq!(index.check_again(&mut || true).unwrap(), 0, "the database agrees with the files");
    index.add_links(A, &origin, &[(digest(4), GRANTED)]).unwrap();
    assert_eq!(index.check_again(&mut || true).unwrap(), 0, "the group is compared again");
    assert_eq!(index.link(A, &origin, &digest(4)).unwrap(), Some(GRANTED));
}

#[test]
fn forgetting_a_group_leaves_what_others_have() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    let index = Index::open(data.path(), data.path()).unwrap();
    let link = GRANTED;
    index.add_links(A, &origin, &[(digest(1), link), (digest(2), link)]).unwrap();
    index.add_links(B, &origin, &[(digest(2), link)]).unwrap();
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    assert_eq!(index.forget_group(A).unwrap(), [digest(1)]);
    index.remove_files(A).unwrap();
    assert_eq!(index.link(A, &origin, &digest(2)).unwrap(), None);
    assert_eq!(index.link(B, &origin, &digest(2)).unwrap(), Some(link));
    assert_eq!(index.tag(&origin, &latest()).unwrap(), None);
    assert!(images(&index, A).is_empty());
}

#[test]
fn what_an_interrupted_purge_has_left_is_gone_for_everybody_once_the_index_is_open_and_is_no_damage() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    let index = Index::open(data.path(), data.path()).unwrap();
    for group in [A, B] {
        index.add_links(group, &origin, &[(digest(1), GRANTED)]).unwrap();
    }
    index.add_links(A, &origin, &[(digest(2), GRANTED)]).unwrap();
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    index.check_against_files().unwrap();
    index.mark_forgotten(A).unwrap();
    index.close().unwrap();
    drop(index);
    let index = Index::open(data.path(), data.path()).unwrap();
    for _ in ["at once", "after the comparison with the files"] {
        assert_eq!(index.link(A, &origin, &digest(1)).unwrap(), None);
        assert_eq!(index.tag(&origin, &latest()).unwrap(), None);
        assert!(index.listed_images(A).unwrap().is_empty());
        assert_eq!(index.link(B, &origin, &digest(1)).unwrap(), Some(GRANTED));
        assert_eq!(index.check_against_files().unwrap(), 0, "nothing differs");
    }
    assert_eq!(index.forget_group(A).unwrap(), [digest(2)], "its contents are still found, and removed");
}
