//! Connections that upstream closes during a request, and gateways that fail once.

use fake_registry::{FakeRegistry, Image, Kind, Layer};

use super::{REVALIDATE, Scene};

#[actix_rt::test]
async fn a_request_on_a_dead_connection_is_repeated_on_a_new_one() {
    let hub = FakeRegistry::start();
    hub.requests_per_connection(1);
    let scene = Scene::before(hub, REVALIDATE).await;
    let mut image = scene.push("acme/app", 1);
    for seed in 2..12 {
        let answer = scene.pull("acme/app").await;
        assert_eq!((answer.status, answer.header("x-cache")), (200, "miss"), "{}", answer.text());
        assert_eq!(&answer.body, image.bytes());
        let layer = image.layers()[0].digest();
        assert_eq!(scene.client.blob("team", "acme/app", layer).await.status, 200);
        let tags = scene.client.get("/v2/team/dependency_proxy/containers/acme/app/tags/list").await;
        assert_eq!(tags.status, 200);
        image = scene.push("acme/app", seed);
    }
}

#[actix_rt::test]
async fn many_dead_connections_at_once_fail_nobody() {
    let hub = FakeRegistry::start();
    let scene = Scene::before(hub, REVALIDATE).await;
    let names: Vec<String> = (0..20).map(|number| format!("acme/app-{number}")).collect();
    for (name, seed) in names.iter().zip(1..) {
        scene.hub.push_image(name, "1", &Image::single(&[Layer::random(100, seed)]));
    }
    let pull_all = || futures::future::join_all(names.iter().map(|name| scene.pull(name)));
    assert!(pull_all().await.iter().all(|answer| answer.status == 200));
    // From here on every reused connection is reset at its next request.
    scene.hub.requests_per_connection(1);
    let answers = pull_all().await;
    let statuses: Vec<_> = answers.iter().map(|answer| (answer.status, answer.header("x-cache"))).collect();
    assert!(statuses.iter().all(|status| *status == (200, "revalidated")), "{statuses:?}");
}

#[actix_rt::test]
async fn a_gateway_that_fails_once_is_given_a_second_try() {
    for status in [502, 503, 504] {
        let scene = Scene::start(REVALIDATE).await;
        let image = scene.push("acme/app", 1);
        scene.hub.on(Kind::ManifestGet).times(1).status(status);
        scene.gives("acme/app", &image, "miss").await;
        scene.hub.on(Kind::ManifestHead).times(1).status(status);
        scene.gives("acme/app", &image, "revalidated").await;
        scene.hub.on(Kind::Tags).times(1).status(status);
        let tags = scene.client.get("/v2/team/dependency_proxy/containers/acme/app/tags/list").await;
        assert_eq!(tags.status, 200);
    }
}

#[actix_rt::test]
async fn a_gateway_that_goes_on_failing_is_tried_twice_and_no_more() {
    let scene = Scene::start(REVALIDATE).await;
    scene.push("acme/app", 1);
    scene.hub.on(Kind::ManifestGet).status(503);
    let answer = scene.pull("acme/app").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "UNAVAILABLE"));
    assert_eq!(scene.count(Kind::ManifestGet), 2);
    // An error of the registry itself is not retried.
    scene.hub.behave();
    scene.hub.on(Kind::ManifestGet).status(500);
    scene.hub.reset_counts();
    assert_eq!(scene.pull("acme/app").await.status, 503);
    assert_eq!(scene.count(Kind::ManifestGet), 1);
}
