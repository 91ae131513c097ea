//! Lists of the images of one group that has pulled 100,000 tags: the first page in the order of names, which reads no
//! more, and in others, which read all records.

use benches::tagged::{GROUP, TAGS, filled};
use criterion::Criterion;
use dependency_proxy::domain::min_free::MinFree;
use dependency_proxy::store::blobs::BlobFiles;
use dependency_proxy::store::images::{ImageOrder, ImageQuery};

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
            let descending = order != ImageOrder::Name;
            let query = ImageQuery { order, descending, limit: 20, ..ImageQuery::default() };
            bencher.iter(|| {
                let page = runtime.block_on(content.images(GROUP, query.clone(), blobs.clone())).unwrap();
                assert_eq!((page.images.len(), page.total as u64), (20, TAGS));
            });
        });
    }
    group.finish();
}
