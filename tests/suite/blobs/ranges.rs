//! Ranges of blobs: the responses to clients that request a part of a layer, and the upstream requests for it.

mod misbehaving;
mod multipart;

use std::ops::Range;

use self::multipart::parts;
use super::*;
use crate::service::Answer;

impl Scene {
    async fn ranges(&self, ranges: &str) -> Answer {
        ranges_of(&self.client, &self.path(), ranges).await
    }

    /// Asserts that a single range is served, with this cache status.
    async fn gives(&self, range: &str, part: Range<u64>, source: &str) {
        let answer = self.ranges(range).await;
        assert_eq!((answer.status, answer.header("x-cache"), answer.cut), (206, source, false), "{range}");
        assert_eq!(answer.header("content-range"), content_range(&part, self.layer.size()), "{range}");
        assert_eq!(answer.header("content-length"), (part.end - part.start).to_string(), "{range}");
        assert!(answer.body == self.bytes_of(&part), "{range}: other bytes than upstream's");
    }

    /// Asserts that these ranges are served as parts in this order, with this cache status.
    async fn gives_parts(&self, ranges: &str, expected: &[Range<u64>], source: &str) {
        let answer = self.ranges(ranges).await;
        assert_eq!((answer.status, answer.header("x-cache"), answer.cut), (206, source, false), "{ranges}");
        assert_eq!((answer.header("content-range"), answer.header("accept-ranges")), ("", "bytes"));
        assert_eq!(answer.header("content-length"), answer.body.len().to_string(), "{ranges}");
        let parts = parts(answer.header("content-type"), &answer.body);
        assert_eq!(parts.len(), expected.len(), "one part for each range");
        for ((range, bytes), part) in parts.iter().zip(expected) {
            assert_eq!(*range, content_range(part, self.layer.size()));
            assert!(*bytes == self.bytes_of(part), "{range}: other bytes than upstream's");
        }
    }

    fn bytes_of(&self, part: &Range<u64>) -> Vec<u8> {
        self.layer.content().part(part.clone())
    }

    /// Returns the ranges that were requested from the blob storage; `None` for a request of the whole blob.
    fn requested(&self) -> Vec<Option<String>> {
        let requests = self.hub.requests();
        let downloads = requests.iter().filter(|request| request.kind == Kind::BlobDownload && !request.refused);
        downloads.map(|request| request.range.clone()).collect()
    }
}

async fn ranges_of(client: &Client, path: &str, ranges: &str) -> Answer {
    client.send(client.request("GET".parse().unwrap(), path).header("range", format!("bytes={ranges}"))).await
}

fn content_range(part: &Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", part.start, part.end - 1)
}

fn some(range: &str) -> Option<String> {
    Some(format!("bytes={range}"))
}

#[actix_rt::test]
async fn the_end_of_a_large_layer_is_there_while_its_download_is_held() {
    let scene = Scene::of(64 * MIB).await;
    scene.hub.on(Kind::BlobDownload).times(1).hold_after(MIB);
    let mut whole = scene.client.connect().await;
    assert_eq!(whole.get(&scene.path(), "").await.unwrap().status, 200);
    whole.read(&mut [0; 1000]).await.unwrap();
    scene.gives("-72", 64 * MIB - 72..64 * MIB, "miss").await;
    scene.gives("50000000-50000999", 50_000_000..50_001_000, "miss").await;
    scene.gives_parts("60000000-60000009,-5", &[60_000_000..60_000_010, 64 * MIB - 5..64 * MIB], "miss").await;
    scene.gives("67108000-", 67_108_000..64 * MIB, "miss").await;
    scene.gives("100-199", 100..200, "coalesced").await;
    let ranges = [
        None,
        some("67108792-67108863"),
        some("50000000-50000999"),
        some("60000000-60000009"),
        some("67108859-67108863"),
        some("67108000-67108863"),
    ];
    assert_eq!(scene.requested(), ranges, "beside the one download only what was requested");
    scene.hub.release();
    scene.downloaded().await;
    assert!(scene.stored().is_some());
    scene.gives("-72", 64 * MIB - 72..64 * MIB, "hit").await;
    assert_eq!(scene.downloads(), 6);
}

#[actix_rt::test]
async fn ranges_of_a_layer_that_nobody_pulls_move_no_more_than_they_have() {
    let scene = Scene::of(18 * MIB).await;
    let wanted: Vec<Range<u64>> = (0..60).map(|n| n * 300_000 + 5_000..n * 300_000 + 20_000).collect();
    let ranges: Vec<_> = wanted.iter().map(|part| format!("{}-{}", part.start, part.end - 1)).collect();
    scene.gives_parts(&ranges.join(","), &wanted, "miss").await;
    assert_eq!(scene.requested(), ranges.iter().map(|range| some(range)).collect::<Vec<_>>());
    scene.gives("-72", 18 * MIB - 72..18 * MIB, "miss").await;
    scene.gives("0-1", 0..2, "miss").await;
    assert_eq!((scene.downloads(), scene.stored()), (62, None), "nothing unverified is stored");
    assert_eq!(scene.hub.requests().of(Kind::BlobHead), 0, "the manifest has the length");
}

#[actix_rt::test]
async fn parts_that_lie_close_together_are_requested_at_once() {
    let scene = Scene::of(MIB).await;
    scene.gives_parts("0-99,200-299,900000-900009", &[0..100, 200..300, 900_000..900_010], "miss").await;
    assert_eq!(scene.requested(), [some("0-299"), some("900000-900009")]);
}

#[actix_rt::test]
async fn many_scattered_parts_are_no_more_requests_than_the_maximum() {
    let scene = Scene::of(64 * MIB).await;
    let parts: Vec<_> = (0..200_u64).map(|number| number * 300_000..number * 300_000 + 10 + number % 7).collect();
    let ranges: Vec<_> = parts.iter().map(|part| format!("{}-{}", part.start, part.end - 1)).collect();
    scene.gives_parts(&ranges.join(","), &parts, "miss").await;
    assert_eq!(scene.requested().len(), 64);
}

#[actix_rt::test]
async fn parts_out_of_order_or_twice_are_the_whole_layer_from_its_one_download() {
    for ranges in ["900000-900009,5-9", "7-7,7-7,7-7", "0-99,50-149"] {
        let scene = Scene::of(MIB).await;
        // Once it is stored, these are parts of its file.
        scene.hub.on(Kind::BlobDownload).slow(2 * MIB);
        let answer = scene.ranges(ranges).await;
        assert_eq!((answer.status, answer.body.len() as u64), (200, MIB), "{ranges}");
        assert_eq!(scene.requested(), [None], "{ranges}");
    }
}

#[actix_rt::test]
async fn parts_are_requested_one_after_the_other() {
    let scene = Scene::with(MIB, |config| config.and("max_concurrent = 1\nmax_waiting = 1")).await;
    let parts = [0..100, 500_000..500_010, 900_000..900_010];
    scene.gives_parts("0-99,500000-500009,900000-900009", &parts, "miss").await;
    assert_eq!(scene.requested(), [some("0-99"), some("500000-500009"), some("900000-900009")]);
}

#[actix_rt::test]
async fn several_ranges_of_a_stored_layer_are_parts_of_its_file() {
    let scene = Scene::of(2 * MIB).await;
    assert_eq!(scene.pull().await, "miss");
    scene.downloaded().await;
    let all = [100..200, 2_000_000..2 * MIB, 0..1, 500_000..600_000];
    scene.gives_parts("100-199,2000000-,0-0,500000-599999", &all, "hit").await;
    scene.gives_parts("0-9,10-19", &[0..10, 10..20], "hit").await;
    scene.gives_parts("0-1048575,1048576-2097151", &[0..MIB, MIB..2 * MIB], "hit").await;
    scene.gives("5-9,2097152-", 5..10, "hit").await;
    assert_eq!(scene.downloads(), 1);
    // The length is exact: the connection can be reused.
    let mut connection = scene.client.connect().await;
    for _ in 0..3 {
        let head = connection.get(&scene.path(), "range: bytes=100-199,-100000\r\n").await.unwrap();
        assert_eq!(head.status, 206);
        while connection.left > 0 {
            connection.read(&mut [0; 65536]).await.unwrap();
        }
    }
}

#[actix_rt::test]
async fn too_many_ranges_and_too_many_bytes_are_not_given_as_parts() {
    let scene = Scene::of(2 * MIB).await;
    for source in ["miss", "hit"] {
        let wanted: Vec<Range<u64>> = (0..1024).map(|n| n * 2000 + 100..n * 2000 + 110).collect();
        let ranges: Vec<_> = wanted.iter().map(|part| format!("{}-{}", part.start, part.end - 1)).collect();
        scene.gives_parts(&ranges.join(", ,"), &wanted, source).await;
        let refused = scene.ranges(&format!("{},-1", ranges.join(","))).await;
        assert_eq!((refused.status, refused.code().as_str()), (400, "RANGE_INVALID"));
        assert_eq!(refused.message(), "More than 1024 ranges in one request. Request fewer and larger ones");
        let beyond = scene.ranges("2097152-,3000000-4000000,-0").await;
        assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */2097152"));
        if source == "miss" {
            assert_eq!(scene.stored(), None);
        }
        let overlapping = scene.ranges("0-,0-,0-").await;
        assert_eq!(
            (overlapping.status, overlapping.header("content-length")),
            (200, "2097152"),
            "once, not three times"
        );
        assert!(overlapping.body == scene.layer.bytes());
        scene.downloaded().await;
    }
}

#[actix_rt::test]
async fn more_range_streams_than_the_limit_are_refused() {
    let scene = Scene::with(2 * MIB, |config| config.and("[cache]\nmax_range_streams = 1")).await;
    scene.hub.on(Kind::BlobDownload).times(1).hold_after(10);
    // The download of the whole blob is still running when its end is requested.
    scene.hub.on(Kind::BlobDownload).slow(MIB);
    let mut held = scene.client.connect().await;
    assert_eq!(held.get(&scene.path(), "range: bytes=100-199\r\n").await.unwrap().status, 206);
    assert_eq!(metric(&scene.service, "dependency_proxy_queue_length{queue=\"range_streams\"}").await, 1);
    let refused = scene.ranges("200-299").await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "UNAVAILABLE"));
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(metric(&scene.service, "dependency_proxy_over_capacity_total{queue=\"range_streams\"}").await, 1);
    // The client waits for a running download of the whole blob.
    let mut whole = scene.client.connect().await;
    assert_eq!(whole.get(&scene.path(), "").await.unwrap().status, 200);
    scene.gives("2000000-2000009", 2_000_000..2_000_010, "coalesced").await;
    scene.hub.release();
    while held.left > 0 {
        held.read(&mut [0; 100]).await.unwrap();
    }
}

#[actix_rt::test]
async fn a_layer_whose_ranges_had_more_bytes_than_it_is_downloaded_after_all() {
    let scene = Scene::of(MIB).await;
    for _ in 0..3 {
        scene.gives("100000-499999", 100_000..500_000, "miss").await;
    }
    for _ in 0..2000 {
        if scene.stored().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    scene.downloaded().await;
    scene.gives("100000-499999", 100_000..500_000, "revalidated").await;
    assert_eq!(scene.requested().iter().filter(|range| range.is_none()).count(), 1);
}

#[actix_rt::test]
async fn without_a_link_upstream_decides_about_each_range() {
    let scene = Scene::of(MIB).await;
    scene.hub.push_image("library/other", "1", &Image::single(&[Layer::random(1000, 7)]));
    assert_eq!(scene.pull().await, "miss");
    scene.downloaded().await;
    let elsewhere = scene.path().replace("/app/", "/other/");
    let refused = ranges_of(&scene.client, &elsewhere, "5-9").await;
    assert_eq!((refused.status, refused.code().as_str()), (404, "BLOB_UNKNOWN"), "stored, but not for this repository");
    let foreign = Layer::random(MIB, 99);
    let unknown = ranges_of(&scene.client, &blob_path("team", &foreign), "5-9").await;
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "BLOB_UNKNOWN"));
    let second = scene.service.group("second").await;
    let token = scene.service.deploy_token(&second, "ci").await;
    let other = scene.service.log_in_with(&token).await;
    let granted = ranges_of(&other, &blob_path("second", &scene.layer), "5-9,0-0").await;
    assert_eq!((granted.status, granted.header("x-cache")), (206, "revalidated"));
}
