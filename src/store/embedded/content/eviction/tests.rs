//! Tests of the choice of what is evicted.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::names::MAX_NAMES_OF_ONE;
use super::*;
use crate::domain::id::GroupId;
use crate::domain::manifest::ACCEPTED;
use crate::domain::min_free::MinFree;
use crate::domain::origin::{Account, Origin};
use crate::domain::reference::Reference;
use crate::store::embedded::index::Index;
use crate::store::images::ImageKey;
use crate::store::link::TagEntry;
use crate::store::manifests::{Manifest, ManifestStore};

fn content(folder: &Path) -> EmbeddedContent {
    EmbeddedContent::new(Index::open(folder, folder).unwrap(), ManifestStore::new(folder))
}

/// Stores this document, and returns its digest.
fn stored(content: &EmbeddedContent, media_type: &str, document: &Value) -> Digest {
    let manifest = Manifest::new(media_type.to_owned(), document.to_string().into());
    content.manifests().put(&manifest).unwrap();
    manifest.digest
}

fn descriptor(number: usize) -> Value {
    json!({"digest": format!("sha256:{number:064x}"), "size": 1})
}

#[test]
fn a_read_of_an_index_is_one_of_all_that_its_stored_manifests_name() {
    let folder = tempfile::tempdir().unwrap();
    let content = content(folder.path());
    let image = json!({"schemaVersion": 2, "config": descriptor(1), "layers": [descriptor(2), descriptor(2)]});
    let image = stored(&content, ACCEPTED[2], &image);
    let manifests = json!([{"digest": image.to_string(), "size": 1}, descriptor(9)]);
    let index = stored(&content, ACCEPTED[0], &json!({"schemaVersion": 2, "manifests": manifests}));
    let mut names: Vec<String> = content.names(&index).iter().map(ToString::to_string).collect();
    names.sort();
    let mut expected = vec![image.to_string()];
    expected.extend([1, 2, 9].map(|number| format!("sha256:{number:064x}")));
    expected.sort();
    assert_eq!(names, expected);
}

#[test]
fn what_is_pinned_after_it_was_chosen_for_an_eviction_stays() {
    let folder = tempfile::tempdir().unwrap();
    let content = content(folder.path());
    let blobs = BlobFiles::open(folder.path(), MinFree::Bytes(0), 8).unwrap();
    let digests = [1, 2, 3].map(|number| {
        stored(&content, ACCEPTED[2], &json!({"schemaVersion": 2, "config": descriptor(number), "layers": []}))
    });
    let origin = Origin {
        upstream: "docker.io".parse().unwrap(),
        account: Account::Anonymous,
        repository: "library/app".parse().unwrap(),
    };
    let images = digests.map(|digest| {
        let entry = TagEntry { digest, checked_at: Timestamp::UNIX_EPOCH, denied: false };
        content.index().add_digest(GroupId(1), &origin, entry).unwrap();
        ImageKey { group: GroupId(1), origin: origin.clone(), reference: Reference::Digest(digest) }
    });
    content.record_files(&HashMap::new(), &blobs).unwrap();
    assert!(content.index().pin(&images[0], true).unwrap());
    let pins = content.pins().unwrap();
    let chosen = content.index().evictable(1 << 20, |digest| pins.content.contains(digest)).unwrap();
    assert_eq!(chosen.len(), 2);
    assert!(content.index().pin(&images[1], true).unwrap());
    let mut evicted = Evicted::default();
    content.evict_chosen(&chosen, pins, &blobs, &mut evicted).unwrap();
    let is_there = digests.map(|digest| content.manifests().length(&digest).unwrap() > 0);
    assert_eq!((evicted.files, is_there), (1, [true, true, false]));
}

#[test]
fn a_file_that_is_gone_is_told_from_one_that_was_evicted() {
    let folder = tempfile::tempdir().unwrap();
    let content = content(folder.path());
    let blobs = BlobFiles::open(folder.path(), MinFree::Bytes(0), 8).unwrap();
    let lost = Digest::from_bytes([7; 32]);
    content
        .index()
        .found_file(content.manifests().usage(), &lost, StoredFile { kind: FileKind::Blob, size: 9 })
        .unwrap();
    let evicted = content.evict(5, &blobs).unwrap();
    assert_eq!((evicted.files, evicted.gone, content.manifests().usage().totals().bytes), (0, 1, 0));
    assert_eq!(content.evict(5, &blobs).unwrap(), Evicted::default());
}

#[test]
fn an_index_that_repeats_a_manifest_very_often_is_read_as_if_it_did_not() {
    let folder = tempfile::tempdir().unwrap();
    let content = content(folder.path());
    let layers: Vec<Value> = (1..8_000).map(descriptor).collect();
    let image = json!({"schemaVersion": 2, "config": descriptor(0), "layers": layers});
    let image = stored(&content, ACCEPTED[2], &image);
    let manifests = vec![json!({"digest": image.to_string(), "size": 1}); 8_000];
    let index = stored(&content, ACCEPTED[0], &json!({"schemaVersion": 2, "manifests": manifests}));
    assert_eq!(content.names(&index).len(), MAX_NAMES_OF_ONE);
}
