//! `HEAD` of blobs that are not stored, or not linked.

use super::*;

impl House {
    pub(super) fn heads(&self) -> usize {
        self.upstream.asked_heads.load(Ordering::SeqCst)
    }
}

#[actix_rt::test]
async fn a_head_downloads_nothing_and_is_requested_once_for_all_who_wait() {
    let house = House::new(FakeUpstream::of(100_000));
    for told in join_all((0..20).map(|group| house.blobs.head(house.wanted(group)))).await {
        assert_eq!(told.unwrap(), (100_000, Source::Miss));
    }
    assert_eq!((house.upstream.gets().len(), house.heads()), (0, 1));
    assert!(!house.linked(1));
    house
        .upstream
        .heads
        .lock()
        .unwrap()
        .extend([Reply::Refuse(UpstreamError::Denied { message: None }), Reply::Tell(None)]);
    assert!(matches!(house.blobs.head(house.wanted(1)).await, Err(BlobError::Denied { .. })));
    assert!(matches!(house.blobs.head(house.wanted(1)).await, Err(BlobError::NoLength)));
}

#[actix_rt::test]
async fn a_head_takes_the_length_of_the_download_or_the_file() {
    let house = House::new(FakeUpstream::of(100_000).replying([Reply::CutAt(50_000), Reply::Silence]));
    let _running = house.open(1).await.unwrap();
    assert_eq!(house.blobs.head(house.wanted(2)).await.unwrap(), (100_000, Source::Joined));
    assert_eq!(house.heads(), 0);
    let house = stocked([]).await;
    house.until_linked(1).await;
    assert_eq!(house.blobs.head(house.wanted(1)).await.unwrap(), (100_000, Source::Hit));
    assert_eq!(house.blobs.head(elsewhere(&house, 2)).await.unwrap(), (100_000, Source::Revalidated));
    assert_eq!(house.heads(), 1);
}
