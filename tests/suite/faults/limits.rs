//! Upstream's rate limit: the service waits for a short time, and reports a long one.

use std::time::{Duration, Instant};

use fake_registry::Kind;

use super::{EVERY_MANIFEST_REQUEST, Scene};

#[actix_rt::test]
async fn a_long_wait_is_told_at_once() {
    let scene = Scene::start().await;
    for kind in EVERY_MANIFEST_REQUEST {
        scene.hub.on(kind).too_many_requests(2800).header("ratelimit-limit", "100;w=21600");
    }
    let began = Instant::now();
    let seen = scene.pull_new().await;
    let sentence =
        "docker.io's pull limit is reached (100 per 6 h, more in 47 min) and new:latest is not cached here yet";
    seen.is_unavailable(sentence, "Pull limit of the upstream registry is reached and this is not cached here yet");
    assert_eq!(seen.answer.header("retry-after"), "2800");
    scene.cached_tag_is("stale").await;
    scene.cached_is_there().await;
    scene.nothing_bad_is_left().await;
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[actix_rt::test]
async fn a_short_wait_is_waited_for() {
    let scene = Scene::start().await;
    let path = "/v2/team/dependency_proxy/containers/new/manifests/latest";
    scene.hub.on(Kind::ManifestHead).times(1).too_many_requests(1);
    scene.hub.on(Kind::ManifestGet).times(1).too_many_requests(1);
    let began = Instant::now();
    let head = scene.client.manifest_head("team", "new", "latest").await;
    assert_eq!(head.status, 200);
    assert_eq!(scene.client.get(path).await.body, scene.new.bytes());
    assert!(began.elapsed() >= Duration::from_secs(2), "upstream asked for a second, twice");
    assert_eq!(scene.hub.requests().manifest_gets("library/new", "latest"), 2);
    scene.nothing_bad_is_left().await;
}

#[actix_rt::test]
async fn a_blob_waits_a_short_time_too() {
    let scene = Scene::start().await;
    scene.hub.on(Kind::BlobRedirect).times(1).too_many_requests(1);
    let blob = scene.client.blob("team", "new", scene.new_layer().digest()).await;
    assert_eq!((blob.status, blob.body.as_ref()), (200, scene.new_layer().bytes().as_slice()));
    scene.nothing_bad_is_left().await;
}
