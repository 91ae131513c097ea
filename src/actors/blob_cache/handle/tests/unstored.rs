//! Tests of blobs that cannot be stored and are passed on.

use super::*;

#[actix_rt::test]
async fn on_a_full_disk_clients_finish_from_the_spool_and_go_on_alone() {
    let upstream = FakeUpstream { pause: Duration::from_millis(10), ..FakeUpstream::of(200_000) };
    let scene = Scene::with(upstream, OPTIONS, full_at_70_000);
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
    let scene = Scene::with(upstream, OPTIONS, full_at_70_000);
    let (bytes, error) = scene.fetch(1).await;
    assert!(bytes.len() < 200_000 && matches!(error, Some(BlobError::WrongDigest)));
}

#[actix_rt::test]
async fn what_is_too_long_is_passed_on_unstored_by_a_bounded_number_of_streams() {
    let options = BlobCacheOptions { max_blob_bytes: Some(50_000), max_unstored_streams: most(1), ..OPTIONS };
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
async fn nothing_is_not_passed_on_for_something() {
    let options = BlobCacheOptions { max_blob_bytes: Some(50_000), ..OPTIONS };
    let lie = || Reply::Tell(Some(0));
    let scene =
        Scene::with(FakeUpstream::of(100_000).replying([Reply::Tell(Some(100_000)), lie()]), options, |_, _, _| Ok(()));
    let (bytes, error) = scene.fetch(1).await;
    assert!(bytes.is_empty() && matches!(error, Some(BlobError::WrongDigest)), "{error:?}");
}
