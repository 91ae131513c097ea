//! Tests of the blob cache against an upstream that cuts connections, sends wrong content, stalls and panics.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test; panics are tested")]

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_rt::Arbiter;
use bytes::Bytes;
use futures::StreamExt;
use futures::future::{BoxFuture, join_all};
use futures::stream::{self, BoxStream};
use tempfile::TempDir;
use tokio::time::sleep;

use super::*;
use crate::actors::blob_cache::{Chunk, Chunks, Transfer};
use crate::actors::reads::Reads;
use crate::actors::upstream_fetcher::{GetBlob, GetBlobRange, HeadBlob, Requests};
use crate::auth::sha256;
use crate::domain::min_free::MinFree;
use crate::domain::origin::{Account, Origin};
use crate::store::embedded::content::EmbeddedContent;
use crate::store::embedded::index::Index;
use crate::store::manifests::ManifestStore;
use crate::upstream::{Content, ContentHead, HttpFailure};

/// Behaviour of the fake upstream at one request. Requests beyond the script get the correct response.
#[derive(Clone)]
enum Reply {
    Refuse(UpstreamError),
    /// The right bytes up to this one, then the connection breaks.
    CutAt(usize),
    /// The right bytes up to this one, then a clean end.
    EndAt(usize),
    /// All bytes, of which this one is wrong.
    Corrupt(usize),
    /// The right bytes, with this length in the head.
    Tell(Option<u64>),
    PanicAt(usize),
    Silence,
}

struct FakeUpstream {
    content: Bytes,
    chunk: usize,
    pause: Duration,
    script: Mutex<VecDeque<Reply>>,
    heads: Mutex<VecDeque<Reply>>,
    blob_requests: Mutex<Vec<u64>>,
    head_requests: AtomicUsize,
    ranges: Mutex<VecDeque<Reply>>,
    range_requests: Mutex<Vec<Range<u64>>>,
}

mod head;
mod ranges;

type Arriving = Result<Bytes, UpstreamError>;

impl FakeUpstream {
    fn of(length: usize) -> Self {
        let content = (0..length).map(|n| (n * 7 + n / 251) as u8).collect();
        Self {
            content,
            chunk: 16 * 1024,
            pause: Duration::ZERO,
            script: Mutex::default(),
            heads: Mutex::default(),
            blob_requests: Mutex::default(),
            head_requests: AtomicUsize::new(0),
            ranges: Mutex::default(),
            range_requests: Mutex::default(),
        }
    }

    fn replying(self, script: impl IntoIterator<Item = Reply>) -> Self {
        self.script.lock().unwrap().extend(script);
        self
    }

    /// Sets the replies to requests for bounded ranges. The length of [`Reply::Tell`] is that of the whole blob.
    fn replying_to_ranges(self, script: impl IntoIterator<Item = Reply>) -> Self {
        self.ranges.lock().unwrap().extend(script);
        self
    }

    fn requested_ranges(&self) -> Vec<Range<u64>> {
        self.range_requests.lock().unwrap().clone()
    }

    fn gets(&self) -> Vec<u64> {
        self.blob_requests.lock().unwrap().clone()
    }

    fn chunks(&self, from: u64, to: usize, corrupt: Option<usize>) -> BoxStream<'static, Arriving> {
        let mut content = self.content.to_vec();
        if let Some(at) = corrupt {
            content[at] ^= 1;
        }
        let chunks: Vec<Bytes> = content[from as usize..to].chunks(self.chunk).map(Bytes::copy_from_slice).collect();
        let pause = self.pause;
        stream::iter(chunks)
            .then(move |chunk| async move {
                if !pause.is_zero() {
                    sleep(pause).await;
                }
                Ok(chunk)
            })
            .boxed()
    }
}

fn broken() -> UpstreamError {
    UpstreamError::Interrupted { reason: "cut".to_owned() }
}

impl Requests<GetBlob> for FakeUpstream {
    fn request(&self, GetBlob { from, .. }: GetBlob) -> BoxFuture<'static, Result<Content, UpstreamError>> {
        self.blob_requests.lock().unwrap().push(from);
        let reply = self.script.lock().unwrap().pop_front();
        let whole = self.content.len();
        let mut length = Some(whole as u64);
        let stream = match reply {
            None => self.chunks(from, whole, None),
            Some(Reply::Refuse(error)) => return Box::pin(async { Err(error) }),
            Some(Reply::CutAt(at)) => self.chunks(from, at, None).chain(stream::iter([Err(broken())])).boxed(),
            Some(Reply::EndAt(at)) => self.chunks(from, at, None),
            Some(Reply::Corrupt(at)) => self.chunks(from, whole, Some(at)),
            Some(Reply::Tell(reported)) => {
                length = reported;
                self.chunks(from, whole, None)
            }
            Some(Reply::PanicAt(at)) => {
                self.chunks(from, at, None).chain(stream::once(async { panic!("a fault of ours") })).boxed()
            }
            Some(Reply::Silence) => stream::pending().boxed(),
        };
        let head = ContentHead { length, ..ContentHead::default() };
        Box::pin(async { Ok(Content { head, stream }) })
    }
}

impl Requests<GetBlobRange> for FakeUpstream {
    fn request(
        &self,
        GetBlobRange { range, .. }: GetBlobRange,
    ) -> BoxFuture<'static, Result<Option<Content>, UpstreamError>> {
        self.range_requests.lock().unwrap().push(range.clone());
        let (whole, mut length) = (self.content.len(), Some(self.content.len() as u64));
        let (from, end) = (range.start, (range.end as usize).min(whole));
        if from >= whole as u64 {
            return Box::pin(async { Err(UpstreamError::WrongRange) });
        }
        let stream = match self.ranges.lock().unwrap().pop_front() {
            Some(Reply::Refuse(error)) => return Box::pin(async { Err(error) }),
            Some(Reply::Silence) => return Box::pin(async { Ok(None) }),
            Some(Reply::CutAt(at)) => self.chunks(from, at, None).chain(stream::iter([Err(broken())])).boxed(),
            Some(Reply::EndAt(at)) => self.chunks(from, at, None),
            Some(Reply::Tell(reported)) => {
                length = reported;
                self.chunks(from, end, None)
            }
            Some(Reply::Corrupt(_) | Reply::PanicAt(_)) => self.chunks(from, end + 1, None),
            None => self.chunks(from, end, None),
        };
        let head = ContentHead { length, ..ContentHead::default() };
        Box::pin(async { Ok(Some(Content { head, stream })) })
    }
}

impl Requests<HeadBlob> for FakeUpstream {
    fn request(&self, _: HeadBlob) -> BoxFuture<'static, Result<ContentHead, UpstreamError>> {
        self.head_requests.fetch_add(1, Ordering::SeqCst);
        let length = match self.heads.lock().unwrap().pop_front() {
            Some(Reply::Refuse(error)) => Err(error),
            Some(Reply::Tell(length)) => Ok(length),
            _ => Ok(Some(self.content.len() as u64)),
        };
        Box::pin(async move {
            sleep(Duration::from_millis(5)).await;
            length.map(|length| ContentHead { length, ..ContentHead::default() })
        })
    }
}

struct Scene {
    folder: TempDir,
    arbiter: Arbiter,
    blobs: BlobCacheHandle,
    upstream: Arc<FakeUpstream>,
    content: ContentStore,
    digest: Digest,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.arbiter.stop();
    }
}

const ROOMY: BlobCacheOptions = BlobCacheOptions {
    max_downloads: 4,
    max_waiters: 256,
    max_unstored_streams: 4,
    max_range_streams: 4,
    max_downloads_per_group: 64,
    known_links: 1000,
    max_blob_bytes: None,
    response_timeout: Duration::from_secs(10),
};

impl Scene {
    fn new(upstream: FakeUpstream) -> Self {
        Self::with(upstream, ROOMY, |file, bytes, offset| file.write_all_at(bytes, offset))
    }

    fn with(upstream: FakeUpstream, options: BlobCacheOptions, write: fn(&File, &[u8], u64) -> io::Result<()>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let digest = sha256::digest(&upstream.content);
        let (arbiter, upstream) = (Arbiter::new(), Arc::new(upstream));
        let index = Index::open(folder.path(), folder.path()).unwrap();
        let content = ContentStore::embedded(EmbeddedContent::new(index, ManifestStore::new(folder.path())));
        let files = BlobFiles::open(folder.path(), MinFree::Bytes(0), 8).unwrap();
        let spool = Spool::open_with(folder.path(), write).unwrap();
        let (fake, links) = (Arc::clone(&upstream), content.clone());
        let evictor = Evictor::new(content.clone(), files.clone(), Reads::default());
        let blobs = BlobCacheHandle::start(&arbiter.handle(), fake, (links, files, spool), evictor, options);
        Self { folder, arbiter, blobs, upstream, content, digest }
    }

    fn wanted(&self, group: u64) -> OpenBlob {
        OpenBlob { group: GroupId(group), origin: origin(), digest: self.digest }
    }

    async fn open(&self, group: u64) -> Result<BlobReader, BlobError> {
        self.blobs.open(self.wanted(group)).await
    }

    /// Returns the bytes that the group gets, and the error that ended them.
    async fn fetch(&self, group: u64) -> (Vec<u8>, Option<BlobError>) {
        match self.open(group).await {
            Ok(blob) => read(blob).await,
            Err(error) => (Vec::new(), Some(error)),
        }
    }

    async fn fetches_all(&self, group: u64) -> bool {
        self.fetch(group).await.0 == self.upstream.content
    }

    /// Adds the link of a manifest of the group that refers to the blob, with this size.
    fn name(&self, group: u64, size: u64) {
        let link = Link::referenced(Some(size));
        self.content.engine().index().add_links(GroupId(group), &origin(), &[(self.digest, link)]).unwrap();
    }

    /// Returns the committed bytes, once the spool has no file of the download any more.
    async fn committed(&self) -> Option<Vec<u8>> {
        while self.folder.path().join("spool").read_dir().unwrap().count() > 0 {
            sleep(Duration::from_millis(2)).await;
        }
        let hex = self.digest.hex();
        std::fs::read(self.folder.path().join("blobs/sha256").join(&hex[..2]).join(hex)).ok()
    }

    async fn until_committed(&self) -> Vec<u8> {
        loop {
            if let Some(bytes) = self.committed().await {
                return bytes;
            }
            sleep(Duration::from_millis(2)).await;
        }
    }

    async fn until_linked(&self, group: u64) {
        while !self.linked(group) {
            sleep(Duration::from_millis(1)).await;
        }
    }

    fn linked(&self, group: u64) -> bool {
        let index = self.content.engine().index();
        index.link(GroupId(group), &origin(), &self.digest).unwrap().is_some_and(|link| link.is_granted())
    }
}

fn origin() -> Origin {
    Origin {
        upstream: "docker.io".parse().unwrap(),
        account: Account::Anonymous,
        repository: "library/alpine".parse().unwrap(),
    }
}

/// Reads the whole blob: its bytes, and the error that ended them.
async fn read(blob: BlobReader) -> (Vec<u8>, Option<BlobError>) {
    let length = blob.length();
    read_range(blob, 0..length).await
}

async fn read_range(blob: BlobReader, range: Range<u64>) -> (Vec<u8>, Option<BlobError>) {
    collect(blob.chunks(range, Transfer::Copy)).await
}

/// As [`read_range`], with zero-copy transfer to a socket.
async fn send_range(blob: BlobReader, range: Range<u64>) -> (Vec<u8>, Option<BlobError>) {
    collect(blob.chunks(range, Transfer::ZeroCopy)).await
}

async fn collect(mut chunks: Chunks) -> (Vec<u8>, Option<BlobError>) {
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => bytes.extend(taken(chunk).await),
            Err(error) => return (bytes, Some(error)),
        }
    }
    (bytes, None)
}

async fn taken(chunk: Chunk) -> Vec<u8> {
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
        part.send_to(&socket).unwrap();
    }
    reader.await.unwrap()
}

#[actix_rt::test]
async fn two_hundred_clients_arriving_over_time_cause_one_request() {
    let upstream = FakeUpstream { pause: Duration::from_millis(4), ..FakeUpstream::of(1 << 20) };
    let scene = Scene::new(upstream);
    let clients = (0..200_u64).map(|n| {
        let scene = &scene;
        async move {
            sleep(Duration::from_millis(n * 2)).await;
            let blob = scene.open(n % 7).await.unwrap();
            let (source, content) = (blob.source(), &scene.upstream.content);
            let start = if n % 5 == 0 { 1000 * n as usize } else { 0 };
            let (bytes, error) = read_range(blob, start as u64..content.len() as u64).await;
            assert!(error.is_none() && bytes == content[start..], "client {n}: {error:?}");
            source
        }
    });
    let sources = join_all(clients).await;
    assert_eq!(scene.upstream.gets(), [0]);
    assert_eq!(sources.iter().filter(|&&source| source == CacheStatus::Miss).count(), 1);
    assert!(scene.committed().await.unwrap() == scene.upstream.content);
    join_all((0..7).map(|group| scene.until_linked(group))).await;
}

#[actix_rt::test]
async fn the_first_bytes_leave_while_the_rest_is_still_far_away() {
    let scene = Scene::new(FakeUpstream::of(100_000).replying([Reply::CutAt(50_000), Reply::Silence]));
    let blob = scene.open(1).await.unwrap();
    assert_eq!((blob.length(), blob.source()), (100_000, CacheStatus::Miss));
    let (bytes, error) = read_range(blob, 0..50_000).await;
    assert!(error.is_none() && bytes == scene.upstream.content[..50_000]);
}

#[actix_rt::test]
async fn a_committed_and_linked_blob_is_a_file_and_asks_nobody() {
    let scene = Scene::new(FakeUpstream::of(100_000));
    scene.fetch(1).await;
    scene.committed().await;
    scene.until_linked(1).await;
    for _ in 0..3 {
        let blob = scene.open(1).await.unwrap();
        assert_eq!(blob.source(), CacheStatus::Hit);
        assert_eq!(read_range(blob, 10..20).await.0, scene.upstream.content[10..20]);
    }
    assert_eq!((scene.upstream.gets().len(), scene.upstream.head_requests.load(Ordering::SeqCst)), (1, 0));
}

#[actix_rt::test]
async fn who_asks_while_a_download_ends_asks_upstream_nothing_more() {
    for _ in 0..20 {
        let scene = Scene::new(FakeUpstream::of(4 << 20));
        // Repeatedly, so that some requests come while the file is in place and the link is not.
        let request = async || {
            while !scene.linked(1) {
                scene.open(1).await.unwrap();
            }
        };
        join_all((0..16).map(|_| request())).await;
        assert_eq!((scene.upstream.gets().len(), scene.upstream.head_requests.load(Ordering::SeqCst)), (1, 0));
    }
}

/// Returns a scene whose blob is committed and linked to group 1 alone.
async fn stocked(heads: impl IntoIterator<Item = Reply>) -> Scene {
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

fn elsewhere(scene: &Scene, group: u64) -> OpenBlob {
    let origin =
        Origin { repository: "library/other".parse().unwrap(), account: Account::Username("x".into()), ..origin() };
    OpenBlob { origin, ..scene.wanted(group) }
}

#[actix_rt::test]
async fn what_is_in_a_file_is_lent_in_large_parts_and_small_ones_while_it_grows() {
    let upstream = FakeUpstream { pause: Duration::from_millis(2), ..FakeUpstream::of(6 << 20) };
    let scene = Scene::new(upstream);
    let content = &scene.upstream.content;
    let growing = scene.open(1).await.unwrap();
    assert!(send_range(growing, 5..(6 << 20) - 1).await.0 == content[5..content.len() - 1]);
    scene.until_committed().await;
    scene.until_linked(1).await;
    let parts: Vec<_> = scene.open(1).await.unwrap().chunks(10..6 << 20, Transfer::ZeroCopy).collect().await;
    let file_range = |chunk: Result<Chunk, _>| match chunk {
        Ok(Chunk::FileRange(part)) => (part.length(), part.is_followed()),
        Ok(Chunk::Bytes(_)) | Err(_) => panic!("no file range"),
    };
    assert_eq!(
        parts.into_iter().map(file_range).collect::<Vec<_>>(),
        [(2 << 20, true), ((4 << 20) - 10, false)],
        "a rest of less than two ranges is not split"
    );
    assert!(send_range(scene.open(1).await.unwrap(), 10..6 << 20).await.0 == content[10..]);
}

#[actix_rt::test]
async fn the_last_byte_is_not_lent_before_the_digest_holds() {
    let scene = Scene::new(FakeUpstream::of(100_000).replying([Reply::Corrupt(3)]));
    let (bytes, error) = send_range(scene.open(1).await.unwrap(), 0..100_000).await;
    assert!(bytes.len() < 100_000 && matches!(error, Some(BlobError::WrongDigest)));
}

#[actix_rt::test]
async fn what_the_disk_has_no_room_for_is_given_as_bytes_after_what_was_lent() {
    let scene = Scene::with(FakeUpstream::of(200_000), ROOMY, full_at_70_000);
    let (bytes, error) = send_range(scene.open(1).await.unwrap(), 0..200_000).await;
    assert!(error.is_none() && bytes == scene.upstream.content);
}

#[actix_rt::test]
async fn a_file_that_was_cut_short_is_not_lent_beyond_its_end() {
    let scene = stocked([]).await;
    scene.until_linked(1).await;
    let mut chunks = scene.open(1).await.unwrap().chunks(0..100_000, Transfer::ZeroCopy);
    let Some(Ok(Chunk::FileRange(mut part))) = chunks.next().await else { panic!("no file range") };
    let hex = scene.digest.hex();
    let path = scene.folder.path().join("blobs/sha256").join(&hex[..2]).join(hex);
    File::options().write(true).open(path).unwrap().set_len(10).unwrap();
    let (socket, _other) = UnixStream::pair().unwrap();
    assert_eq!(part.send_to(&socket).unwrap(), 10);
    assert_eq!(part.send_to(&socket).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[actix_rt::test]
async fn without_a_link_upstream_decides_once_for_all_who_ask() {
    let scene = stocked([]).await;
    let wanted = elsewhere(&scene, 2);
    for opened in join_all((0..20).map(|_| scene.blobs.open(wanted.clone()))).await {
        assert!(read(opened.unwrap()).await.0 == scene.upstream.content);
    }
    assert_eq!((scene.upstream.gets().len(), scene.upstream.head_requests.load(Ordering::SeqCst)), (1, 1));
    assert_eq!(scene.blobs.open(wanted).await.unwrap().source(), CacheStatus::Hit);
    assert_eq!(scene.upstream.head_requests.load(Ordering::SeqCst), 1);
}

#[actix_rt::test]
async fn what_upstream_refuses_or_gets_wrong_opens_no_stored_bytes() {
    let scene = stocked([
        Reply::Refuse(UpstreamError::NotFound),
        Reply::Refuse(UpstreamError::Denied { message: None }),
        Reply::Refuse(UpstreamError::TimedOut),
        Reply::Tell(Some(1234)),
        Reply::Tell(None),
    ])
    .await;
    let wanted = elsewhere(&scene, 2);
    let mut refusals = Vec::new();
    // After a `HEAD` with a wrong length, a `GET` of the first byte decides.
    let decides = [Reply::Refuse(UpstreamError::NotFound), Reply::Tell(Some(1234))];
    scene.upstream.ranges.lock().unwrap().extend(decides);
    for _ in 0..5 {
        refusals.push(scene.blobs.open(wanted.clone()).await.err().unwrap());
    }
    assert!(matches!(refusals[0], BlobError::Unknown));
    assert!(matches!(refusals[1], BlobError::Denied { .. }));
    assert!(matches!(refusals[2], BlobError::Unavailable(UpstreamError::TimedOut)));
    assert!(matches!(refusals[3], BlobError::Unknown));
    assert!(matches!(refusals[4], BlobError::WrongLength { .. }));
}

#[actix_rt::test]
async fn a_guessed_digest_is_unknown_whether_stored_or_not() {
    let scene = Scene::new(FakeUpstream::of(10).replying([Reply::Refuse(UpstreamError::NotFound)]));
    assert!(matches!(scene.open(1).await, Err(BlobError::Unknown)));
    assert!(scene.committed().await.is_none() && !scene.linked(1));
}

#[actix_rt::test]
async fn an_interrupted_download_is_resumed_while_the_clients_wait() {
    let script = [Reply::CutAt(40_000), Reply::Refuse(UpstreamError::TimedOut), Reply::EndAt(70_000)];
    let scene = Scene::new(FakeUpstream::of(100_000).replying(script));
    let (bytes, error) = scene.fetch(1).await;
    assert!(error.is_none() && bytes == scene.upstream.content);
    assert_eq!(scene.upstream.gets(), [0, 40_000, 40_000, 70_000]);
    assert!(scene.committed().await.unwrap() == scene.upstream.content);
}

#[actix_rt::test]
async fn a_download_without_progress_is_given_up() {
    let scene = Scene::new(FakeUpstream::of(100_000).replying((0..9).map(|_| Reply::EndAt(0))));
    let (bytes, error) = scene.fetch(1).await;
    assert!(bytes.is_empty() && matches!(error, Some(BlobError::Unavailable(UpstreamError::Interrupted { .. }))));
    assert_eq!(scene.upstream.gets().len(), 5);
}

#[actix_rt::test]
async fn a_wrong_digest_gives_the_last_byte_to_nobody_and_stores_nothing() {
    let upstream = FakeUpstream { pause: Duration::from_millis(5), ..FakeUpstream::of(100_000) };
    let scene = Scene::new(upstream.replying([Reply::Corrupt(3)]));
    for (bytes, error) in join_all((1..5).map(|group| scene.fetch(group))).await {
        assert!(bytes.len() < 100_000 && matches!(error, Some(BlobError::WrongDigest)));
    }
    assert!(scene.committed().await.is_none());
    assert!(!scene.linked(1), "what turned out wrong makes no link");
    assert!(scene.fetches_all(1).await);
}

#[actix_rt::test]
async fn another_length_than_the_descriptor_claims_is_upstreams_where_the_digest_holds() {
    let scene = Scene::new(FakeUpstream::of(100_000));
    scene.name(1, 99_999);
    assert!(scene.fetches_all(1).await);
    assert!(scene.committed().await.is_some());
}

#[actix_rt::test]
async fn more_bytes_than_promised_are_cut_off() {
    let scene = Scene::new(FakeUpstream::of(100_000).replying([Reply::Tell(Some(60_000))]));
    let (bytes, error) = scene.fetch(1).await;
    assert!(bytes.len() < 60_000 && error.is_some(), "{} {error:?}", bytes.len());
    assert!(scene.committed().await.is_none());
}

#[actix_rt::test]
async fn without_a_length_a_head_is_asked_or_the_end_awaited() {
    let scene = Scene::new(FakeUpstream::of(100_000).replying([Reply::Tell(None)]));
    assert!(scene.fetches_all(1).await);
    let upstream = FakeUpstream::of(100_000).replying([Reply::Tell(None)]);
    upstream.heads.lock().unwrap().push_back(Reply::Tell(None));
    let scene = Scene::new(upstream);
    assert!(scene.fetches_all(1).await);
}

fn full_at_70_000(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    if offset + bytes.len() as u64 > 70_000 {
        return Err(io::ErrorKind::StorageFull.into());
    }
    file.write_all_at(bytes, offset)
}

#[actix_rt::test]
async fn on_a_full_disk_clients_finish_from_the_spool_and_go_on_alone() {
    let upstream = FakeUpstream { pause: Duration::from_millis(10), ..FakeUpstream::of(200_000) };
    let scene = Scene::with(upstream, ROOMY, full_at_70_000);
    let (early, ranged) = (scene.open(1).await.unwrap(), scene.open(2).await.unwrap());
    let (whole, part) = tokio::join!(read(early), read_range(ranged, 150_000..200_000));
    assert!(whole.1.is_none() && whole.0 == scene.upstream.content, "{:?}", whole.1);
    assert!(part.1.is_none() && part.0 == scene.upstream.content[150_000..], "{:?}", part.1);
    let gets = scene.upstream.gets();
    assert_eq!(gets.len(), 3);
    assert!(gets[1] > 0 && gets[1] <= 70_000 && gets[1] == gets[2], "{gets:?}");
    assert!(scene.committed().await.is_none());
}

#[actix_rt::test]
async fn going_on_alone_is_verified_too() {
    let upstream = FakeUpstream { pause: Duration::from_millis(10), ..FakeUpstream::of(200_000) };
    upstream.script.lock().unwrap().extend([Reply::Tell(Some(200_000)), Reply::Corrupt(150_000)]);
    let scene = Scene::with(upstream, ROOMY, full_at_70_000);
    let (bytes, error) = scene.fetch(1).await;
    assert!(bytes.len() < 200_000 && matches!(error, Some(BlobError::WrongDigest)));
}

#[actix_rt::test]
async fn a_panic_in_a_download_leaves_nobody_waiting() {
    let upstream = FakeUpstream { pause: Duration::from_millis(5), ..FakeUpstream::of(100_000) };
    let scene = Scene::new(upstream.replying([Reply::PanicAt(50_000)]));
    for (bytes, error) in join_all((1..5).map(|group| scene.fetch(group))).await {
        assert!(bytes.len() <= 50_000 && matches!(error, Some(BlobError::Interrupted)));
    }
    scene.committed().await;
    sleep(Duration::from_millis(20)).await;
    assert!(scene.fetches_all(1).await);
}

#[actix_rt::test]
async fn a_slow_reader_and_one_that_leaves_hold_up_nobody() {
    let scene = Scene::new(FakeUpstream::of(1 << 20));
    drop(scene.open(1).await.unwrap());
    let slow = scene.open(1).await.unwrap();
    let length = slow.length();
    let mut slow = slow.chunks(0..length, Transfer::Copy);
    let first = slow.next().await.unwrap().unwrap();
    assert!(first.length() <= 64 * 1024, "a client holds one chunk");
    assert!(scene.committed().await.unwrap() == scene.upstream.content);
    let mut bytes = taken(first).await;
    let (rest, error) = collect(slow).await;
    bytes.extend(rest);
    assert!(error.is_none() && bytes == scene.upstream.content);
    assert_eq!(scene.upstream.gets(), [0]);
}

#[actix_rt::test]
async fn what_is_too_long_is_passed_on_unstored_by_a_bounded_number_of_streams() {
    let options = BlobCacheOptions { max_blob_bytes: Some(50_000), max_unstored_streams: 1, ..ROOMY };
    let scene = Scene::with(FakeUpstream::of(100_000), options, |_, _, _| Ok(()));
    scene.name(1, 100_000);
    let blob = scene.open(1).await.unwrap();
    assert!(matches!(scene.open(1).await, Err(BlobError::Busy)));
    assert!(read(blob).await.0 == scene.upstream.content);
    let blob = scene.open(1).await.unwrap();
    assert_eq!(read_range(blob, 99_000..100_000).await.0, scene.upstream.content[99_000..]);
    scene.upstream.script.lock().unwrap().push_back(Reply::Corrupt(99_999));
    let (bytes, error) = scene.fetch(1).await;
    assert!(bytes.len() < 100_000 && matches!(error, Some(BlobError::WrongDigest)));
    scene.upstream.script.lock().unwrap().extend([Reply::CutAt(30_000)]);
    assert!(scene.fetches_all(1).await);
    assert!(scene.committed().await.is_none());
}

#[actix_rt::test]
async fn a_link_that_was_looked_up_before_a_purge_is_not_remembered_after_it() {
    let scene = Scene::new(FakeUpstream::of(10));
    let (wanted, link) = (scene.wanted(1), Link::granted(Some(10)));
    let before = scene.blobs.removals.seen();
    scene.blobs.forget_group(GroupId(1));
    scene.blobs.remember(&wanted, link, before);
    assert!(!scene.blobs.known.contains_key(&wanted));
    scene.blobs.remember(&wanted, link, scene.blobs.removals.seen());
    assert!(scene.blobs.known.contains_key(&wanted));
}

#[actix_rt::test]
async fn nothing_is_not_passed_on_for_something() {
    let options = BlobCacheOptions { max_blob_bytes: Some(50_000), ..ROOMY };
    let lie = || Reply::Tell(Some(0));
    let scene =
        Scene::with(FakeUpstream::of(100_000).replying([Reply::Tell(Some(100_000)), lie()]), options, |_, _, _| Ok(()));
    let (bytes, error) = scene.fetch(1).await;
    assert!(bytes.is_empty() && matches!(error, Some(BlobError::WrongDigest)), "{error:?}");
}

#[actix_rt::test]
async fn too_many_downloads_or_waiters_are_refused() {
    let options = BlobCacheOptions { max_downloads: 1, max_waiters: 2, ..ROOMY };
    let silent = FakeUpstream::of(10).replying([Reply::Tell(None)]);
    silent.heads.lock().unwrap().push_back(Reply::Tell(None));
    let scene = Scene::with(FakeUpstream { pause: Duration::from_millis(200), ..silent }, options, |_, _, _| Ok(()));
    let other = OpenBlob { digest: Digest::from_bytes([1; 32]), ..scene.wanted(1) };
    let later = async {
        sleep(Duration::from_millis(50)).await;
        let other = scene.blobs.open(other).await;
        (other, join_all((0..3).map(|_| scene.open(1))).await)
    };
    let (_, (other, three)) = tokio::join!(scene.open(1), later);
    assert!(matches!(other, Err(BlobError::Busy)), "a second download");
    assert_eq!(three.iter().filter(|opened| matches!(opened, Err(BlobError::Busy))).count(), 2);
}

#[actix_rt::test]
async fn an_asker_is_told_in_time_that_upstream_is_too_slow() {
    let options = BlobCacheOptions { response_timeout: Duration::from_millis(50), ..ROOMY };
    let upstream = FakeUpstream::of(10).replying([Reply::Tell(None)]);
    upstream.heads.lock().unwrap().push_back(Reply::Tell(None));
    let scene =
        Scene::with(FakeUpstream { pause: Duration::from_millis(200), ..upstream }, options, |file, bytes, offset| {
            file.write_all_at(bytes, offset)
        });
    assert!(matches!(scene.open(1).await, Err(BlobError::TooSlow)));
    assert!(scene.until_committed().await == scene.upstream.content, "the download goes on");
}

#[actix_rt::test]
async fn a_stored_blob_that_a_power_cut_left_short_is_fetched_again() {
    let scene = stocked([]).await;
    let hex = scene.digest.hex();
    std::fs::write(scene.folder.path().join("blobs/sha256").join(&hex[..2]).join(hex), b"").unwrap();
    assert!(scene.fetches_all(1).await);
    assert!(scene.committed().await.unwrap() == scene.upstream.content);
}

#[actix_rt::test]
async fn a_forgotten_group_is_looked_up_again() {
    let scene = stocked([]).await;
    scene.until_linked(1).await;
    scene.open(1).await.unwrap();
    assert!(scene.blobs.known.contains_key(&scene.wanted(1)));
    scene.blobs.forget_group(GroupId(2));
    assert!(scene.blobs.known.contains_key(&scene.wanted(1)));
    scene.blobs.forget_group(GroupId(1));
    assert!(!scene.blobs.known.contains_key(&scene.wanted(1)));
}

#[actix_rt::test]
async fn an_asker_whose_time_is_over_hears_what_upstream_said() {
    let options = BlobCacheOptions { response_timeout: Duration::from_millis(60), ..ROOMY };
    let failed = UpstreamError::ServerError(HttpFailure { status: 503, code: None, message: None });
    let upstream = FakeUpstream::of(10).replying((0..5).map(|_| Reply::Refuse(failed.clone())));
    let scene = Scene::with(upstream, options, |_, _, _| Ok(()));
    let refusal = scene.open(1).await.err().unwrap();
    assert!(matches!(refusal, BlobError::Unavailable(UpstreamError::ServerError(_))), "{refusal:?}");
}
