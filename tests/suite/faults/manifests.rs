//! Manifests: each way in which upstream can fail to give one.

use serde_json::json;

use super::{EVERY_MANIFEST_REQUEST, Scene, UNREACHABLE, WRONG};
use crate::fake_hub::{Image, Kind, Layer, Listener, Rule};

const CANNOT_BE_REACHED: &str = "docker.io cannot be reached and new:latest is not cached here yet";
const CANNOT_BE_RIGHT: &str = "docker.io gave an answer that cannot be right, and new:latest is not cached here yet";

/// A fault for which nothing can be had of upstream: a 503 for what is new, and the rest from the cache.
async fn is_survived(scene: &Scene, sentence: &str, reason: &str) {
    scene.pull_new().await.is_unavailable(sentence, reason);
    scene.cached_tag_is("stale").await;
    scene.cached_is_there().await;
    scene.nothing_bad_is_left().await;
    assert!(!super::is_stored(&scene.service, "manifests", scene.new.digest()));
    scene.hub.behave();
    assert_eq!(scene.pull_new().await.answer.body, scene.new.bytes());
}

async fn every_manifest_request(fault: impl Fn(Rule<'_>) -> Rule<'_>, sentence: &str, reason: &str) {
    let scene = Scene::start().await;
    for kind in EVERY_MANIFEST_REQUEST {
        drop(fault(scene.hub.on(kind)));
    }
    is_survived(&scene, sentence, reason).await;
}

async fn every_manifest(fault: impl Fn(Rule<'_>) -> Rule<'_>, sentence: &str, reason: &str) {
    let scene = Scene::start().await;
    scene.move_cached_tag();
    drop(fault(scene.hub.on(Kind::ManifestGet)));
    is_survived(&scene, sentence, reason).await;
}

#[actix_rt::test]
async fn upstream_is_down() {
    let scene = Scene::start().await;
    scene.hub.down(Listener::Registry);
    scene.pull_new().await.is_unavailable(CANNOT_BE_REACHED, UNREACHABLE);
    scene.cached_tag_is("stale").await;
    scene.cached_is_there().await;
    scene.nothing_bad_is_left().await;
    scene.hub.up(Listener::Registry);
    assert_eq!(scene.pull_new().await.status, 200);
}

#[actix_rt::test]
async fn upstream_hangs() {
    every_manifest_request(|rule| rule.hang(), CANNOT_BE_REACHED, UNREACHABLE).await;
}

#[actix_rt::test]
async fn upstream_resets_the_connection() {
    every_manifest_request(|rule| rule.reset(), CANNOT_BE_REACHED, UNREACHABLE).await;
}

#[actix_rt::test]
async fn upstream_answers_500() {
    every_manifest_request(|rule| rule.status(500), CANNOT_BE_REACHED, UNREACHABLE).await;
}

#[actix_rt::test]
async fn the_token_realm_is_down() {
    let scene = Scene::start().await;
    scene.hub.expire_tokens();
    scene.hub.down(Listener::Realm);
    scene.pull_new().await.is_unavailable(CANNOT_BE_REACHED, UNREACHABLE);
    scene.cached_tag_is("stale").await;
    scene.cached_is_there().await;
    scene.nothing_bad_is_left().await;
}

#[actix_rt::test]
async fn the_token_realm_refuses_the_account() {
    let scene = Scene::start().await;
    scene.hub.expire_tokens();
    scene.hub.on(Kind::Token).status(401);
    let reason = "Upstream registry refuses the configured credentials and this is not cached here yet";
    let sentence = "docker.io does not accept the credentials configured here, and new:latest is not cached here yet";
    is_survived(&scene, sentence, reason).await;
}

#[actix_rt::test]
async fn the_token_realm_gives_no_token() {
    let scene = Scene::start().await;
    scene.hub.expire_tokens();
    scene.hub.on(Kind::Token).json(json!({"hello": "world"}));
    is_survived(&scene, CANNOT_BE_REACHED, UNREACHABLE).await;
}

#[actix_rt::test]
async fn upstream_refuses_the_repository() {
    for status in [401, 403] {
        let scene = Scene::start().await;
        for kind in EVERY_MANIFEST_REQUEST {
            scene.hub.on(kind).status(status);
        }
        let seen = scene.pull_new().await;
        assert_eq!((seen.status, seen.answer.code().as_str()), (403, "DENIED"));
        seen.says("docker.io has no 'library/new', or it is private (asked as robot)");
        let by_tag = scene.client.manifest("team", "cached", "latest").await;
        assert_eq!((by_tag.status, by_tag.code().as_str()), (403, "DENIED"));
        scene.cached_is_there().await;
        // Who was refused is not given it because upstream is down now.
        scene.hub.down(Listener::Registry);
        assert_eq!(scene.client.manifest("team", "cached", "latest").await.status, 403);
        scene.hub.up(Listener::Registry);
        scene.hub.behave();
        scene.nothing_bad_is_left().await;
    }
}

#[actix_rt::test]
async fn upstream_has_it_no_longer() {
    let scene = Scene::start().await;
    for kind in EVERY_MANIFEST_REQUEST {
        scene.hub.on(kind).status(404);
    }
    let seen = scene.pull_new().await;
    assert_eq!((seen.status, seen.answer.code().as_str()), (404, "MANIFEST_UNKNOWN"));
    seen.says("docker.io has no new:latest");
    assert_eq!(scene.client.manifest("team", "cached", "latest").await.status, 404);
    scene.cached_is_there().await;
    scene.nothing_bad_is_left().await;
    // The tag is dropped: there is nothing to serve stale any more.
    scene.hub.down(Listener::Registry);
    assert_eq!(scene.client.manifest("team", "cached", "latest").await.status, 503);
    scene.cached_is_there().await;
}

#[actix_rt::test]
async fn the_connection_is_cut_in_the_middle() {
    every_manifest(|rule| rule.cut_after(100), CANNOT_BE_REACHED, UNREACHABLE).await;
}

#[actix_rt::test]
async fn the_bytes_are_wrong() {
    every_manifest(|rule| rule.flip_byte(20), CANNOT_BE_RIGHT, WRONG).await;
}

#[actix_rt::test]
async fn the_bytes_are_those_of_another_manifest() {
    let scene = Scene::start().await;
    let other = Image::single(&[Layer::random(9, 9)]);
    scene.hub.on(Kind::ManifestGet).manifest_of(&other);
    let path = format!("/v2/team/dependency_proxy/containers/new/manifests/{}", scene.new.digest());
    let seen = scene.see(&path).await;
    let sentence = format!("docker.io gave an answer that cannot be right, and new@{} is", scene.new.digest());
    assert_eq!(seen.status, 503);
    assert!(seen.answer.message().starts_with(&sentence), "{}", seen.answer.message());
    scene.nothing_bad_is_left().await;
    assert!(!super::is_stored(&scene.service, "manifests", other.digest()));
}

#[actix_rt::test]
async fn the_body_is_shorter_than_announced() {
    every_manifest(|rule| rule.declared_length_off_by(10), CANNOT_BE_REACHED, UNREACHABLE).await;
}

#[actix_rt::test]
async fn the_body_is_longer_than_announced() {
    every_manifest(|rule| rule.declared_length_off_by(-10), CANNOT_BE_RIGHT, WRONG).await;
}

#[actix_rt::test]
async fn the_body_has_more_or_less_than_the_manifest() {
    for bytes in [-10, 10] {
        every_manifest(|rule| rule.body_length_off_by(bytes), CANNOT_BE_RIGHT, WRONG).await;
    }
}

#[actix_rt::test]
async fn a_web_page_comes_instead() {
    every_manifest_request(|rule| rule.html(), CANNOT_BE_RIGHT, WRONG).await;
}

#[actix_rt::test]
async fn the_body_never_ends() {
    every_manifest(|rule| rule.endless_body(), CANNOT_BE_RIGHT, WRONG).await;
}

#[actix_rt::test]
async fn the_body_stops_in_the_middle() {
    every_manifest(|rule| rule.hold_after(100), CANNOT_BE_REACHED, UNREACHABLE).await;
}
