//! The index on a disk of its own: what opens what, what a purge takes away, and what is found again.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;
use crate::domain::origin::Account;

const A: GroupId = GroupId(1);
const B: GroupId = GroupId(2);

const PROVEN: Link = Link { size: Some(7), proven: true };
const NAMED: Link = Link { size: Some(7), proven: false };

fn origin(account: Account) -> Origin {
    Origin { upstream: "docker.io".parse().unwrap(), account, repository: "library/alpine".parse().unwrap() }
}

fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

fn entry(byte: u8, second: i64) -> TagEntry {
    TagEntry { digest: digest(byte), checked_at: Timestamp::from_second(second).unwrap(), denied: false }
}

fn latest() -> Tag {
    "latest".parse().unwrap()
}

#[test]
fn a_link_opens_content_for_one_group_and_one_account() {
    let data = tempfile::tempdir().unwrap();
    let index = Index::open(data.path(), data.path()).unwrap();
    let (anonymous, robot) = (origin(Account::Anonymous), origin(Account::Username("robot".into())));
    index.add_links(A, &anonymous, &[(digest(1), PROVEN)]).unwrap();
    assert_eq!(index.link(A, &anonymous, &digest(1)).unwrap(), Some(PROVEN));
    assert_eq!(index.link(B, &anonymous, &digest(1)).unwrap(), None);
    assert_eq!(index.link(A, &robot, &digest(1)).unwrap(), None);
}

#[test]
fn a_name_in_a_manifest_opens_only_what_came_from_the_same_account() {
    let data = tempfile::tempdir().unwrap();
    let index = Index::open(data.path(), data.path()).unwrap();
    let (anonymous, robot) = (origin(Account::Anonymous), origin(Account::Username("robot".into())));
    index.add_links(A, &robot, &[(digest(1), PROVEN)]).unwrap();
    index.add_links(B, &anonymous, &[(digest(1), NAMED)]).unwrap();
    index.add_links(B, &robot, &[(digest(1), NAMED)]).unwrap();
    assert_eq!(index.link(B, &anonymous, &digest(1)).unwrap(), Some(NAMED));
    assert_eq!(index.link(B, &robot, &digest(1)).unwrap(), Some(PROVEN));
}

#[test]
fn what_is_known_of_a_link_stays_known() {
    let data = tempfile::tempdir().unwrap();
    let index = Index::open(data.path(), data.path()).unwrap();
    let origin = origin(Account::Anonymous);
    index.add_links(A, &origin, &[(digest(1), Link { size: None, proven: true })]).unwrap();
    index.add_links(A, &origin, &[(digest(1), NAMED)]).unwrap();
    assert_eq!(index.link(A, &origin, &digest(1)).unwrap(), Some(PROVEN));
}

#[test]
fn a_manifest_does_not_change_the_length_that_upstream_gave() {
    let data = tempfile::tempdir().unwrap();
    let index = Index::open(data.path(), data.path()).unwrap();
    let origin = origin(Account::Anonymous);
    index.add_links(A, &origin, &[(digest(1), PROVEN)]).unwrap();
    index.add_links(A, &origin, &[(digest(1), Link { size: Some(8), proven: false })]).unwrap();
    assert_eq!(index.link(A, &origin, &digest(1)).unwrap(), Some(PROVEN));
}

#[test]
fn a_denied_tag_stays_denied_until_upstream_gives_it_again() {
    let data = tempfile::tempdir().unwrap();
    let index = Index::open(data.path(), data.path()).unwrap();
    let origin = origin(Account::Anonymous);
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    index.deny_tag(&origin, &latest()).unwrap();
    assert_eq!(index.tag(&origin, &latest()).unwrap(), Some(TagEntry { denied: true, ..entry(1, 100) }));
    index.set_tag(A, &origin, &latest(), entry(1, 200)).unwrap();
    assert_eq!(index.tag(&origin, &latest()).unwrap(), Some(entry(1, 200)));
}

#[test]
fn a_group_is_forgotten_also_where_its_small_files_are_lost_or_its_entries() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    let index = Index::open(data.path(), data.path()).unwrap();
    index.add_links(A, &origin, &[(digest(1), PROVEN)]).unwrap();
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    fs::remove_dir_all(data.path().join("groups")).unwrap();
    LinkFile { origin: origin.clone(), digest: digest(2), link: PROVEN }.write(&index.groups, A).unwrap();
    assert_eq!(index.forget_group(A).unwrap(), [digest(1), digest(2)]);
    index.remove_files(A).unwrap();
    assert_eq!(index.link(A, &origin, &digest(1)).unwrap(), None);
    assert_eq!(index.tag(&origin, &latest()).unwrap(), None);
    assert!(index.groups().unwrap().is_empty());
}

#[test]
fn a_lost_index_is_rebuilt_from_the_small_files() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    let index = Index::open(data.path(), data.path()).unwrap();
    index.add_links(A, &origin, &[(digest(1), PROVEN)]).unwrap();
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    index.set_tag(B, &origin, &latest(), entry(2, 200)).unwrap();
    drop(index);
    fs::remove_dir_all(data.path().join("index")).unwrap();
    let index = Index::open(data.path(), data.path()).unwrap();
    assert_eq!(index.link(A, &origin, &digest(1)).unwrap(), Some(PROVEN));
    assert_eq!(index.tag(&origin, &latest()).unwrap(), Some(entry(2, 200)));
    assert_eq!(index.cached_tags(A).unwrap()[0].entry, entry(1, 100));
}

#[test]
fn forgetting_a_group_leaves_what_others_have() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    let index = Index::open(data.path(), data.path()).unwrap();
    let link = PROVEN;
    index.add_links(A, &origin, &[(digest(1), link), (digest(2), link)]).unwrap();
    index.add_links(B, &origin, &[(digest(2), link)]).unwrap();
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    assert_eq!(index.forget_group(A).unwrap(), [digest(1)]);
    index.remove_files(A).unwrap();
    assert_eq!(index.link(A, &origin, &digest(2)).unwrap(), None);
    assert_eq!(index.link(B, &origin, &digest(2)).unwrap(), Some(link));
    assert_eq!(index.tag(&origin, &latest()).unwrap(), None);
    assert!(index.cached_tags(A).unwrap().is_empty());
}

#[test]
fn a_dropped_tag_is_gone_for_every_group() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    let index = Index::open(data.path(), data.path()).unwrap();
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    index.set_tag(B, &origin, &latest(), entry(1, 100)).unwrap();
    index.drop_tag(&origin, &latest()).unwrap();
    assert_eq!(index.tag(&origin, &latest()).unwrap(), None);
    assert!(index.cached_tags(A).unwrap().is_empty() && index.cached_tags(B).unwrap().is_empty());
}

#[test]
fn what_somebody_has_seen_survives_the_end_of_the_process_at_once() {
    let data = tempfile::tempdir().unwrap();
    let (index, origin) = (Index::open(data.path(), data.path()).unwrap(), origin(Account::Anonymous));
    for seen in 0..50 {
        std::thread::scope(|threads| {
            let left = tempfile::tempdir().unwrap();
            fs::create_dir(left.path().join("index")).unwrap();
            let adding = threads.spawn(|| index.add_links(A, &origin, &[(digest(seen), PROVEN)]).unwrap());
            while index.link(A, &origin, &digest(seen)).unwrap().is_none() && !adding.is_finished() {}
            for file in ["db", "conf"] {
                fs::copy(data.path().join("index").join(file), left.path().join("index").join(file)).unwrap();
            }
            // There are no small files that it could be rebuilt from.
            let again = Index::open(left.path(), left.path()).unwrap();
            assert_eq!(again.link(A, &origin, &digest(seen)).unwrap(), Some(PROVEN), "the {seen}th");
        });
    }
}
