//! Fairness among groups: however many requests one group sends, a request of another gets its turn, and a client that
//! reads nothing takes nothing from others.

use std::time::Duration;

use fake_registry::{FakeRegistry, Image, Kind, Layer};
use futures::future::join_all;
use tokio::task::JoinHandle;

use crate::operating::metrics::metric;
use crate::service::{Answer, Client, Config, Scenario, Service, Started, eventually};

const MIB: u64 = 1 << 20;
const WAITING: &str = "dependency_proxy_upstream_waiting{upstream=\"docker.io\"}";
const REFUSED: &str = "dependency_proxy_over_capacity_total{queue=\"upstream\"}";
const WAITERS: &str = "dependency_proxy_queue_length{queue=\"manifest_waiters\"}";

/// A service with the groups `team` and `other`, and ten images `app0` to `app9`.
struct Scene {
    hub: FakeRegistry,
    service: Service,
    team: Client,
    other: Client,
}

impl Scene {
    async fn start(configured: impl FnOnce(Config) -> Config) -> Self {
        let Started { hub, service, client: team, .. } = Scenario::new().configured(configured).start().await;
        for number in 0..10 {
            hub.push_image(&format!("library/app{number}"), "1", &Image::single(&[Layer::random(100, number)]));
        }
        let group = service.group("other").await;
        let token = service.deploy_token(&group, "ci").await;
        let other = service.log_in_with(&token).await;
        Self { hub, service, team, other }
    }

    /// Begins to pull the manifest of an image.
    fn pull(&self, group: &'static str, number: usize) -> JoinHandle<Answer> {
        let client = if group == "team" { self.team.clone() } else { self.other.clone() };
        actix_rt::spawn(async move { client.manifest(group, &format!("app{number}"), "1").await })
    }

    /// Begins to pull the manifests of these images, one after the other, each once the one before waits for a permit.
    async fn pull_in_order(&self, pulls: &[(&'static str, usize)]) -> Vec<JoinHandle<Answer>> {
        let mut begun = Vec::new();
        for (group, number) in pulls {
            let before = self.metric(WAITING).await;
            begun.push(self.pull(group, *number));
            eventually("it waits", async || self.metric(WAITING).await == before + 1).await;
        }
        begun
    }

    async fn metric(&self, sample: &str) -> u64 {
        metric(&self.service, sample).await
    }

    /// Returns the images whose manifests were requested from upstream, in order.
    fn fetched(&self) -> Vec<String> {
        let requests = self.hub.requests();
        let gets = requests.iter().filter(|request| request.kind == Kind::ManifestGet && !request.refused);
        gets.filter_map(|request| request.repository.clone()).collect()
    }

    /// Begins a pull whose response upstream holds back, so that the only permit is in use.
    async fn hold_the_permit(&self) -> JoinHandle<Answer> {
        self.hub.on(Kind::ManifestGet).times(1).hold_after(1);
        let held = self.pull("team", 0);
        self.hub.seen(Kind::ManifestGet, 1).await;
        held
    }
}

fn one_permit(lines: &str) -> impl FnOnce(Config) -> Config {
    let lines = format!("[upstream_defaults]\nmax_concurrent = 1\n{lines}");
    move |config| config.and(&lines)
}

async fn statuses(pulls: Vec<JoinHandle<Answer>>) -> Vec<u16> {
    join_all(pulls).await.into_iter().map(|answer| answer.unwrap().status).collect()
}

#[actix_rt::test]
async fn groups_take_turns_where_they_wait_for_a_permit_of_an_upstream() {
    let scene = Scene::start(one_permit("")).await;
    let held = scene.hold_the_permit().await;
    let waiting = scene.pull_in_order(&[("team", 1), ("team", 2), ("team", 3), ("other", 4), ("other", 5)]).await;
    scene.hub.release();
    assert_eq!(held.await.unwrap().status, 200);
    assert_eq!(statuses(waiting).await, [200; 5]);
    let order = [0, 1, 4, 2, 5, 3].map(|number| format!("library/app{number}"));
    assert_eq!(scene.fetched(), order);
    assert_eq!(scene.metric(WAITING).await, 0);
}

#[actix_rt::test]
async fn a_group_with_many_waiting_requests_is_refused_more_and_another_group_is_not() {
    let scene = Scene::start(one_permit("max_waiting = 4")).await;
    let held = scene.hold_the_permit().await;
    let waiting = scene.pull_in_order(&[("team", 1), ("team", 2), ("team", 3)]).await;
    let refused = scene.pull("team", 4).await.unwrap();
    assert_eq!((refused.status, refused.code().as_str()), (503, "UNAVAILABLE"), "{}", refused.text());
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    let sentence = "Too many pulls at once for app4:1 to be fetched from docker.io now. Try again [";
    assert!(refused.message().starts_with(sentence), "{}", refused.message());
    assert_eq!(scene.metric(REFUSED).await, 1);
    let of_other = scene.pull_in_order(&[("other", 5)]).await;
    scene.hub.release();
    assert_eq!(held.await.unwrap().status, 200);
    assert_eq!((statuses(waiting).await, statuses(of_other).await), (vec![200; 3], vec![200]));
}

#[actix_rt::test]
async fn a_client_that_leaves_frees_its_place_and_other_groups_have_places_of_their_own() {
    let scene = Scene::start(|config| config.and("[cache]\nmax_waiters_per_group = 1")).await;
    let held = scene.hold_the_permit().await;
    let refused = scene.pull("team", 1).await.unwrap();
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.message().starts_with("Too many pulls at once"), "{}", refused.message());
    assert_eq!(scene.pull("other", 2).await.unwrap().status, 200);
    assert_eq!(scene.metric(WAITERS).await, 1);
    held.abort();
    eventually("its place is free", async || scene.metric(WAITERS).await == 0).await;
    assert_eq!(scene.pull("team", 1).await.unwrap().status, 200);
    scene.hub.release();
}

#[actix_rt::test]
async fn clients_that_read_nothing_hold_no_permit_and_no_turn() {
    let layers = [Layer::random(64 * MIB, 20), Layer::random(MIB, 21)];
    let one_permit = one_permit("[cache]\nmax_waiters_per_group = 1\nmax_downloads_per_group = 1");
    let scene = Scene::start(|config| one_permit(config.variable("DEPENDENCY_PROXY__SERVER__WORKERS", "1"))).await;
    scene.hub.push_image("library/app", "1", &Image::single(&layers));
    for (client, group) in [(&scene.team, "team"), (&scene.other, "other")] {
        assert_eq!(client.manifest(group, "app", "1").await.status, 200);
    }
    let path = |layer: &Layer| format!("/v2/team/dependency_proxy/containers/app/blobs/{}", layer.digest());
    let mut stalled = Vec::new();
    for _ in 0..10 {
        let mut connection = scene.team.connect_with_window(Some(4096)).await;
        assert_eq!(connection.get(&path(&layers[0]), "").await.unwrap().status, 200);
        stalled.push(connection);
    }
    for (client, group) in [(&scene.other, "other"), (&scene.team, "team")] {
        let pulled = client.stored_blob(group, "app", layers[1].digest()).await;
        assert!(pulled.body == layers[1].bytes(), "{group} got other bytes");
    }
    let turns = "dependency_proxy_connections_waiting_for_turn";
    eventually("nobody waits", async || scene.metric(turns).await == 0).await;
    // They are served once they read.
    assert!(stalled.remove(0).matches(&layers[0].bytes()).await.unwrap());
}

#[actix_rt::test]
async fn two_groups_that_pull_at_once_on_one_thread_get_their_bytes() {
    let layer = Layer::random(20 * MIB, 30);
    for secure in [false, true] {
        let configured = |config: Config| {
            let config = config.variable("DEPENDENCY_PROXY__SERVER__WORKERS", "1");
            if secure { config.secure() } else { config }
        };
        let scene = Scene::start(configured).await;
        scene.hub.push_image("library/app", "1", &Image::single(std::slice::from_ref(&layer)));
        let pulls = (0..16).map(|number| {
            let (client, group) = if number % 4 == 0 { (&scene.other, "other") } else { (&scene.team, "team") };
            let (client, layer) = (client.clone(), layer.clone());
            actix_rt::spawn(async move {
                for _ in 0..3 {
                    assert_eq!(client.manifest(group, "app", "1").await.status, 200);
                    assert!(client.blob(group, "app", layer.digest()).await.body == layer.bytes());
                }
            })
        });
        let all = tokio::time::timeout(Duration::from_secs(120), join_all(pulls)).await.expect("nobody is forgotten");
        all.into_iter().for_each(|pull| pull.unwrap());
    }
}
