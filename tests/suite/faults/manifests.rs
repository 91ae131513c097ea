//! Manifests: all ways in which upstream can fail.

use fake_registry::{Image, Kind, Layer, Listener, Rule};
use serde_json::json;

use super::{
    BROKE_OFF, CLOSES_CONNECTIONS, EVERY_MANIFEST_REQUEST, OUT_OF_ORDER, REALM_REFUSES_CONNECTIONS,
    REFUSES_CONNECTIONS, Scene, TOO_SLOW, wrong,
};

/// Checks a fault after which upstream serves nothing: a 503 for new images, and the rest from the cache.
async fn is_survived(scene: &Scene, (sentence, reason): (&str, &str)) {
    scene.pull_new().await.is_unavailable(sentence, reason);
    scene.cached_tag_is("stale").await;
    scene.cached_is_there().await;
    scene.nothing_bad_is_left().await;
    assert!(!super::is_stored(&scene.service, "manifests", scene.new.digest()));
    scene.hub.behave();
    assert_eq!(scene.pull_new().await.answer.body, scene.new.bytes());
}

async fn every_manifest_request(fault: impl Fn(Rule<'_>) -> Rule<'_>, told: (&str, &str)) {
    let scene = Scene::start().await;
    for kind in EVERY_MANIFEST_REQUEST {
        drop(fault(scene.hub.on(kind)));
    }
    is_survived(&scene, told).await;
}

async fn every_manifest(fault: impl Fn(Rule<'_>) -> Rule<'_>, told: (&str, &str)) {
    let scene = Scene::start().await;
    scene.move_cached_tag();
    drop(fault(scene.hub.on(Kind::ManifestGet)));
    is_survived(&scene, told).await;
}

async fn is_wrong(fault: impl Fn(Rule<'_>) -> Rule<'_>, what: &str) {
    let (sentence, reason) = wrong(what);
    every_manifest(fault, (&sentence, reason)).await;
}

#[actix_rt::test]
async fn upstream_is_down() {
    let scene = Scene::start().await;
    scene.hub.down(Listener::Registry);
    scene.pull_new().await.is_unavailable(REFUSES_CONNECTIONS.0, REFUSES_CONNECTIONS.1);
    scene.cached_tag_is("stale").await;
    scene.cached_is_there().await;
    scene.nothing_bad_is_left().await;
    scene.hub.up(Listener::Registry);
    assert_eq!(scene.pull_new().await.status, 200);
}

#[actix_rt::test]
async fn upstream_hangs() {
    every_manifest_request(|rule| rule.hang(), TOO_SLOW).await;
}

#[actix_rt::test]
async fn upstream_resets_the_connection() {
    every_manifest_request(|rule| rule.reset(), CLOSES_CONNECTIONS).await;
}

#[actix_rt::test]
async fn upstream_answers_500() {
    every_manifest_request(|rule| rule.status(500), OUT_OF_ORDER).await;
}

#[actix_rt::test]
async fn the_token_realm_is_down() {
    let scene = Scene::start().await;
    scene.hub.expire_tokens();
    scene.hub.down(Listener::Realm);
    scene.pull_new().await.is_unavailable(REALM_REFUSES_CONNECTIONS.0, REALM_REFUSES_CONNECTIONS.1);
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
    let sentence = "The login of account 'robot' is refused by docker.io and new:latest is not cached here yet";
    is_survived(&scene, (sentence, reason)).await;
}

#[actix_rt::test]
async fn the_token_realm_gives_no_token() {
    let scene = Scene::start().await;
    scene.hub.expire_tokens();
    scene.hub.on(Kind::Token).json(json!({"hello": "world"}));
    let (sentence, reason) = wrong("its token realm: a response without a token");
    is_survived(&scene, (&sentence, reason)).await;
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
        seen.says("docker.io has no 'library/new', or it is private (requested as robot): \"as the test commanded\"");
        let by_tag = scene.client.manifest("team", "cached", "latest").await;
        assert_eq!((by_tag.status, by_tag.code().as_str()), (403, "DENIED"));
        scene.cached_is_there().await;
        // An account that was refused does not get the cached image only because upstream is unavailable now.
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
    // The cached tag was removed: nothing can be served stale.
    scene.hub.down(Listener::Registry);
    assert_eq!(scene.client.manifest("team", "cached", "latest").await.status, 503);
    scene.cached_is_there().await;
}

#[actix_rt::test]
async fn the_connection_is_cut_in_the_middle() {
    every_manifest(|rule| rule.cut_after(100), BROKE_OFF).await;
}

#[actix_rt::test]
async fn the_bytes_are_wrong() {
    is_wrong(|rule| rule.flip_byte(20), "the digest does not hold").await;
}

#[actix_rt::test]
async fn the_bytes_are_those_of_another_manifest() {
    let scene = Scene::start().await;
    let other = Image::single(&[Layer::random(9, 9)]);
    scene.hub.on(Kind::ManifestGet).manifest_of(&other);
    let path = format!("/v2/team/dependency_proxy/containers/new/manifests/{}", scene.new.digest());
    let seen = scene.see(&path).await;
    let sentence =
        format!("docker.io sent an invalid response (the digest does not hold) and new@{} is", scene.new.digest());
    assert_eq!(seen.status, 503);
    assert!(seen.answer.message().starts_with(&sentence), "{}", seen.answer.message());
    scene.nothing_bad_is_left().await;
    assert!(!super::is_stored(&scene.service, "manifests", other.digest()));
}

#[actix_rt::test]
async fn the_body_is_shorter_than_announced() {
    every_manifest(|rule| rule.declared_length_off_by(10), BROKE_OFF).await;
}

#[actix_rt::test]
async fn the_body_is_longer_than_announced() {
    is_wrong(|rule| rule.declared_length_off_by(-10), "the digest does not hold").await;
}

#[actix_rt::test]
async fn the_body_has_more_or_less_than_the_manifest() {
    for bytes in [-10, 10] {
        is_wrong(|rule| rule.body_length_off_by(bytes), "the digest does not hold").await;
    }
}

#[actix_rt::test]
async fn a_web_page_comes_instead() {
    let (sentence, reason) = wrong("the media type is not that of a manifest");
    every_manifest_request(|rule| rule.html(), (&sentence, reason)).await;
}

#[actix_rt::test]
async fn the_body_never_ends() {
    is_wrong(|rule| rule.endless_body(), "it is too long").await;
}

#[actix_rt::test]
async fn the_body_stops_in_the_middle() {
    every_manifest(|rule| rule.hold_after(100), BROKE_OFF).await;
}
