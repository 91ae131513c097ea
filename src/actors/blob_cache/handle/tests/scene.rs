//! A blob cache over a fake upstream in a temporary folder, and what a client reads from it.

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::Arbiter;
use futures::StreamExt;
use tempfile::TempDir;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::fake_upstream::{FakeUpstream, Reply};
use crate::actors::blob_cache::{
    BlobCacheHandle, BlobCacheOptions, BlobError, BlobReader, Chunk, Chunks, OpenBlob, Transfer,
};
use crate::actors::cache_limits::CacheLimits;
use crate::actors::evictor::Evictor;
use crate::actors::reads::Reads;
use crate::auth::sha256;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::min_free::MinFree;
use crate::domain::origin::{Account, Origin};
use crate::store::blobs::BlobFiles;
use crate::store::content::ContentStore;
use crate::store::embedded::content::EmbeddedContent;
use crate::store::embedded::index::Index;
use crate::store::link::Link;
use crate::store::manifests::ManifestStore;
use crate::store::spool::Spool;

/// Maximum time for which a test waits for something.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

pub(super) struct Scene {
    pub(super) folder: TempDir,
    pub(super) arbiter: Arbiter,
    pub(super) blobs: BlobCacheHandle,
    pub(super) upstream: Arc<FakeUpstream>,
    pub(super) content: ContentStore,
    pub(super) digest: Digest,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.arbiter.stop();
    }
}

/// Options of a scene, unless its test sets others.
pub(super) const OPTIONS: BlobCacheOptions = BlobCacheOptions {
    max_downloads: most(4),
    max_unstored_streams: most(4),
    max_range_streams: most(4),
    max_downloads_per_group: most(64),
    max_blob_bytes: None,
    response_timeout: Duration::from_secs(10),
};

pub(super) const LIMITS: CacheLimits =
    CacheLimits { max_waiters: most(256), max_waiters_per_group: most(256), known_links: most(1000) };

pub(super) const fn most(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap()
}

impl Scene {
    pub(super) fn new(upstream: FakeUpstream) -> Self {
        Self::with(upstream, OPTIONS, |file, bytes, offset| file.write_all_at(bytes, offset))
    }

    pub(super) fn with(
        upstream: FakeUpstream,
        options: BlobCacheOptions,
        write: fn(&File, &[u8], u64) -> io::Result<()>,
    ) -> Self {
        Self::limited(upstream, (options, LIMITS), write)
    }

    pub(super) fn limited(
        upstream: FakeUpstream,
        options: (BlobCacheOptions, CacheLimits),
        write: fn(&File, &[u8], u64) -> io::Result<()>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let digest = sha256::digest(&upstream.content);
        let (arbiter, upstream) = (Arbiter::new(), Arc::new(upstream));
        let index = Index::open(folder.path(), folder.path()).unwrap();
        let content = ContentStore::embedded(EmbeddedContent::new(index, ManifestStore::new(folder.path())));
        let files = BlobFiles::open(folder.path(), MinFree::Bytes(0), 8).unwrap();
        let spool = Spool::open_with(folder.path(), write).unwrap();
        let (fake, links) = (Arc::clone(&upstream), content.clone());
        let evictor = Evictor::new(content.clone(), files.clone(), Reads::default());
        let blobs = BlobCacheHandle::start(
            &arbiter.handle(),
            fake,
            (links, files, spool),
            (evictor, Arc::new(|_| None)),
            options,
        );
        Self { folder, arbiter, blobs, upstream, content, digest }
    }

    pub(super) fn wanted(&self, group: u64) -> OpenBlob {
        OpenBlob { group: GroupId(group), origin: origin(), digest: self.digest }
    }

    pub(super) async fn open(&self, group: u64) -> Result<BlobReader, BlobError> {
        self.blobs.open(self.wanted(group)).await
    }

    /// Returns the bytes that the group gets, and the error that ended them.
    pub(super) async fn fetch(&self, group: u64) -> (Vec<u8>, Option<BlobError>) {
        match self.open(group).await {
            Ok(blob) => read(blob).await,
            Err(error) => (Vec::new(), Some(error)),
        }
    }

    pub(super) async fn fetches_all(&self, group: u64) -> bool {
        self.fetch(group).await.0 == self.upstream.content
    }

    /// Adds the link of a manifest of the group that refers to the blob, with this size.
    pub(super) fn name(&self, group: u64, size: u64) {
        let link = Link::referenced(Some(size));
        self.content.engine().index().add_links(GroupId(group), &origin(), &[(self.digest, link)]).unwrap();
    }

    /// Returns the committed bytes, once the spool has no file of the download any more.
    pub(super) async fn committed(&self) -> Option<Vec<u8>> {
        let empty = async {
            while self.folder.path().join("spool").read_dir().unwrap().count() > 0 {
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(DEADLINE, empty).await.unwrap();
        let hex = self.digest.hex();
        std::fs::read(self.folder.path().join("blobs/sha256").join(&hex[..2]).join(hex)).ok()
    }

    pub(super) async fn until_committed(&self) -> Vec<u8> {
        let committed = async {
            loop {
                if let Some(bytes) = self.committed().await {
                    return bytes;
                }
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(DEADLINE, committed).await.unwrap()
    }

    pub(super) async fn until_linked(&self, group: u64) {
        let linked = async {
            while !self.linked(group) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(DEADLINE, linked).await.unwrap();
    }

    pub(super) fn linked(&self, group: u64) -> bool {
        let index = self.content.engine().index();
        index.link(GroupId(group), &origin(), &self.digest).unwrap().is_some_and(|link| link.is_granted())
    }
}

/// Returns a scene whose blob is committed and linked to group 1 alone.
pub(super) async fn stocked(heads: impl IntoIterator<Item = Reply>) -> Scene {
    let upstream = FakeUpstream::of(100_000);
    upstream.heads.lock().unwrap().extend(heads);
    let scene = Scene::new(upstream);
    scene.name(1, 100_000);
    scene.fetch(1).await;
    scene.committed().await;
    // The actor must have been notified of the end, too.
    sleep(Duration::from_millis(50)).await;
    scene
}

pub(super) fn elsewhere(scene: &Scene, group: u64) -> OpenBlob {
    let origin =
        Origin { repository: "library/other".parse().unwrap(), account: Account::Username("x".into()), ..origin() };
    OpenBlob { origin, ..scene.wanted(group) }
}

pub(super) fn full_at_70_000(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    if offset + bytes.len() as u64 > 70_000 {
        return Err(io::ErrorKind::StorageFull.into());
    }
    file.write_all_at(bytes, offset)
}

pub(super) fn origin() -> Origin {
    Origin {
        upstream: "docker.io".parse().unwrap(),
        account: Account::Anonymous,
        repository: "library/alpine".parse().unwrap(),
    }
}

/// Reads the whole blob: its bytes, and the error that ended them.
pub(super) async fn read(blob: BlobReader) -> (Vec<u8>, Option<BlobError>) {
    let length = blob.length();
    read_range(blob, 0..length).await
}

pub(super) async fn read_range(blob: BlobReader, range: Range<u64>) -> (Vec<u8>, Option<BlobError>) {
    collect(blob.chunks(range, Transfer::Copy)).await
}

/// As [`read_range`], with zero-copy transfer to a socket.
pub(super) async fn send_range(blob: BlobReader, range: Range<u64>) -> (Vec<u8>, Option<BlobError>) {
    collect(blob.chunks(range, Transfer::ZeroCopy)).await
}

pub(super) async fn collect(mut chunks: Chunks) -> (Vec<u8>, Option<BlobError>) {
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => bytes.extend(taken(chunk).await),
            Err(error) => return (bytes, Some(error)),
        }
    }
    (bytes, None)
}

pub(super) async fn taken(chunk: Chunk) -> Vec<u8> {
    let mut part = match chunk {
        Chunk::Bytes(bytes) => return bytes.to_vec(),
        Chunk::FileRange(part) => part,
    };
    let (socket, other) = UnixStream::pair().unwrap();
    let length = part.length() as usize;
    let reader = spawn_blocking(move || {
        let mut bytes = vec![0; length];
        (&other).read_exact(&mut bytes).unwrap();
        bytes
    });
    while part.length() > 0 {
        part.send_to(&socket, usize::MAX).unwrap();
    }
    reader.await.unwrap()
}
