//! Tests of the cache folder that an index is of: the same one, another, and that of an earlier version.

use super::*;

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
fn the_index_of_an_earlier_version_accepts_its_cache_folder() {
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
