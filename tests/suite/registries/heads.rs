//! `HEAD` where registries refuse it, do not support it or respond with incomplete headers: a `GET` decides what it
//! does not clearly confirm, and for a while a repository that does so gets no more `HEAD`.

use fake_registry::{FakeRegistry, Image, Kind, Layer, Listener, Rule};
use reqwest::Method;

use super::{REVALIDATE, Scene, is_image};
use crate::service::Config;

/// A function that adds a fault to a rule.
type Fault = fn(Rule<'_>) -> Rule<'_>;

/// Known behaviour of registries at a `HEAD` of a manifest.
const FAULTS: [(&str, Fault); 11] = [
    ("401", |rule| rule.refusal(401, "UNAUTHORIZED", "no")),
    ("403", |rule| rule.status(403)),
    ("404", |rule| rule.status(404)),
    ("405", |rule| rule.status(405)),
    ("400", |rule| rule.status(400)),
    ("501", |rule| rule.status(501)),
    ("no type", |rule| rule.without_header("Content-Type")),
    ("JSON", |rule| rule.content_type("application/json")),
    ("length 0", |rule| rule.body_length_off_by(-1_000_000)),
    ("no length", |rule| rule.without_content_length()),
    ("closed", |rule| rule.reset()),
];

#[actix_rt::test]
async fn a_tag_that_moves_is_followed_and_the_second_time_costs_one_request() {
    for (fault, head) in FAULTS {
        let scene = Scene::start(REVALIDATE).await;
        let image = scene.push("acme/app", 1);
        scene.gives("acme/app", &image, "miss").await;
        drop(head(scene.hub.on(Kind::ManifestHead)));
        let moved = scene.push("acme/app", 2);
        scene.gives("acme/app", &moved, "miss").await;
        scene.hub.reset_counts();
        scene.gives("acme/app", &moved, "revalidated").await;
        let again = scene.push("acme/app", 3);
        scene.gives("acme/app", &again, "miss").await;
        let requests = scene.hub.requests();
        assert_eq!((requests.of(Kind::ManifestHead), requests.of(Kind::ManifestGet)), (0, 2), "{fault}");
    }
}

#[actix_rt::test]
async fn another_group_gets_what_is_stored_and_a_head_of_a_client_is_complete() {
    for (fault, head) in FAULTS {
        let scene = Scene::start(REVALIDATE).await;
        let image = scene.push("acme/app", 1);
        drop(head(scene.hub.on(Kind::ManifestHead)));
        for reference in ["1", image.digest()] {
            let answer = scene.client.manifest_head("team", "acme/app", reference).await;
            assert_eq!(answer.status, 200, "{fault}");
            assert_eq!(answer.header("content-length"), image.bytes().len().to_string(), "{fault}");
            assert_eq!(answer.header("content-type"), image.media_type(), "{fault}");
            assert_eq!(answer.header("docker-content-digest"), image.digest(), "{fault}");
        }
        let other = scene.another_group("other").await;
        is_image(&other.manifest("other", "acme/app", "1").await, &image);
    }
}

#[actix_rt::test]
async fn what_a_get_denies_too_stays_denied() {
    let scene = Scene::start(REVALIDATE).await;
    let image = scene.push("acme/app", 1);
    scene.gives("acme/app", &image, "miss").await;
    for kind in [Kind::ManifestHead, Kind::ManifestGet] {
        scene.hub.on(kind).status(403);
    }
    assert_eq!(scene.pull("acme/app").await.status, 403);
    scene.hub.behave();
    for kind in [Kind::ManifestHead, Kind::ManifestGet] {
        scene.hub.on(kind).status(404);
    }
    assert_eq!(scene.pull("acme/app").await.status, 404);
    scene.hub.behave();
    // The cached tag was removed.
    scene.gives("acme/app", &image, "miss").await;
    scene.hub.reset_counts();
    scene.gives("acme/app", &image, "revalidated").await;
    assert_eq!(scene.count(Kind::ManifestHead), 1, "a repository that denied both is not one that refuses HEAD");
}

#[actix_rt::test]
async fn a_registry_that_answers_no_head_of_a_blob_opens_what_is_stored_from_elsewhere() {
    for refusal in [401, 403, 404, 405, 501] {
        let (scene, mirror) = with_mirror().await;
        let layers: Vec<Layer> = (1..=3).map(|seed| Layer::random(20_000, seed)).collect();
        let image = Image::single(&layers);
        scene.hub.push_image("acme/app", "1", &image);
        mirror.push_image("acme/app", "1", &image);
        for layer in &layers {
            assert_eq!(scene.client.stored_blob("team", "acme/app", layer.digest()).await.status, 200);
        }
        mirror.on(Kind::BlobHead).refusal(refusal, "UNAUTHORIZED", "Not Authorized");
        for (number, layer) in layers.iter().enumerate() {
            mirror.reset_counts();
            let answer = scene.client.blob("team", "mirror.test/acme/app", layer.digest()).await;
            assert_eq!((answer.status, answer.header("x-cache")), (200, "revalidated"), "{refusal}: {}", answer.text());
            let requests = mirror.requests();
            assert_eq!(requests.of(Kind::BlobHead), usize::from(number == 0), "{refusal}");
            let ranges: Vec<_> = requests.iter().filter_map(|request| request.range.as_deref()).collect();
            assert!(!ranges.is_empty() && ranges.iter().all(|range| *range == "bytes=0-0"), "{ranges:?}");
        }
        mirror.on(Kind::BlobRedirect).status(403);
        let other = Layer::random(20_000, 9);
        scene.hub.push_image("acme/other", "1", &Image::single(std::slice::from_ref(&other)));
        assert_eq!(scene.client.stored_blob("team", "acme/other", other.digest()).await.status, 200);
        let denied = scene.client.blob("team", "mirror.test/acme/app", other.digest()).await;
        assert_eq!(denied.status, 403, "what upstream refuses by GET as well stays closed");
    }
}

/// Returns the scene, with a second upstream `mirror.test`.
async fn with_mirror() -> (Scene, FakeRegistry) {
    let mirror = FakeRegistry::start();
    let (realm, storage) = (mirror.host(Listener::Realm), mirror.host(Listener::Storage));
    let lines = format!(
        "[upstreams.\"mirror.test\"]\nurl = \"{}\"\nauth_hosts = [\"{realm}\"]\nredirect_hosts = [\"{storage}\"]",
        mirror.url()
    );
    (Scene::start(&lines).await, mirror)
}

#[actix_rt::test]
async fn a_head_of_a_blob_is_decided_by_its_first_byte_where_upstream_refuses_it() {
    let scene = Scene::start("").await;
    let image = scene.push("acme/app", 1);
    let layer = &image.layers()[0];
    scene.hub.on(Kind::BlobHead).status(405);
    let path = format!("/v2/team/dependency_proxy/containers/acme/app/blobs/{}", layer.digest());
    let answer = scene.client.send(scene.client.request(Method::HEAD, &path)).await;
    assert_eq!((answer.status, answer.header("content-length")), (200, "20000"));
}

#[actix_rt::test]
async fn a_registry_without_any_head_is_pulled_from_as_one_with_it() {
    let hub = FakeRegistry::start();
    hub.require_auth(false);
    hub.redirect_blobs(false);
    let image = Image::single(&[Layer::random(5_000, 1)]);
    hub.push_image("acme/app", "1", &image);
    for kind in [Kind::ManifestHead, Kind::BlobHead] {
        hub.on(kind).reset();
    }
    let service = Config::hub_named("plain.test", &hub).and(REVALIDATE).start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let client = service.log_in_with(&token).await;
    for _ in 0..2 {
        assert_eq!(client.manifest_head("team", "plain.test/acme/app", "1").await.status, 200);
        is_image(&client.manifest("team", "plain.test/acme/app", "1").await, &image);
        let blob = client.blob("team", "plain.test/acme/app", image.layers()[0].digest()).await;
        assert_eq!((blob.status, blob.body.len()), (200, 5_000));
    }
}

#[actix_rt::test]
async fn a_head_that_hangs_is_left_to_get_and_counts_against_no_other_repository() {
    let scene = Scene::start(REVALIDATE).await;
    let image = scene.push("acme/app", 1);
    let other = scene.push("acme/other", 2);
    scene.gives("acme/app", &image, "miss").await;
    scene.gives("acme/other", &other, "miss").await;
    scene.hub.on(Kind::ManifestHead).in_repository("acme/app").hang();
    let moved = scene.push("acme/app", 3);
    scene.gives("acme/app", &moved, "miss").await;
    let other = scene.push("acme/other", 4);
    scene.gives("acme/other", &other, "miss").await;
    scene.gives("acme/app", &moved, "revalidated").await;
}

#[actix_rt::test]
async fn a_head_that_a_gateway_failed_once_is_sent_again_the_next_time() {
    let scene = Scene::start(REVALIDATE).await;
    let image = scene.push("acme/app", 1);
    scene.gives("acme/app", &image, "miss").await;
    scene.hub.on(Kind::ManifestHead).times(1).status(503);
    scene.gives("acme/app", &image, "revalidated").await;
    scene.hub.reset_counts();
    scene.gives("acme/app", &image, "revalidated").await;
    assert_eq!((scene.count(Kind::ManifestHead), scene.count(Kind::ManifestGet)), (1, 0), "a GET counts as a pull");
}

#[actix_rt::test]
async fn a_head_with_a_wrong_length_of_a_stored_blob_is_decided_by_its_first_byte() {
    let scene = Scene::start("").await;
    let image = scene.push("acme/app", 1);
    let layer = image.layers()[0].digest();
    assert_eq!(scene.client.stored_blob("team", "acme/app", layer).await.status, 200);
    let other = scene.another_group("other").await;
    scene.hub.push_image("acme/copy", "1", &image);
    scene.hub.on(Kind::BlobHead).at(Listener::Storage).body_length_off_by(-7);
    let answer = other.blob("other", "acme/copy", layer).await;
    assert_eq!((answer.status, answer.body.len()), (200, 20_000), "{}", answer.text());
}
