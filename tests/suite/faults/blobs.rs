//! Blobs: all ways in which upstream, or its blob storage, can fail.

use std::time::{Duration, Instant};

use fake_registry::{Kind, Listener, Rule};
use reqwest::Method;

use super::{Scene, is_stored};
use crate::service::eventually;

/// Checks that nothing of the blob is stored, that cached content is served, and that the blob is
/// complete once upstream works.
async fn is_survived(scene: &Scene) {
    scene.cached_is_there().await;
    scene.nothing_bad_is_left().await;
    assert!(!is_stored(&scene.service, "blobs", scene.new_layer().digest()));
    scene.hub.behave();
    comes_whole(scene).await;
}

async fn comes_whole(scene: &Scene) {
    let blob = scene.client.blob("team", "new", scene.new_layer().digest()).await;
    assert_eq!((blob.status, blob.cut), (200, false), "{}", blob.text());
    assert!(blob.body == scene.new_layer().bytes());
    scene.nothing_bad_is_left().await;
    assert!(is_stored(&scene.service, "blobs", scene.new_layer().digest()));
}

/// Checks that a client gets an error or a cut-off blob; never a complete one that is wrong.
async fn never_ends_well(kind: Kind, fault: impl Fn(Rule<'_>) -> Rule<'_>) {
    let scene = Scene::start().await;
    assert_eq!(scene.pull_new().await.status, 200);
    drop(fault(scene.hub.on(kind)));
    does_not_come(&scene).await;
    is_survived(&scene).await;
}

/// Checks for a 503 before the first byte, or a connection that is cut off: at the latest before the last byte,
/// possibly before the headers.
async fn does_not_come(scene: &Scene) {
    let path = format!("/v2/team/dependency_proxy/containers/new/blobs/{}", scene.new_layer().digest());
    if let Ok(response) = scene.client.request(Method::GET, &path).send().await {
        let status = response.status().as_u16();
        assert!(status == 503 || response.bytes().await.is_err(), "{status}");
    }
}

async fn gives(kind: Kind, fault: impl Fn(Rule<'_>) -> Rule<'_>, status: u16, code: &str, sentence: &str) {
    let scene = Scene::start().await;
    drop(fault(scene.hub.on(kind)));
    let seen = scene.pull_new_layer().await;
    assert_eq!((seen.status, seen.answer.code().as_str()), (status, code), "{}", seen.answer.text());
    seen.says(&sentence.replace("BLOB", &format!("blob new@{}", scene.new_layer().digest())));
    is_survived(&scene).await;
}

#[actix_rt::test]
async fn upstream_is_down() {
    for listener in [Listener::Registry, Listener::Storage] {
        let scene = Scene::start().await;
        scene.hub.down(listener);
        let seen = scene.pull_new_layer().await;
        assert_eq!((seen.status, seen.answer.code().as_str()), (503, "UNAVAILABLE"));
        scene.cached_is_there().await;
        scene.hub.up(listener);
        // On a busy machine the failures may have been enough for a pause before the next request.
        let layer = scene.new_layer();
        let comes = async || scene.client.blob("team", "new", layer.digest()).await.status == 200;
        eventually("upstream is tried again", comes).await;
        comes_whole(&scene).await;
    }
}

#[actix_rt::test]
async fn upstream_does_not_have_it() {
    gives(Kind::BlobRedirect, |rule| rule.status(404), 404, "BLOB_UNKNOWN", "docker.io has no BLOB").await;
}

#[actix_rt::test]
async fn upstream_refuses_the_repository() {
    let sentence = "docker.io has no 'library/new', or it is private (requested as robot): \"as the test commanded\"";
    for status in [401, 403] {
        gives(Kind::BlobRedirect, |rule| rule.status(status), 403, "DENIED", sentence).await;
    }
}

#[actix_rt::test]
async fn upstream_answers_500() {
    let sentence =
        "docker.io is out of order (HTTP status 500: \"as the test commanded\") and BLOB is not cached here yet";
    gives(Kind::BlobRedirect, |rule| rule.status(500), 503, "UNAVAILABLE", sentence).await;
}

#[actix_rt::test]
async fn the_storage_refuses_what_upstream_granted() {
    let what = "its storage refused with HTTP status 403";
    let sentence = format!("docker.io sent an invalid response ({what}) and BLOB is not cached here yet");
    gives(Kind::BlobDownload, |rule| rule.status(403), 503, "UNAVAILABLE", &sentence).await;
}

#[actix_rt::test]
async fn an_interrupted_download_is_resumed_while_the_client_waits() {
    let scene = Scene::start().await;
    scene.hub.on(Kind::BlobDownload).times(1).cut_after(100_000);
    comes_whole(&scene).await;
    let ranges: Vec<_> = scene.hub.requests().iter().filter_map(|request| request.range.clone()).collect();
    assert!(!ranges.is_empty() && ranges.iter().all(|range| range.starts_with("bytes=")), "{ranges:?}");
}

#[actix_rt::test]
async fn the_bytes_are_wrong() {
    never_ends_well(Kind::BlobDownload, |rule| rule.flip_byte(150_000)).await;
}

#[actix_rt::test]
async fn the_length_is_not_the_one_in_the_manifest_and_the_bytes_are_wrong() {
    for bytes in [-10, 10] {
        let scene = Scene::start().await;
        assert_eq!(scene.pull_new().await.status, 200);
        scene.hub.on(Kind::BlobDownload).body_length_off_by(bytes);
        does_not_come(&scene).await;
        is_survived(&scene).await;
    }
}

#[actix_rt::test]
async fn the_length_is_wrong_and_no_manifest_says_so() {
    for bytes in [-10, 10] {
        let scene = Scene::start().await;
        scene.hub.on(Kind::BlobDownload).body_length_off_by(bytes);
        does_not_come(&scene).await;
        is_survived(&scene).await;
    }
}

#[actix_rt::test]
async fn a_web_page_comes_instead() {
    never_ends_well(Kind::BlobDownload, |rule| rule.html()).await;
}

#[actix_rt::test]
async fn a_web_page_comes_instead_of_the_redirect() {
    for manifest_known in [true, false] {
        let scene = Scene::start().await;
        if manifest_known {
            assert_eq!(scene.pull_new().await.status, 200);
        }
        scene.hub.on(Kind::BlobRedirect).html();
        does_not_come(&scene).await;
        is_survived(&scene).await;
    }
}

#[actix_rt::test]
async fn the_storage_hangs() {
    let scene = Scene::start().await;
    scene.hub.on(Kind::BlobDownload).hang();
    let began = Instant::now();
    let blob = scene.client.blob("team", "new", scene.new_layer().digest()).await;
    assert_eq!((blob.status, blob.code().as_str()), (503, "UNAVAILABLE"));
    assert!(began.elapsed() < Duration::from_secs(28), "clients give up after 30 s");
    scene.cached_is_there().await;
}

#[actix_rt::test]
async fn the_body_never_ends() {
    never_ends_well(Kind::BlobDownload, |rule| rule.endless_body()).await;
}
