//! Tests of stored blobs: who may read them with a link, and what upstream decides without one.

use super::*;

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
            let linked = async {
                while !scene.linked(1) {
                    scene.open(1).await.unwrap();
                }
            };
            timeout(DEADLINE, linked).await.unwrap();
        };
        join_all((0..16).map(|_| request())).await;
        assert_eq!((scene.upstream.gets().len(), scene.upstream.head_requests.load(Ordering::SeqCst)), (1, 0));
    }
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
async fn a_stored_blob_that_a_power_cut_left_short_is_fetched_again() {
    let scene = stocked([]).await;
    let hex = scene.digest.hex();
    std::fs::write(scene.folder.path().join("blobs/sha256").join(&hex[..2]).join(hex), b"").unwrap();
    assert!(scene.fetches_all(1).await);
    assert!(scene.committed().await.unwrap() == scene.upstream.content);
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
