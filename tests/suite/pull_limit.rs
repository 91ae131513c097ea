//! The pull limit of an upstream: requests that wait for it, and requests that are not sent when it is nearly reached.

use std::time::Duration;

use fake_registry::{FakeRegistry, Image, Kind, Layer, Listener};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::operating::metrics::metric;
use crate::service::{Answer, Client, Scenario, Service, Started, eventually};

/// Tags are fresh for a second, and are not served stale while they are revalidated.
const BRIEFLY_FRESH: &str = "[cache]\ntag_freshness = \"1s\"\nstale_while_revalidate = 0";

struct Scene {
    hub: FakeRegistry,
    service: Service,
    client: Client,
}

impl Scene {
    async fn start(lines: &str) -> Self {
        let Started { hub, service, client, .. } = Scenario::new().settings(lines).start().await;
        for number in 0..60 {
            hub.push_image(&format!("library/app{number}"), "1", &Image::single(&[Layer::random(100, number)]));
        }
        Self { hub, service, client }
    }

    async fn pull(&self, number: usize) -> Answer {
        self.client.manifest("team", &format!("app{number}"), "1").await
    }

    fn gets(&self) -> usize {
        self.hub.requests().of(Kind::ManifestGet)
    }

    /// Returns a client of another group.
    async fn other_group(&self) -> Client {
        let group = self.service.group("other").await;
        let token = self.service.deploy_token(&group, "ci").await;
        self.service.log_in_with(&token).await
    }
}

#[actix_rt::test]
async fn while_the_limit_is_reached_one_request_at_a_time_tries_and_all_are_served_in_the_end() {
    let scene = Scene::start("").await;
    // Four times in a row, for a second each.
    scene.hub.on(Kind::ManifestGet).times(4).too_many_requests(1);
    let first = scene.pull(0);
    let others = async {
        scene.hub.seen(Kind::ManifestGet, 1).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        join_all((1..60).map(|number| scene.pull(number))).await
    };
    let (first, others) = futures::join!(first, others);
    for pulled in others.iter().chain([&first]) {
        assert_eq!(pulled.status, 200, "{}", pulled.text());
    }
    assert_eq!(scene.gets(), 60 + 4, "a storm of requests");
}

#[actix_rt::test]
async fn who_may_not_wait_is_refused_at_once_without_a_request() {
    let scene = Scene::start("rate_limit_wait = 0").await;
    scene.hub.on(Kind::ManifestGet).times(1).too_many_requests(1);
    for number in 0..10 {
        let refused = scene.pull(number).await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, "1"), "{}", refused.text());
        assert!(refused.message().starts_with("docker.io's pull limit is reached (more in"), "{}", refused.message());
    }
    assert_eq!(scene.gets(), 1);
}

#[actix_rt::test]
async fn tags_are_fresh_for_longer_and_are_not_revalidated_as_the_limit_is_nearly_reached() {
    let scene = Scene::start(BRIEFLY_FRESH).await;
    scene.hub.pulls_left(9);
    assert_eq!(scene.pull(0).await.status, 200);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    scene.hub.reset_counts();
    assert_eq!(scene.pull(0).await.header("x-cache"), "hit", "8 of 100 are left: 3.1 times as long");
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let stale = scene.pull(0).await;
    assert_eq!(stale.header("x-cache"), "stale");
    assert!(stale.header("x-upstream-error").contains("docker.io's pull limit is nearly reached"), "{stale:?}");
    assert_eq!(scene.hub.requests().total(), 0);
    assert_eq!(scene.pull(1).await.header("x-cache"), "miss", "what is left is for what is not cached");
}

#[actix_rt::test]
async fn groups_share_what_is_left() {
    let scene = Scene::start("").await;
    let other = scene.other_group().await;
    assert_eq!(other.manifest("other", "app0", "1").await.status, 200);
    scene.hub.pulls_left(25);
    // The first one reports that 24 are left. A quarter of the limit is for two groups.
    for number in 1..=13 {
        assert_eq!(scene.pull(number).await.status, 200, "{number}");
    }
    let refused = scene.pull(14).await;
    assert_eq!(refused.status, 503);
    let sentence = "docker.io's pull limit is nearly reached, this group has used its share of the rest and app14:1 is not \
                    cached here yet";
    assert!(refused.message().starts_with(sentence), "{}", refused.message());
    assert_eq!(scene.pull(13).await.header("x-cache"), "hit");
    for number in 14..20 {
        assert_eq!(other.manifest("other", &format!("app{number}"), "1").await.status, 200);
    }
}

#[actix_rt::test]
async fn what_is_left_is_a_metric_and_in_the_api() {
    let scene = Scene::start("").await;
    scene.hub.pulls_left(50);
    scene.pull(0).await;
    scene.pull(1).await;
    let shown = upstream(&scene.service).await;
    assert_eq!(shown["state"], "working");
    let limit = &shown["pull_limit"];
    let seen = [&limit["limit"], &limit["remaining"], &limit["window_seconds"], &limit["source"]];
    assert_eq!(seen, [&json!(100), &json!(48), &json!(21_600), &json!("127.0.0.1")]);
    let labels = r#"{upstream="docker.io",account=""}"#;
    assert_eq!(metric(&scene.service, &format!("dependency_proxy_upstream_pull_limit{labels}")).await, 100);
    assert_eq!(metric(&scene.service, &format!("dependency_proxy_upstream_pulls_left{labels}")).await, 48);
    assert_eq!(metric(&scene.service, r#"dependency_proxy_upstream_held{upstream="docker.io"}"#).await, 0);
}

#[actix_rt::test]
async fn a_limit_that_is_reached_and_an_outage_are_shown_to_administrators_alone() {
    let scene = Scene::start("").await;
    scene.hub.on(Kind::ManifestGet).times(1).too_many_requests(600);
    scene.pull(0).await;
    let shown = upstream(&scene.service).await;
    assert_eq!(shown["state"], "limit_reached");
    assert!((590..=600).contains(&shown["held_seconds"].as_u64().unwrap()), "{shown}");
    let Started { hub, service, client, .. } = Scenario::new().start().await;
    hub.down(Listener::Registry);
    for _ in 0..3 {
        client.manifest("team", "app0", "1").await;
    }
    let shown = upstream(&service).await;
    assert_eq!(shown["state"], "failing");
    assert!(shown["because"].as_str().unwrap().contains("it refused the connection"), "{shown}");
    assert!(shown["retry_seconds"].is_u64());
    let circuit = r#"dependency_proxy_upstream_circuit{upstream="docker.io",account=""}"#;
    eventually("the gauge is set", async || metric(&service, circuit).await > 0).await;
    hub.up(Listener::Registry);
    eventually("the upstream works", async || {
        client.manifest("team", "app0", "1").await;
        upstream(&service).await["state"] == "working"
    })
    .await;
    let owner = service.user("owner", "a-password-of-hers").await;
    let token = service.personal_token(&owner, "api", &["api"]).await;
    let response = reqwest::Client::new()
        .get(format!("{}/api/v4/dependency_proxy/upstreams", service.url()))
        .header("PRIVATE-TOKEN", &token.secret);
    assert_eq!(response.send().await.unwrap().status(), 403);
}

/// Returns the state of docker.io without an account.
async fn upstream(service: &Service) -> Value {
    let listed = service.api("GET", "/dependency_proxy/upstreams", Value::Null).await;
    assert_eq!(listed.status, 200, "{}", listed.text());
    let states = listed.json();
    states.as_array().unwrap().iter().find(|state| state["upstream"] == "docker.io").unwrap().clone()
}
