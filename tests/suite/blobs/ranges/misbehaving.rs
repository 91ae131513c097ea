//! Ranges of blobs from upstreams that ignore ranges, send other ones, break off or send wrong bytes.

use super::*;

#[actix_rt::test]
async fn an_upstream_that_ignores_ranges_is_requested_none_for_a_while() {
    let scene = Scene::of(MIB).await;
    scene.hub.honour_ranges(false);
    scene.hub.on(Kind::BlobDownload).slow(256 * 1024);
    for _ in 0..5 {
        assert_eq!(scene.ranges("-72").await.status, 206);
    }
    let ranges = scene.hub.requests().iter().filter(|request| request.range.is_some()).count();
    assert!(ranges <= 2, "{ranges}: once at the registry and once behind its redirect");
}

#[actix_rt::test]
async fn where_upstream_ignores_ranges_the_one_download_is_given() {
    let scene = Scene::of(2 * MIB).await;
    scene.hub.honour_ranges(false);
    scene.gives("-72", 2 * MIB - 72..2 * MIB, "miss").await;
    scene.downloaded().await;
    assert!(scene.stored().is_some());
    scene.gives_parts("0-9,2000000-2000009", &[0..10, 2_000_000..2_000_010], "hit").await;
    assert_eq!(scene.requested(), [some("2097080-2097151"), None]);
}

#[actix_rt::test]
async fn where_upstream_ignores_ranges_several_are_the_whole() {
    let scene = Scene::of(2 * MIB).await;
    scene.hub.honour_ranges(false);
    let answer = scene.ranges("2000000-2000009,0-9").await;
    assert!([200, 206].contains(&answer.status) && !answer.cut);
    if answer.status == 200 {
        assert!(answer.body == scene.layer.bytes());
    }
}

#[actix_rt::test]
async fn another_range_than_the_one_requested_is_never_passed_on() {
    let scene = Scene::of(4 * MIB).await;
    let lies = ["bytes 1-10/4194304", "bytes 0-8/4194304", "bytes 0-19/4194304", "bytes 0-9/8", "nonsense"];
    for lie in lies {
        // Twice, because the manifest may state a wrong length.
        scene.hub.on(Kind::BlobDownload).times(2).header("Content-Range", lie);
        let answer = scene.ranges("0-9").await;
        scene.hub.behave();
        assert_eq!((answer.status, answer.code().as_str()), (503, "UNAVAILABLE"), "{lie}");
    }
    for bytes in [-3, 3] {
        scene.hub.on(Kind::BlobDownload).times(1).body_length_off_by(bytes);
        let answer = scene.ranges("0-599999").await;
        assert!(answer.status == 206 && answer.cut, "{bytes}");
        assert!(scene.layer.bytes().starts_with(&answer.body) && answer.body.len() < 600_000, "{bytes}");
    }
    assert_eq!(scene.stored(), None);
    scene.gives("0-9", 0..10, "miss").await;
}

#[actix_rt::test]
async fn a_range_that_breaks_in_its_middle_cuts_the_connection() {
    let scene = Scene::of(4 * MIB).await;
    for parts in ["1000000-1999999", "1000000-1999999,3000000-3000009"] {
        scene.hub.on(Kind::BlobDownload).times(1).cut_after(100_000);
        let answer = scene.ranges(parts).await;
        assert_eq!((answer.status, answer.cut), (206, true), "{parts}");
    }
    scene.gives_parts("1000000-1999999,3000000-3000009", &[1_000_000..2_000_000, 3_000_000..3_000_010], "miss").await;
}

#[actix_rt::test]
async fn ranges_that_are_the_whole_are_verified_before_their_end() {
    for ranges in ["0-", "0-1048575", "-1048576", "0-524287,524288-1048575"] {
        let scene = Scene::of(MIB).await;
        scene.hub.on(Kind::BlobDownload).times(1).flip_byte(1000);
        let answer = scene.ranges(ranges).await;
        assert!(answer.cut && (answer.body.len() as u64) < MIB, "{ranges}");
        assert_eq!((scene.requested(), scene.stored()), (vec![None], None), "{ranges}");
    }
}
