//! A store in which one group has pulled 100,000 tags, with their manifests: for benches of lists of images.
#![allow(clippy::unwrap_used, missing_docs, reason = "what fails here ends the run of the bench")]

use std::path::Path;
use std::sync::Arc;

use dependency_proxy::domain::id::GroupId;
use dependency_proxy::domain::manifest::ACCEPTED;
use dependency_proxy::domain::origin::{Account, Origin};
use dependency_proxy::store::content::{ContentStore, Grant, Pulled};
use dependency_proxy::store::embedded::content::EmbeddedContent;
use dependency_proxy::store::embedded::index::Index;
use dependency_proxy::store::link::{Link, TagEntry};
use dependency_proxy::store::manifests::{Manifest, ManifestStore};
use dependency_proxy::store::usage::Usage;
use jiff::Timestamp;
use serde_json::json;

/// Number of tags.
pub const TAGS: u64 = 100_000;

/// The group.
pub const GROUP: GroupId = GroupId(1);

const TAGS_PER_REPOSITORY: u64 = 50;

/// Number of layers of each image.
const LAYERS: u64 = 10;

/// Returns a store in this folder, data and cache in one, in which the group has pulled all tags.
pub async fn filled(folder: &Path) -> ContentStore {
    let usage = Usage::default();
    let index = Index::open(folder, folder).unwrap().counted_in(&usage);
    let manifests = ManifestStore::new(folder).counted_in(usage);
    let content = ContentStore::embedded(EmbeddedContent::new(index, manifests));
    for number in 0..TAGS {
        content.grant(grant(number), Some(Arc::new(manifest(number)))).await.unwrap();
    }
    content.totals().await.unwrap().unwrap();
    content
}

fn manifest(number: u64) -> Manifest {
    let layer = |layer: u64| json!({"digest": format!("sha256:{:064x}", number * LAYERS + layer), "size": 1});
    let layers: Vec<_> = (1..LAYERS).map(layer).collect();
    let document = json!({"schemaVersion": 2, "config": layer(0), "layers": layers});
    Manifest::new(ACCEPTED[2].to_owned(), document.to_string().into())
}

fn grant(number: u64) -> Grant {
    let repository = format!("team/app-{:04}", number / TAGS_PER_REPOSITORY).parse().unwrap();
    let origin = Origin { upstream: "docker.io".parse().unwrap(), account: Account::Anonymous, repository };
    let digest = manifest(number).digest;
    let entry = TagEntry { digest, checked_at: Timestamp::now(), denied: false };
    let pulled = Pulled::Tag(format!("v{number}").parse().unwrap(), entry);
    Grant { group: GROUP, origin, links: vec![(digest, Link::granted(Some(1_000)))], pulled }
}
