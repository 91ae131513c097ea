//! A download with many readers: from the first request to the last byte of the last reader, through the real blob
//! cache with its file, its hash and its commit. Upstream is memory, so that only the cache takes time. Readers
//! either copy the bytes from the file, as for TLS, or receive file ranges, as on the plain-HTTP port.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use actix_rt::{Arbiter, SystemRunner};
use bytes::Bytes;
use criterion::{Criterion, SamplingMode, Throughput};
use dependency_proxy::actors::blob_cache::{BlobCacheHandle, BlobCacheOptions, OpenBlob, Transfer};
use dependency_proxy::actors::cache_limits::CacheLimits;
use dependency_proxy::actors::evictor::Evictor;
use dependency_proxy::actors::reads::Reads;
use dependency_proxy::actors::upstream_fetcher::{GetBlob, GetBlobRange, HeadBlob, Requests};
use dependency_proxy::auth::sha256;
use dependency_proxy::domain::digest::Digest;
use dependency_proxy::domain::id::GroupId;
use dependency_proxy::domain::min_free::MinFree;
use dependency_proxy::domain::origin::{Account, Origin};
use dependency_proxy::store::blobs::BlobFiles;
use dependency_proxy::store::content::ContentStore;
use dependency_proxy::store::embedded::content::EmbeddedContent;
use dependency_proxy::store::embedded::index::Index;
use dependency_proxy::store::manifests::ManifestStore;
use dependency_proxy::store::spool::Spool;
use dependency_proxy::upstream::{Content, ContentHead, UpstreamError};
use futures::StreamExt;
use futures::future::{BoxFuture, join_all};
use tempfile::TempDir;
use tokio::sync::oneshot;

const BLOB_BYTES: usize = 8 << 20;
/// Size of a chunk from upstream, as much as one read of a socket returns.
const CHUNK_BYTES: usize = 64 << 10;

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan-out of a spool of 8 MiB");
    group.sampling_mode(SamplingMode::Flat).sample_size(10).measurement_time(Duration::from_secs(5));
    for (word, transfer) in [("read", Transfer::Copy), ("lent", Transfer::ZeroCopy)] {
        for readers in [1, 100, 1000] {
            group.throughput(Throughput::Bytes((readers * BLOB_BYTES) as u64));
            group.bench_function(format!("{word}/{readers} readers"), |bencher| {
                let system = actix_rt::System::new();
                let house = Fixture::new();
                bencher.iter_custom(|rounds| (0..rounds).map(|_| house.download(&system, readers, transfer)).sum());
            });
        }
    }
    group.finish();
}

/// The blob cache, and threads for the readers.
struct Fixture {
    folder: TempDir,
    upstream: Arc<Upstream>,
    blobs: BlobCacheHandle,
    files: BlobFiles,
    cache: Arbiter,
    workers: Vec<Arbiter>,
}

/// An upstream with one blob at a time.
#[derive(Default)]
struct Upstream(Mutex<Bytes>);

impl Requests<GetBlob> for Upstream {
    fn request(&self, GetBlob { from, .. }: GetBlob) -> BoxFuture<'static, Result<Content, UpstreamError>> {
        let content = self.0.lock().unwrap().clone();
        let chunks = (from as usize..BLOB_BYTES).step_by(CHUNK_BYTES);
        let chunks = chunks.map(move |start| Ok(content.slice(start..(start + CHUNK_BYTES).min(BLOB_BYTES))));
        let stream = futures::stream::iter(chunks).boxed();
        Box::pin(async { Ok(Content { head: head(), stream, mirror: None }) })
    }
}

impl Requests<GetBlobRange> for Upstream {
    fn request(&self, _: GetBlobRange) -> BoxFuture<'static, Result<Option<Content>, UpstreamError>> {
        Box::pin(async { Ok(None) })
    }
}

impl Requests<HeadBlob> for Upstream {
    fn request(&self, _: HeadBlob) -> BoxFuture<'static, Result<ContentHead, UpstreamError>> {
        Box::pin(async { Ok(head()) })
    }
}

fn head() -> ContentHead {
    ContentHead { length: Some(BLOB_BYTES as u64), ..ContentHead::default() }
}

const OPTIONS: BlobCacheOptions = BlobCacheOptions {
    max_downloads: most(4),
    max_unstored_streams: most(4),
    max_range_streams: most(4),
    max_downloads_per_group: most(64),
    max_blob_bytes: None,
    response_timeout: Duration::from_secs(60),
};

const LIMITS: CacheLimits =
    CacheLimits { max_waiters: most(10_000), max_waiters_per_group: most(10_000), known_links: most(1000) };

const fn most(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap()
}

impl Fixture {
    fn new() -> Self {
        let (folder, upstream, cache) = (tempfile::tempdir().unwrap(), Arc::new(Upstream::default()), Arbiter::new());
        let index = Index::open(folder.path(), folder.path()).unwrap();
        let content = ContentStore::embedded(EmbeddedContent::new(index, ManifestStore::new(folder.path())));
        let files = BlobFiles::open(folder.path(), MinFree::Bytes(0), 8).unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        let evictor = Evictor::new(content.clone(), files.clone(), Reads::default());
        let stores = (content, files.clone(), spool);
        let blobs = BlobCacheHandle::start(
            &cache.handle(),
            upstream.clone(),
            stores,
            (evictor, Arc::new(|_| None)),
            (OPTIONS, LIMITS),
        );
        let workers = (0..available_parallelism().unwrap().get()).map(|_| Arbiter::new()).collect();
        Self { folder, upstream, blobs, files, cache, workers }
    }

    /// Downloads a blob that is not stored, with this number of readers. Returns the duration.
    fn download(&self, system: &SystemRunner, readers: usize, transfer: Transfer) -> Duration {
        let digest = self.upstream.next();
        let begun = Instant::now();
        let read = system.block_on(join_all((0..readers).map(|reader| self.reader(reader, digest, transfer))));
        let took = begun.elapsed();
        assert!(read.into_iter().all(|read| read == Ok(BLOB_BYTES as u64)));
        self.forget(&digest);
        took
    }

    /// Starts a reader on one of the threads. Its number of bytes arrives on the channel.
    fn reader(&self, reader: usize, digest: Digest, transfer: Transfer) -> oneshot::Receiver<u64> {
        let (done, read) = oneshot::channel();
        let (blobs, wanted) = (self.blobs.clone(), OpenBlob { group: GroupId(1), origin: origin(), digest });
        self.workers[reader % self.workers.len()].spawn(async move {
            let blob = blobs.open(wanted).await.unwrap();
            let chunks = blob.chunks(0..BLOB_BYTES as u64, transfer);
            let length = chunks.fold(0, async |read, piece| read + piece.unwrap().length()).await;
            done.send(length).unwrap();
        });
        read
    }

    /// Waits for the commit, which is not timed, and removes the blob.
    fn forget(&self, digest: &Digest) {
        let spool = self.folder.path().join("spool");
        while spool.read_dir().unwrap().next().is_some() {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(self.files.remove(digest).unwrap());
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        for arbiter in self.workers.iter().chain([&self.cache]) {
            arbiter.stop();
        }
    }
}

impl Upstream {
    /// Replaces the blob by another one. Returns its digest.
    fn next(&self) -> Digest {
        let mut content = self.0.lock().unwrap();
        let mut bytes = vec![0; BLOB_BYTES];
        if !content.is_empty() {
            bytes.copy_from_slice(&content);
        }
        let number = u64::from_be_bytes(*bytes.first_chunk().unwrap()) + 1;
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        *content = bytes.into();
        sha256::digest(&content)
    }
}

fn origin() -> Origin {
    Origin {
        upstream: "docker.io".parse().unwrap(),
        account: Account::Anonymous,
        repository: "library/alpine".parse().unwrap(),
    }
}
