//! Tests of the small files of links and tags: what they hold, and what damage to them changes.

use super::*;

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
