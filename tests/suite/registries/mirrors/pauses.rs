//! Mirrors while the registry itself is paused: it is throttled, or spared after failures.

use super::*;

/// Starts a scene with `acme/app` at the registry itself and at its mirror, and with two images that the mirror lacks.
async fn with_two_images_that_the_mirror_lacks(lines: &str) -> (Scene, FakeRegistry, Image) {
    let (own, mirror) = (FakeRegistry::start(), open_registry());
    let image = image(1);
    [&own, &mirror].iter().for_each(|registry| drop(registry.push_image("acme/app", "1", &image)));
    ["acme/alone", "acme/also"].iter().for_each(|name| drop(own.push_image(name, "1", &self::image(2))));
    (Scene::start(own, &[mirror.url()], lines).await, mirror, image)
}

#[actix_rt::test]
async fn while_the_registry_itself_is_throttled_its_mirrors_are_requested_and_it_is_not() {
    let (scene, _mirror, image) = with_two_images_that_the_mirror_lacks("rate_limit_wait = 0").await;
    scene.own.on_anything().too_many_requests(60);
    let refused = scene.pull("acme/alone").await;
    assert!(refused.status == 503 && refused.message().contains("pull limit is reached"), "{}", refused.text());
    scene.own.reset_counts();
    is_image(&scene.pull("acme/app").await, &image);
    scene.gives("acme/app", &image.layers()[0]).await;
    assert_eq!(scene.pull("acme/app").await.header("x-cache"), "revalidated");
    let tags = scene.client.get("/v2/team/dependency_proxy/containers/acme/app/tags/list").await;
    assert_eq!(tags.status, 200, "{}", tags.text());
    let refused = scene.pull("acme/also").await;
    assert!(refused.status == 503 && refused.message().contains("pull limit is reached"), "{}", refused.text());
    assert_eq!(scene.own.requests().total(), 0);
}

#[actix_rt::test]
async fn while_the_registry_itself_is_spared_after_failures_its_mirrors_are_requested_and_it_is_not() {
    let (scene, mirror, image) = with_two_images_that_the_mirror_lacks("").await;
    scene.own.on_anything().status(503);
    let is_spared = async || {
        scene.own.reset_counts();
        for name in ["acme/alone", "acme/also"] {
            assert_eq!(scene.pull(name).await.status, 503);
        }
        scene.own.requests().total() == 0
    };
    eventually("it is spared", is_spared).await;
    scene.own.behave();
    is_image(&scene.pull("acme/app").await, &image);
    scene.gives("acme/app", &image.layers()[0]).await;
    assert_eq!(scene.pull("acme/app").await.header("x-cache"), "revalidated");
    assert_eq!(scene.own.requests().total(), 0);
    let states = scene.service.api("GET", "/dependency_proxy/upstreams", serde_json::Value::Null).await;
    assert_eq!(states.json()[0]["state"], "failing", "a mirror shows nothing about it: {}", states.text());
    let works = async || scene.pull("acme/alone").await.status == 200;
    eventually("it is requested again", works).await;
    assert!(mirror.requests().manifest_gets("acme/alone", "1") > 0, "the mirror comes first each time");
}
