//! Tests of ranges of blobs that are not stored, against an upstream that cuts connections, sends wrong
//! content and ignores ranges.

#![expect(clippy::single_range_in_vec_init, reason = "a list of ranges may have one")]

use super::*;
use crate::domain::byte_range::{RangeSet, Selected, requested};

fn set(ranges: &str) -> RangeSet {
    requested(Some(&format!("bytes={ranges}")), None, "").unwrap().unwrap()
}

impl Scene {
    async fn open_ranges(&self, group: u64, ranges: &str) -> Result<BlobReader, BlobError> {
        self.blobs.open_ranges(self.wanted(group), &set(ranges)).await
    }

    /// Returns the bytes of the ranges, one after the other, and the error that ended them.
    async fn fetch_ranges(&self, group: u64, ranges: &str) -> (Vec<u8>, Option<BlobError>) {
        let opened = match self.open_ranges(group, ranges).await {
            Ok(opened) => opened,
            Err(error) => return (Vec::new(), Some(error)),
        };
        let length = opened.length();
        match opened.select(&set(ranges)) {
            Selected::Whole => read_range(opened, 0..length).await,
            Selected::Part(part) => read_range(opened, part).await,
            Selected::Parts(parts) => collect(opened.parts(parts)).await,
            Selected::Unsatisfiable => (Vec::new(), None),
        }
    }

    async fn gives(&self, ranges: &str, parts: &[Range<usize>]) {
        let (bytes, error) = self.fetch_ranges(1, ranges).await;
        let expected: Vec<u8> = parts.iter().flat_map(|part| self.upstream.content[part.clone()].to_vec()).collect();
        assert!(error.is_none() && bytes == expected, "{ranges}: {} bytes, {error:?}", bytes.len());
    }

    async fn fails(&self, ranges: &str) -> BlobError {
        self.fetch_ranges(1, ranges).await.1.unwrap()
    }
}

const MIB: usize = 1 << 20;

#[actix_rt::test]
async fn ranges_of_what_is_not_stored_are_requested_alone_and_begin_no_download() {
    let scene = Scene::new(FakeUpstream::of(MIB));
    scene.name(1, MIB as u64);
    scene.gives("-72", &[MIB - 72..MIB]).await;
    scene.gives("0-1", &[0..2]).await;
    scene.gives("100-109,120-129,500000-500009", &[100..110, 120..130, 500_000..500_010]).await;
    let requested = [(MIB - 72) as u64..MIB as u64, 0..2, 100..130, 500_000..500_010];
    assert_eq!(scene.upstream.requested_ranges(), requested);
    assert_eq!((scene.upstream.gets().len(), scene.heads()), (0, 0));
    assert!(!scene.linked(1), "nothing unverified grants a link");
}

#[actix_rt::test]
async fn where_no_manifest_reports_the_length_a_head_does() {
    let scene = Scene::new(FakeUpstream::of(MIB));
    scene.gives("-72", &[MIB - 72..MIB]).await;
    assert_eq!((scene.heads(), scene.upstream.gets().len()), (1, 0));
    scene.upstream.heads.lock().unwrap().extend([Reply::Tell(None), Reply::Refuse(UpstreamError::NotFound)]);
    assert!(matches!(scene.fails("-72").await, BlobError::NoLength));
    assert!(matches!(scene.fails("-72").await, BlobError::Unknown));
}

#[actix_rt::test]
async fn a_length_that_a_manifest_has_wrong_is_replaced_by_upstreams() {
    for claimed in [MIB - 1000, MIB + 1000] {
        let scene = Scene::new(FakeUpstream::of(MIB));
        scene.name(1, claimed as u64);
        scene.gives("-72", &[MIB - 72..MIB]).await;
        scene.gives("1000-1009", &[1000..1010]).await;
    }
}

#[actix_rt::test]
async fn a_range_beyond_the_end_is_unsatisfiable_once_upstream_reported_the_length() {
    let scene = Scene::new(FakeUpstream::of(1000));
    scene.name(1, 1000);
    let opened = scene.open_ranges(1, "1000-1001").await.unwrap();
    assert_eq!((opened.select(&set("1000-1001")), opened.length()), (Selected::Unsatisfiable, 1000));
    assert_eq!((scene.heads(), scene.upstream.requested_ranges().len(), scene.upstream.gets().len()), (1, 0, 0));
}

#[actix_rt::test]
async fn ranges_that_are_the_whole_are_verified() {
    for ranges in ["0-", "0-99999", "0-49999,50000-99999", "-100000", "0-,0-,0-"] {
        let scene = Scene::new(FakeUpstream::of(100_000).replying([Reply::Corrupt(3)]));
        scene.name(1, 100_000);
        let (bytes, error) = scene.fetch_ranges(1, ranges).await;
        assert!(bytes.len() < 100_000 && matches!(error, Some(BlobError::WrongDigest)), "{ranges}: {error:?}");
        assert!(scene.upstream.requested_ranges().is_empty(), "{ranges}");
    }
}

#[actix_rt::test]
async fn beside_a_running_download_what_has_arrived_comes_from_its_file() {
    let scene = Scene::new(FakeUpstream::of(MIB).replying([Reply::CutAt(MIB / 2), Reply::Silence]));
    let running = scene.open(1).await.unwrap();
    assert_eq!(read_range(running, 0..MIB as u64 / 2).await.0.len(), MIB / 2);
    scene.gives("100-199", &[100..200]).await;
    scene.gives("200-299,100-199", &[200..300, 100..200]).await;
    assert!(scene.upstream.requested_ranges().is_empty());
    scene.gives("-72", &[MIB - 72..MIB]).await;
    scene.gives("100-199,1000000-1000009", &[100..200, 1_000_000..1_000_010]).await;
    assert_eq!(scene.upstream.requested_ranges().len(), 3);
    assert_eq!(scene.heads(), 0);
    assert!(scene.upstream.gets().iter().skip(1).all(|from| *from == MIB as u64 / 2), "one download, which is resumed");
}

#[actix_rt::test]
async fn where_upstream_ignores_ranges_the_download_is_followed() {
    let scene = Scene::new(FakeUpstream::of(MIB).replying_to_ranges([Reply::Silence]));
    scene.gives("-72", &[MIB - 72..MIB]).await;
    assert!(scene.until_committed().await == scene.upstream.content);
    assert_eq!((scene.upstream.requested_ranges().len(), scene.upstream.gets().len()), (1, 1));
}

#[actix_rt::test]
async fn whatever_is_wrong_with_a_range_ends_it() {
    let replies = [
        Reply::EndAt(200_000),
        Reply::CutAt(200_000),
        Reply::Corrupt(0), // One byte more than requested.
        Reply::Tell(Some(7)),
        Reply::Refuse(UpstreamError::WrongRange),
        Reply::Refuse(UpstreamError::Denied { message: None }),
    ];
    let scene = Scene::new(FakeUpstream::of(MIB).replying_to_ranges(replies));
    for _ in 0..2 {
        let (bytes, error) = scene.fetch_ranges(1, "100000-299999").await;
        assert!(matches!(error, Some(BlobError::Unavailable(UpstreamError::Interrupted { .. }))), "{error:?}");
        assert!(bytes == scene.upstream.content[100_000..200_000]);
    }
    let (bytes, error) = scene.fetch_ranges(1, "100000-299999").await;
    assert!(matches!(error, Some(BlobError::Unavailable(UpstreamError::WrongRange))), "{error:?}");
    assert!(scene.upstream.content[100_000..300_000].starts_with(&bytes));
    assert!(matches!(scene.fails("100000-299999").await, BlobError::WrongLength { reported: 7, .. }));
    assert!(matches!(scene.fails("100000-299999").await, BlobError::Unavailable(UpstreamError::WrongRange)));
    assert!(matches!(scene.fails("100000-299999").await, BlobError::Denied { .. }));
    assert!(scene.upstream.gets().is_empty());
}

#[actix_rt::test]
async fn a_later_request_for_the_same_ranges_that_fails_cuts_them_off() {
    let replies = [Reply::Tell(Some(MIB as u64)), Reply::Tell(Some(MIB as u64 + 1))];
    let scene = Scene::new(FakeUpstream::of(MIB).replying_to_ranges(replies));
    let (bytes, error) = scene.fetch_ranges(1, "100-199,500000-500099").await;
    assert!(bytes == scene.upstream.content[100..200] && matches!(error, Some(BlobError::WrongLength { .. })));
}

#[actix_rt::test]
async fn more_range_streams_than_the_limit_follow_the_download_or_are_refused() {
    let options = BlobCacheOptions { max_range_streams: most(1), ..OPTIONS };
    let upstream = FakeUpstream { pause: Duration::from_millis(5), ..FakeUpstream::of(MIB) };
    let scene = Scene::with(upstream, options, |file, bytes, offset| file.write_all_at(bytes, offset));
    scene.name(1, MIB as u64);
    let first = scene.open_ranges(1, "-72").await.unwrap();
    assert!(matches!(scene.fails("-72").await, BlobError::Busy));
    let _running = scene.open(1).await.unwrap();
    scene.gives("-72", &[MIB - 72..MIB]).await;
    assert_eq!(scene.upstream.requested_ranges().len(), 1);
    drop(first);
}

#[actix_rt::test]
async fn ranges_with_more_bytes_than_the_blob_begin_a_download_that_makes_no_link() {
    let scene = Scene::new(FakeUpstream::of(100_000));
    for _ in 0..2 {
        scene.gives("10000-59999", &[10_000..60_000]).await;
    }
    assert!(scene.upstream.gets().is_empty());
    scene.gives("1-1", &[1..2]).await;
    assert!(scene.until_committed().await == scene.upstream.content);
    assert!(!scene.linked(1));
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    // The file is in place shortly before the download ends. Until then the download is followed, without
    // an upstream request.
    while !scene.linked(1) {
        assert!(std::time::Instant::now() < deadline, "upstream's HEAD named the stored blob's length");
        scene.gives("10000-59999", &[10_000..60_000]).await;
    }
    assert_eq!((scene.upstream.gets().len(), scene.upstream.requested_ranges().len()), (1, 3));
}

#[actix_rt::test]
async fn ranges_without_a_link_to_a_stored_blob_are_for_upstream_to_decide() {
    let scene = stocked([Reply::Refuse(UpstreamError::Denied { message: None })]).await;
    let wanted = elsewhere(&scene, 2);
    let ranges = set("5-9");
    assert!(matches!(scene.blobs.open_ranges(wanted.clone(), &ranges).await, Err(BlobError::Denied { .. })));
    let opened = scene.blobs.open_ranges(wanted, &ranges).await.unwrap();
    assert_eq!(opened.source(), CacheStatus::Revalidated);
    assert_eq!(read_range(opened, 5..10).await.0, scene.upstream.content[5..10]);
    assert!(scene.upstream.requested_ranges().is_empty());
}

#[actix_rt::test]
async fn several_ranges_of_what_is_passed_on_unstored_are_the_whole() {
    let options = BlobCacheOptions { max_blob_bytes: Some(50_000), ..OPTIONS };
    let scene = Scene::with(FakeUpstream::of(100_000), options, |_, _, _| Ok(()));
    let (bytes, error) = scene.fetch_ranges(1, "50000-99999,0-49999").await;
    assert!(error.is_none() && bytes == scene.upstream.content);
    for _ in 0..3 {
        scene.gives("10000-59999", &[10_000..60_000]).await;
    }
    assert_eq!(scene.upstream.gets().len(), 2, "no download begins that would not be stored");
}
