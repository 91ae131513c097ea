//! Tests with one unreadable small file or folder: its group makes requests to upstream again, and nothing else
//! changes.

use super::*;

/// The damage, as by a bad sector or wrong access rights: a folder in the place of a file, or the other way round.
const UNREADABLE: [&str; 6] = ["links file", "links shard", "links", "tags file", "tags shard", "group"];

/// Replaces a file or a folder of group B with something else.
fn make_unreadable(data: &Path, what: &str) {
    let group = data.join("groups/2");
    let file = |kind| files(&group.join(kind)).pop().unwrap();
    let shard = |kind| file(kind).parent().unwrap().to_owned();
    let folder = match what {
        "links file" | "tags file" => {
            let path = file(what.split(' ').next().unwrap());
            fs::remove_file(&path).unwrap();
            return fs::create_dir(path).unwrap();
        }
        "links shard" | "tags shard" => shard(what.split(' ').next().unwrap()),
        "links" => group.join("links"),
        _ => group,
    };
    fs::remove_dir_all(&folder).unwrap();
    fs::write(folder, "no folder").unwrap();
}

/// Creates two groups with a link and a tag each.
fn filled(data: &Path) -> Origin {
    let (index, origin) = (Index::open(data, data).unwrap(), origin(Account::Anonymous));
    for group in [A, B] {
        index.add_links(group, &origin, &[(digest(1), GRANTED)]).unwrap();
        index.set_tag(group, &origin, &latest(), entry(1, 100)).unwrap();
    }
    index.flush().unwrap();
    origin
}

#[test]
fn what_cannot_be_read_decides_over_nobody_else_and_over_no_start() {
    for what in UNREADABLE {
        for with_database in [true, false] {
            let data = tempfile::tempdir().unwrap();
            let origin = filled(data.path());
            make_unreadable(data.path(), what);
            if !with_database {
                fs::remove_dir_all(data.path().join("index")).unwrap();
            }
            for checked in [false, true, true] {
                let index = Index::open(data.path(), data.path()).unwrap();
                if checked {
                    index.check_against_files().unwrap();
                }
                assert_ne!(index.trust(), Trust::Broken, "{what}");
                assert_eq!(index.link(A, &origin, &digest(1)).unwrap(), Some(GRANTED), "{what}");
                assert_eq!(index.tag(&origin, &latest()).unwrap(), Some(entry(1, 100)), "{what}");
                assert!(has_tag(&index, A, &origin), "{what}");
                index.link(B, &origin, &digest(1)).unwrap();
                has_tag(&index, B, &origin);
            }
            let index = Index::open(data.path(), data.path()).unwrap();
            let known = (index.link(B, &origin, &digest(1)).unwrap(), has_tag(&index, B, &origin));
            let expected = match what {
                "tags file" | "tags shard" => (Some(GRANTED), false),
                "group" => (None, false),
                _ => (None, true),
            };
            assert_eq!(known, expected, "{what}: opens nothing");
        }
    }
}

#[test]
fn what_upstream_gives_again_is_kept_in_the_place_of_what_could_not_be_read() {
    for what in UNREADABLE {
        let data = tempfile::tempdir().unwrap();
        let origin = filled(data.path());
        let index = Index::open(data.path(), data.path()).unwrap();
        index.check_against_files().unwrap();
        make_unreadable(data.path(), what);
        index.add_links(B, &origin, &[(digest(2), GRANTED)]).unwrap();
        index.set_tag(B, &origin, &latest(), entry(2, 200)).unwrap();
        drop(index);
        fs::remove_dir_all(data.path().join("index")).unwrap();
        let index = Index::open(data.path(), data.path()).unwrap();
        assert_eq!(index.link(B, &origin, &digest(2)).unwrap(), Some(GRANTED), "{what}");
        assert_eq!(index.tag(&origin, &latest()).unwrap(), Some(entry(2, 200)), "{what}");
    }
}

#[test]
fn a_denial_the_end_of_a_tag_and_a_purge_reach_every_other_group() {
    for what in UNREADABLE {
        let data = tempfile::tempdir().unwrap();
        let origin = filled(data.path());
        make_unreadable(data.path(), what);
        let index = Index::open(data.path(), data.path()).unwrap();
        index.deny_tag(&origin, &latest()).unwrap();
        assert!(index.tag(&origin, &latest()).unwrap().unwrap().denied, "{what}");
        index.drop_tag(&origin, &latest()).unwrap();
        assert_eq!(index.tag(&origin, &latest()).unwrap(), None, "{what}");
        index.mark_forgotten(B).unwrap();
        index.forget_group(B).unwrap();
        index.remove_files(B).unwrap();
        assert_eq!(index.link(B, &origin, &digest(1)).unwrap(), None, "{what}");
        assert_eq!(index.link(A, &origin, &digest(1)).unwrap(), Some(GRANTED), "{what}");
    }
}

#[test]
fn a_database_that_is_no_folder_is_rebuilt() {
    let data = tempfile::tempdir().unwrap();
    let origin = filled(data.path());
    for _ in 0..2 {
        fs::remove_dir_all(data.path().join("index")).unwrap();
        fs::write(data.path().join("index"), "no folder").unwrap();
        let index = Index::open(data.path(), data.path()).unwrap();
        assert_eq!(index.link(B, &origin, &digest(1)).unwrap(), Some(GRANTED));
    }
}
