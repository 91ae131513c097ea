//! Tests of the index: access by links, removal of groups, and recovery from the files.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod images;
mod unreadable;

use jiff::Timestamp;

use super::*;
use crate::domain::digest::Digest;
use crate::domain::origin::{Account, Origin};
use crate::domain::reference::{Reference, Tag};
use crate::store::link::{Link, TagEntry};

const A: GroupId = GroupId(1);
const B: GroupId = GroupId(2);

const GRANTED: Link = Link::granted(Some(7));
const REFERENCED: Link = Link::referenced(Some(7));

fn origin(account: Account) -> Origin {
    Origin { upstream: "docker.io".parse().unwrap(), account, repository: "library/alpine".parse().unwrap() }
}

fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

fn entry(byte: u8, second: i64) -> TagEntry {
    TagEntry { digest: digest(byte), checked_at: Timestamp::from_second(second).unwrap(), denied: false }
}

fn has_tag(index: &Index, group: GroupId, origin: &Origin) -> bool {
    index.tag_of_group(group, origin, &latest()).unwrap().is_some()
}

fn latest() -> Tag {
    "latest".parse().unwrap()
}

/// Returns the images that a group has pulled, by their files.
fn images(index: &Index, group: GroupId) -> Vec<ImageFile> {
    image_files::all(&index.groups, group).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_link_opens_content_for_one_group_and_one_account() {
    let data = tempfile::tempdir().unwrap();
    let index = Index::open(data.path(), data.path()).unwrap();
    let (anonymous, robot) = (origin(Account::Anonymous), origin(Account::Username("robot".into())));
    index.add_links(A, &anonymous, &[(digest(1), GRANTED)]).unwrap();
    assert_eq!(index.link(A, &anonymous, &digest(1)).unwrap(), Some(GRANTED));
    assert_eq!(index.link(B, &anonymous, &digest(1)).unwrap(), None);
    assert_eq!(index.link(A, &robot, &digest(1)).unwrap(), None);
}

#[test]
fn a_name_in_a_manifest_opens_only_what_came_from_the_same_account() {
    let data = tempfile::tempdir().unwrap();
    let index = Index::open(data.path(), data.path()).unwrap();
    let (anonymous, robot) = (origin(Account::Anonymous), origin(Account::Username("robot".into())));
    index.add_links(A, &robot, &[(digest(1), GRANTED)]).unwrap();
    index.add_links(B, &anonymous, &[(digest(1), REFERENCED)]).unwrap();
    index.add_links(B, &robot, &[(digest(1), REFERENCED)]).unwrap();
    assert_eq!(index.link(B, &anonymous, &digest(1)).unwrap(), Some(REFERENCED));
    assert_eq!(index.link(B, &robot, &digest(1)).unwrap(), Some(GRANTED));
}

#[test]
fn what_is_known_of_a_link_stays_known() {
    let data = tempfile::tempdir().unwrap();
    let index = Index::open(data.path(), data.path()).unwrap();
    let origin = origin(Account::Anonymous);
    index.add_links(A, &origin, &[(digest(1), Link::granted(None))]).unwrap();
    index.add_links(A, &origin, &[(digest(1), REFERENCED)]).unwrap();
    assert_eq!(index.link(A, &origin, &digest(1)).unwrap(), Some(GRANTED));
}

#[test]
fn a_manifest_does_not_change_the_length_that_upstream_gave() {
    let data = tempfile::tempdir().unwrap();
    let index = Index::open(data.path(), data.path()).unwrap();
    let origin = origin(Account::Anonymous);
    index.add_links(A, &origin, &[(digest(1), GRANTED)]).unwrap();
    index.add_links(A, &origin, &[(digest(1), Link::referenced(Some(8)))]).unwrap();
    assert_eq!(index.link(A, &origin, &digest(1)).unwrap(), Some(GRANTED));
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
fn a_dropped_tag_is_gone_for_every_group() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    let index = Index::open(data.path(), data.path()).unwrap();
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    index.set_tag(B, &origin, &latest(), entry(1, 100)).unwrap();
    index.drop_tag(&origin, &latest()).unwrap();
    assert_eq!(index.tag(&origin, &latest()).unwrap(), None);
    assert!(images(&index, A).is_empty() && images(&index, B).is_empty());
}

#[test]
fn what_somebody_has_seen_survives_the_end_of_the_process_at_once() {
    let data = tempfile::tempdir().unwrap();
    let (index, origin) = (Index::open(data.path(), data.path()).unwrap(), origin(Account::Anonymous));
    for seen in 0..50 {
        std::thread::scope(|threads| {
            let left = tempfile::tempdir().unwrap();
            let adding = threads.spawn(|| index.add_links(A, &origin, &[(digest(seen), GRANTED)]).unwrap());
            while index.link(A, &origin, &digest(seen)).unwrap().is_none() && !adding.is_finished() {}
            copy(&data.path().join("groups"), &left.path().join("groups"));
            let again = Index::open(left.path(), left.path()).unwrap();
            assert_eq!(again.link(A, &origin, &digest(seen)).unwrap(), Some(GRANTED), "the {seen}th");
        });
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn all_links_of_a_repository_are_in_one_file() {
    let data = tempfile::tempdir().unwrap();
    let (index, origin) = (Index::open(data.path(), data.path()).unwrap(), origin(Account::Anonymous));
    let links: Vec<(Digest, Link)> = (0..200).map(|byte| (digest(byte), REFERENCED)).collect();
    index.add_links(A, &origin, &links).unwrap();
    index.add_links(A, &origin, &[(digest(1), GRANTED)]).unwrap();
    assert_eq!(files(&data.path().join("groups")).len(), 1);
    drop(index);
    fs::remove_dir_all(data.path().join("index")).unwrap();
    let index = Index::open(data.path(), data.path()).unwrap();
    assert_eq!(index.link(A, &origin, &digest(1)).unwrap(), Some(GRANTED));
    assert_eq!(index.link(A, &origin, &digest(199)).unwrap(), Some(REFERENCED));
}

#[test]
fn a_flipped_bit_in_a_file_of_links_takes_no_more_than_two_of_them_and_changes_none() {
    let data = tempfile::tempdir().unwrap();
    let (index, origin) = (Index::open(data.path(), data.path()).unwrap(), origin(Account::Anonymous));
    index.add_links(A, &origin, &[(digest(1), REFERENCED), (digest(2), GRANTED), (digest(3), REFERENCED)]).unwrap();
    drop(index);
    let path = files(&data.path().join("groups")).remove(0);
    let whole = fs::read(&path).unwrap();
    let groups = data.path().join("groups");
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, damaged).unwrap();
        let found = link_files::links(&groups, A, &origin, &[1, 2, 3].map(digest)).unwrap();
        for (found, was) in found.iter().zip([REFERENCED, GRANTED, REFERENCED]) {
            assert!(found.is_none_or(|found| found == was), "bit {bit}");
        }
        assert!(found.iter().flatten().count() >= 1, "bit {bit}");
    }
}

#[test]
fn a_flipped_bit_in_the_file_of_a_tag_never_changes_what_it_stands_for() {
    let data = tempfile::tempdir().unwrap();
    let (index, origin) = (Index::open(data.path(), data.path()).unwrap(), origin(Account::Anonymous));
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    let path = files(&data.path().join("groups")).remove(0);
    let whole = fs::read(&path).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, damaged).unwrap();
        let tags = images(&index, A);
        assert!(tags.iter().all(|tag| tag.entry == entry(1, 100)), "bit {bit}");
        assert_eq!(tags.is_empty(), !path.exists(), "bit {bit}");
    }
}

#[test]
fn an_append_that_was_cut_short_harms_no_other() {
    let data = tempfile::tempdir().unwrap();
    let (index, origin) = (Index::open(data.path(), data.path()).unwrap(), origin(Account::Anonymous));
    index.add_links(A, &origin, &[(digest(1), GRANTED), (digest(2), GRANTED)]).unwrap();
    let path = files(&data.path().join("groups")).remove(0);
    let length = path.metadata().unwrap().len();
    fs::File::options().write(true).open(&path).unwrap().set_len(length - 5).unwrap();
    index.add_links(A, &origin, &[(digest(3), GRANTED)]).unwrap();
    drop(index);
    fs::remove_dir_all(data.path().join("index")).unwrap();
    let index = Index::open(data.path(), data.path()).unwrap();
    let found = [1, 2, 3].map(|byte| index.link(A, &origin, &digest(byte)).unwrap());
    assert_eq!(found, [Some(GRANTED), None, Some(GRANTED)]);
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2, "what was cut is taken out");
}

#[test]
fn links_that_an_earlier_version_wrote_are_read_as_far_as_their_names_confirm_them() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    let old = |named: Digest, stands: Digest| {
        let name = crate::auth::sha256::digest(&key::link(&named, A, &origin)).hex();
        let folder = data.path().join("groups/1/links").join(&name[..2]);
        fs::create_dir_all(&folder).unwrap();
        let file = LinkFile { origin: origin.clone(), digest: stands, link: GRANTED };
        fs::write(folder.join(name + ".json"), serde_json::to_vec(&file).unwrap()).unwrap();
    };
    old(digest(1), digest(1));
    old(digest(2), digest(3));
    let index = Index::open(data.path(), data.path()).unwrap();
    let found = [1, 2, 3].map(|byte| index.link(A, &origin, &digest(byte)).unwrap());
    assert_eq!(found, [Some(Link::granted(None)), None, None]);
    drop(index);
    assert_eq!(Index::open(data.path(), data.path()).unwrap().check_against_files().unwrap(), 0);
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

#[test]
fn a_manifest_with_very_many_layers_is_added_quickly_also_while_the_files_decide() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    drop(Index::open(data.path(), data.path()).unwrap());
    let index = Index::open(data.path(), data.path()).unwrap();
    assert_eq!(index.trust(), Trust::Unchecked);
    let links: Vec<(Digest, Link)> =
        (0..4_096_u32).map(|number| (crate::auth::sha256::digest(&number.to_be_bytes()), REFERENCED)).collect();
    let begin = std::time::Instant::now();
    for _ in 0..3 {
        index.add_links(A, &origin, &links).unwrap();
    }
    // One read of the file for each link would take minutes.
    assert!(begin.elapsed() < std::time::Duration::from_secs(30), "{:?}", begin.elapsed());
    assert_eq!(index.link(A, &origin, &links[4_095].0).unwrap(), Some(REFERENCED));
}

#[test]
fn the_index_is_built_from_the_cache_folder_that_is_there_and_another_one_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (data, full, empty) = (folder.path().join("data"), folder.path().join("full"), folder.path().join("empty"));
    for folder in [&data, &full, &empty] {
        fs::create_dir(folder).unwrap();
    }
    let origin = origin(Account::Anonymous);
    let open = |cache: &Path| {
        let index = Index::open(&data, cache).unwrap();
        assert_eq!(index.check_against_files().unwrap(), 0, "nothing differs");
        let found = (index.link(A, &origin, &digest(1)).unwrap(), index.tag(&origin, &latest()).unwrap());
        drop(index);
        found
    };
    let index = Index::open(&data, &full).unwrap();
    index.add_links(A, &origin, &[(digest(1), GRANTED)]).unwrap();
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    drop(index);
    let known = (Some(GRANTED), Some(entry(1, 100)));
    assert_eq!(open(&full), known);
    assert_eq!(open(&empty), (None, None));
    assert_eq!(open(&empty), (None, None));
    assert_eq!(open(&full), known);
    let moved = folder.path().join("moved");
    fs::rename(&full, &moved).unwrap();
    assert_eq!(open(&moved), known, "a folder is the same wherever it is");
    fs::remove_file(moved.join("cache.id")).unwrap();
    assert_eq!(open(&moved), known);
    fs::remove_file(data.join("index.cache-id")).unwrap();
    assert_eq!(open(&moved), known);
}

#[test]
fn the_index_of_an_earlier_version_takes_its_cache_folder_for_its_own() {
    let data = tempfile::tempdir().unwrap();
    let (index, origin) = (Index::open(data.path(), data.path()).unwrap(), origin(Account::Anonymous));
    index.add_links(A, &origin, &[(digest(1), GRANTED)]).unwrap();
    drop(index);
    let (marker, known) = (data.path().join("cache.id"), data.path().join("index.cache-id"));
    fs::remove_file(&marker).unwrap();
    fs::remove_file(&known).unwrap();
    let index = Index::open(data.path(), data.path()).unwrap();
    assert!(fs::read(&known).unwrap().starts_with(&fs::read(&marker).unwrap()), "the same id");
    assert_eq!(index.check_against_files().unwrap(), 0);
    assert_eq!(index.link(A, &origin, &digest(1)).unwrap(), Some(GRANTED));
}
