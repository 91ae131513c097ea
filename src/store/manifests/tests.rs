//! Tests of damaged, unreadable and lone files of manifests.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Returns a store with a manifest of these bytes.
fn stored(cache: &Path, bytes: &'static str) -> (ManifestStore, Manifest) {
    let store = ManifestStore::new(cache);
    let manifest = Manifest::new(IMAGE.to_owned(), Bytes::from_static(bytes.as_bytes()));
    assert_eq!(store.read(&manifest.digest).unwrap(), None);
    store.put(&manifest).unwrap();
    (store, manifest)
}

#[test]
fn a_manifest_is_read_back_as_it_was_and_a_damaged_one_is_not() {
    let cache = tempfile::tempdir().unwrap();
    let (store, manifest) = stored(cache.path(), "{}");
    assert_eq!(store.read(&manifest.digest).unwrap().as_ref(), Some(&manifest));
    fs::write(store.paths(&manifest.digest).0, b"{ }").unwrap();
    assert_eq!(store.read(&manifest.digest).unwrap(), None);
    assert!(!store.paths(&manifest.digest).0.exists());
}

#[test]
fn a_manifest_that_was_stored_again_after_its_damage_was_read_stays() {
    let cache = tempfile::tempdir().unwrap();
    let (store, manifest) = stored(cache.path(), "{}");
    let damaged = Manifest::new(String::new(), Bytes::from_static(b"{ }"));
    assert_eq!(store.remove_damaged(&manifest.digest, &damaged).unwrap(), Some(manifest.clone()));
    let undescribed = Manifest { media_type: String::new(), ..manifest.clone() };
    assert_eq!(store.remove_damaged(&manifest.digest, &undescribed).unwrap(), Some(manifest.clone()));
    fs::write(store.paths(&manifest.digest).0, b"{ }").unwrap();
    assert_eq!(store.remove_damaged(&manifest.digest, &damaged).unwrap(), None);
    assert!(!store.paths(&manifest.digest).0.exists());
}

#[test]
fn a_description_without_a_manifest_is_removed_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = ManifestStore::new(folder.path());
    let manifests = [b"{}".as_slice(), b"[]"].map(|bytes| Manifest::new(IMAGE.to_owned(), Bytes::from_static(bytes)));
    manifests.iter().for_each(|manifest| store.put(manifest).unwrap());
    fs::remove_file(store.paths(&manifests[0].digest).0).unwrap();
    assert_eq!(store.remove_lone_descriptions().unwrap(), 1);
    assert_eq!(store.remove_lone_descriptions().unwrap(), 0);
    assert!(!store.paths(&manifests[0].digest).1.exists());
    assert!(store.paths(&manifests[1].digest).1.exists());
}

#[test]
fn a_description_with_any_bit_flipped_never_changes_the_type() {
    let cache = tempfile::tempdir().unwrap();
    let config = format!("sha256:{}", "7".repeat(64));
    let typed = format!(r#"{{"mediaType":"{IMAGE}"}}"#);
    let untyped = format!(r#"{{"config":{{"digest":"{config}","size":2}}}}"#);
    for text in [typed, untyped] {
        let (store, manifest) = stored(cache.path(), text.leak());
        let description = store.paths(&manifest.digest).1;
        let whole = fs::read(&description).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            fs::write(&description, damaged).unwrap();
            assert_eq!(store.read(&manifest.digest).unwrap().as_ref(), Some(&manifest), "bit {bit}");
        }
        fs::remove_file(&description).unwrap();
        assert_eq!(store.read(&manifest.digest).unwrap().as_ref(), Some(&manifest));
        assert_eq!(fs::read(&description).unwrap(), whole, "it is there again");
    }
}

#[test]
fn a_manifest_whose_type_nothing_tells_any_more_is_fetched_again() {
    let cache = tempfile::tempdir().unwrap();
    let (store, manifest) = stored(cache.path(), "{}");
    fs::write(store.paths(&manifest.digest).1, r#"{"media_type":"text/html","size":2}"#).unwrap();
    assert_eq!(store.read(&manifest.digest).unwrap(), None);
    assert!(!store.paths(&manifest.digest).0.exists());
}

#[test]
fn a_manifest_or_description_that_cannot_be_read_is_moved_aside_and_stored_again() {
    for described in [false, true] {
        let cache = tempfile::tempdir().unwrap();
        let (store, manifest) = stored(cache.path(), "{}");
        let (file, description) = store.paths(&manifest.digest);
        let path = if described { description } else { file };
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(store.read(&manifest.digest).unwrap(), None);
        store.put(&manifest).unwrap();
        assert_eq!(store.read(&manifest.digest).unwrap().as_ref(), Some(&manifest));
        assert!(path.is_file() && path.with_added_extension("damaged").is_dir());
    }
}
