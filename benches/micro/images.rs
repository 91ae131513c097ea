//! Lists of the images of one group that has pulled 100,000 tags: the first page in the order of names, which reads no
//! more, and in others, which read all records.

use std::path::Path;
use std::sync::Arc;

use criterion::Criterion;
use dependency_proxy::domain::id::GroupId;
use dependency_proxy::domain::manifest::ACCEPTED;
use dependency_proxy::domain::min_free::MinFree;
use dependency_proxy::domain::origin::{Account, Origin};
use dependency_proxy::store::blobs::BlobFiles;
use dependency_proxy::store::content::{ContentStore, Grant, Pulled};
use dependency_proxy::store::embedded::content::EmbeddedContent;
use dependency_proxy::store::embedded::index::Index;
use dependency_proxy::store::images::{ImageOrder, ImageQuery};
use dependency_proxy::store::link::{Link, TagEntry};
use dependency_proxy::store::manifests::{Manifest, ManifestStore};
use dependency_proxy::store::usage::Usage;
use jiff::Timestamp;
use serde_json::json;

const TAGS: u64 = 100_000;
const TAGS_PER_REPOSITORY: u64 = 50;
const GROUP: GroupId = GroupId(1);

/// Number of layers of each image.
const LAYERS: u64 = 10;

pub fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut group = criterion.benchmark_group(format!("images of {TAGS} tags"));
    group.sample_size(20);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut content = None;
    let orders = [("name", ImageOrder::Name), ("last pull", ImageOrder::LastPulledAt), ("size", ImageOrder::Size)];
    for (name, order) in orders {
        group.bench_function(format!("first page by {name}"), |bencher| {
            let content = content.get_or_insert_with(|| runtime.block_on(filled(folder.path())));
            let blobs = BlobFiles::open(folder.path(), MinFree::Bytes(0), 8).unwrap();
            let query = ImageQuery {
                search: None,
                pinned: None,
                order,
                descending: order != ImageOrder::Name,
                skip: 0,
                limit: 20,
            };
            bencher.iter(|| {
                let page = runtime.block_on(content.images(GROUP, query.clone(), blobs.clone())).unwrap();
                assert_eq!((page.images.len(), page.total as u64), (20, TAGS));
            });
        });
    }
    group.finish();
}

/// Returns a store in which the group has pulled all tags.
async fn filled(folder: &Path) -> ContentStore {
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
