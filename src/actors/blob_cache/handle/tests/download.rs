//! Tests of downloads: shared by their readers, resumed, limited, and cut off where the content is wrong.

use super::*;

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
async fn without_a_length_a_head_is_sent_or_the_end_is_awaited() {
    let scene = Scene::new(FakeUpstream::of(100_000).replying([Reply::Tell(None)]));
    assert!(scene.fetches_all(1).await);
    let upstream = FakeUpstream::of(100_000).replying([Reply::Tell(None)]);
    upstream.heads.lock().unwrap().push_back(Reply::Tell(None));
    let scene = Scene::new(upstream);
    assert!(scene.fetches_all(1).await);
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
async fn too_many_downloads_or_waiters_are_refused() {
    let limits = CacheLimits { max_waiters: most(2), ..LIMITS };
    let options = (BlobCacheOptions { max_downloads: most(1), ..OPTIONS }, limits);
    let silent = FakeUpstream::of(10).replying([Reply::Tell(None)]);
    silent.heads.lock().unwrap().push_back(Reply::Tell(None));
    let scene = Scene::limited(FakeUpstream { pause: Duration::from_millis(200), ..silent }, options, |_, _, _| Ok(()));
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
async fn a_caller_gets_an_error_in_time_when_upstream_is_slow() {
    let options = BlobCacheOptions { response_timeout: Duration::from_millis(50), ..OPTIONS };
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
async fn a_caller_that_times_out_gets_upstreams_error() {
    let options = BlobCacheOptions { response_timeout: Duration::from_millis(60), ..OPTIONS };
    let failed = UpstreamError::ServerError(HttpFailure { status: 503, code: None, message: None, retry_after: None });
    let upstream = FakeUpstream::of(10).replying((0..5).map(|_| Reply::Refuse(failed.clone())));
    let scene = Scene::with(upstream, options, |_, _, _| Ok(()));
    let refusal = scene.open(1).await.err().unwrap();
    assert!(matches!(refusal, BlobError::Unavailable(UpstreamError::ServerError(_))), "{refusal:?}");
}
