//! Tests of `HEAD` requests for blobs that are not stored, or not linked.

use super::*;

impl Scene {
    pub(super) fn heads(&self) -> usize {
        self.upstream.head_requests.load(Ordering::SeqCst)
    }
}

#[actix_rt::test]
async fn a_head_downloads_nothing_and_is_requested_once_for_all_who_wait() {
    let scene = Scene::new(FakeUpstream::of(100_000));
    for outcome in join_all((0..20).map(|group| scene.blobs.head(scene.wanted(group)))).await {
        assert_eq!(outcome.unwrap(), (100_000, CacheStatus::Miss));
    }
    assert_eq!((scene.upstream.gets().len(), scene.heads()), (0, 1));
    assert!(!scene.linked(1));
    scene
        .upstream
        .heads
        .lock()
        .unwrap()
        .extend([Reply::Refuse(UpstreamError::Denied { message: None }), Reply::Tell(None)]);
    assert!(matches!(scene.blobs.head(scene.wanted(1)).await, Err(BlobError::Denied { .. })));
    assert!(matches!(scene.blobs.head(scene.wanted(1)).await, Err(BlobError::NoLength)));
}

#[actix_rt::test]
async fn a_head_takes_the_length_of_the_download_or_the_file() {
    let scene = Scene::new(FakeUpstream::of(100_000).replying([Reply::CutAt(50_000), Reply::Silence]));
    let _running = scene.open(1).await.unwrap();
    assert_eq!(scene.blobs.head(scene.wanted(2)).await.unwrap(), (100_000, CacheStatus::Coalesced));
    assert_eq!(scene.heads(), 0);
    let scene = stocked([]).await;
    scene.until_linked(1).await;
    assert_eq!(scene.blobs.head(scene.wanted(1)).await.unwrap(), (100_000, CacheStatus::Hit));
    assert_eq!(scene.blobs.head(elsewhere(&scene, 2)).await.unwrap(), (100_000, CacheStatus::Revalidated));
    assert_eq!(scene.heads(), 1);
}
