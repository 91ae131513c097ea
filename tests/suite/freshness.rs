//! Freshness of tags: their time to live, the revalidation of stale ones, and that concurrent requests are coalesced.

mod background;
mod classes;
mod crowds;
mod groups;
mod offline;

use std::time::{Duration, Instant};

use fake_registry::{FakeRegistry, Image, Kind, Layer, Listener};

use crate::service::{Answer, Client, Scenario, Service, Started, eventually};

const REVALIDATE_ALWAYS: &str = "[cache]\ntag_freshness = 0\nnegative_ttl = \"1h\"\nrevalidate_timeout = \"1s\"";
const LONG_TTL: &str = "[cache]\ntag_freshness = \"1h\"";

struct Scene {
    hub: FakeRegistry,
    service: Service,
    client: Client,
    image: Image,
}

impl Scene {
    async fn start(lines: &str) -> Self {
        let image = Image::single(&[Layer::random(1_000, 1)]);
        let scenario = Scenario::new().image("library/alpine", "latest", &image).settings(lines);
        let Started { hub, service, client, .. } = scenario.start().await;
        Self { hub, service, client, image }
    }

    /// Kills the service and starts it again.
    fn restart(&mut self) {
        self.service.kill_and_restart();
        self.client = self.service.stranger().with_authorization(self.client.authorization());
    }

    async fn pull(&self, reference: &str) -> Answer {
        self.client.manifest("team", "alpine", reference).await
    }

    /// Pulls the tag, and checks that the response is this image, with this cache status.
    async fn gives(&self, image: &Image, word: &str) -> Answer {
        let answer = self.pull("latest").await;
        assert_eq!((answer.status, answer.header("x-cache")), (200, word), "{}", answer.text());
        assert_eq!(&answer.body, image.bytes());
        assert_eq!(answer.header("docker-content-digest"), image.digest());
        assert_eq!(answer.header("content-type"), image.media_type());
        answer
    }

    fn heads(&self) -> usize {
        self.hub.requests().of(Kind::ManifestHead)
    }

    fn gets(&self) -> usize {
        self.hub.requests().of(Kind::ManifestGet)
    }

    /// Returns the number of upstream requests for this response, from the log.
    async fn upstream_calls(&self, answer: &Answer) -> u64 {
        for _ in 0..1_000 {
            let log = self.service.log();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            // The line of the pull, or of its refusal.
            let mut lines = lines.filter(|line| line["upstream_calls"].is_u64());
            if let Some(line) = lines.find(|line| line["span"]["id"] == answer.header("x-request-id")) {
                return line["upstream_calls"].as_u64().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("no line for {answer:?}")
    }
}

#[actix_rt::test]
async fn a_fresh_tag_asks_nobody() {
    let scene = Scene::start(LONG_TTL).await;
    let first = scene.gives(&scene.image, "miss").await;
    assert_eq!(first.header("age"), "0");
    assert_eq!(scene.upstream_calls(&first).await, 1);
    scene.hub.reset_counts();
    let later = scene.gives(&scene.image, "hit").await;
    assert!(later.header("age").parse::<u64>().is_ok());
    assert_eq!(scene.client.manifest_head("team", "alpine", "latest").await.header("x-cache"), "hit");
    assert_eq!(scene.upstream_calls(&later).await, 0);
    assert_eq!(scene.pull(scene.image.digest()).await.header("x-cache"), "hit");
    assert_eq!(scene.hub.requests().total(), 0);
}

#[actix_rt::test]
async fn a_stale_tag_asks_once_by_head_and_is_fetched_if_it_moved() {
    let scene = Scene::start(REVALIDATE_ALWAYS).await;
    scene.gives(&scene.image, "miss").await;
    scene.hub.reset_counts();
    let same = scene.gives(&scene.image, "revalidated").await;
    assert_eq!((scene.heads(), scene.gets()), (1, 0));
    assert_eq!(scene.upstream_calls(&same).await, 1);
    let moved = Image::single(&[Layer::random(1_000, 2)]);
    scene.hub.push_image("library/alpine", "latest", &moved);
    let new = scene.gives(&moved, "miss").await;
    assert_eq!((scene.heads(), scene.gets()), (2, 1));
    assert_eq!(scene.upstream_calls(&new).await, 2);
    // Back to the stored manifest: nothing has to be downloaded.
    scene.hub.move_tag("library/alpine", "latest", scene.image.digest());
    scene.gives(&scene.image, "revalidated").await;
    assert_eq!((scene.heads(), scene.gets()), (3, 1));
}

#[actix_rt::test]
async fn a_digest_is_never_revalidated() {
    let scene = Scene::start(REVALIDATE_ALWAYS).await;
    assert_eq!(scene.pull(scene.image.digest()).await.header("x-cache"), "miss");
    scene.hub.reset_counts();
    let again = scene.pull(scene.image.digest()).await;
    assert_eq!((again.header("x-cache"), again.header("age")), ("hit", ""));
    assert_eq!(scene.hub.requests().total(), 0);
}

#[actix_rt::test]
async fn only_a_404_is_believed_for_a_while() {
    let scene = Scene::start(REVALIDATE_ALWAYS).await;
    for _ in 0..3 {
        assert_eq!(scene.pull("nope").await.status, 404);
    }
    assert_eq!(scene.hub.requests().manifest_gets("library/alpine", "nope"), 1);
    scene.hub.on(Kind::ManifestGet).for_reference("refused").status(403);
    for _ in 0..3 {
        assert_eq!(scene.pull("refused").await.status, 403);
    }
    // At each pull, and at the first one with a new token, too: the stored token might have expired.
    assert_eq!(scene.hub.requests().manifest_gets("library/alpine", "refused"), 4);
}

#[actix_rt::test]
async fn a_head_of_an_unknown_tag_is_one_head_and_what_follows_can_be_served_without_upstream() {
    let scene = Scene::start(LONG_TTL).await;
    let head = scene.client.manifest_head("team", "alpine", "latest").await;
    assert_eq!((head.status, head.header("x-cache")), (200, "miss"));
    assert_eq!(head.header("docker-content-digest"), scene.image.digest());
    assert_eq!(head.header("content-length"), scene.image.bytes().len().to_string());
    assert_eq!((scene.heads(), scene.gets()), (1, 0));
    assert_eq!(scene.pull(scene.image.digest()).await.header("x-cache"), "miss");
    assert_eq!((scene.heads(), scene.gets()), (1, 1));
    scene.hub.down(Listener::Registry);
    scene.gives(&scene.image, "hit").await;
}

#[actix_rt::test]
async fn each_upstream_may_have_a_freshness_of_its_own() {
    let scene = Scene::start("tag_freshness = 0\n[cache]\ntag_freshness = \"1h\"").await;
    scene.gives(&scene.image, "miss").await;
    scene.gives(&scene.image, "revalidated").await;
}

#[actix_rt::test]
async fn a_hanging_upstream_costs_one_pull_the_timeout_and_the_next_ones_nothing() {
    let scene = Scene::start(REVALIDATE_ALWAYS).await;
    scene.gives(&scene.image, "miss").await;
    for kind in [Kind::ManifestHead, Kind::ManifestGet] {
        scene.hub.on(kind).hang();
    }
    scene.hub.reset_counts();
    let began = Instant::now();
    scene.gives(&scene.image, "stale").await;
    let first = began.elapsed();
    assert!(first >= Duration::from_millis(900), "{first:?}");
    let began = Instant::now();
    for _ in 0..20 {
        scene.gives(&scene.image, "stale").await;
    }
    assert!(began.elapsed() < first * 10, "{:?} for all, {first:?} for the first", began.elapsed());
    assert_eq!(scene.heads(), 1);
    // A response to another request ends the backoff.
    scene.hub.behave();
    assert_eq!(scene.pull("nope").await.status, 404);
    scene.gives(&scene.image, "revalidated").await;
}

#[actix_rt::test]
async fn in_an_outage_pulls_of_what_is_not_cached_fail_without_a_request_until_upstream_is_tried_again() {
    let scene = Scene::start(REVALIDATE_ALWAYS).await;
    scene.hub.on_anything().reset();
    // The pauses after the failures are 1, 2 and 4 seconds.
    for pause in [1100, 2100, 0] {
        let refused = scene.pull("latest").await;
        assert_eq!((refused.status, scene.upstream_calls(&refused).await), (503, 1), "{}", refused.message());
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    let sent = scene.hub.requests().total();
    for tag in ["latest", "other"] {
        let refused = scene.pull(tag).await;
        assert_eq!((refused.status, scene.upstream_calls(&refused).await), (503, 0), "{}", refused.message());
        assert!(refused.message().contains("docker.io cannot be reached"), "{refused:?}");
    }
    assert_eq!(scene.hub.requests().total(), sent);
    scene.hub.behave();
    eventually("upstream is tried again", async || scene.pull("latest").await.status == 200).await;
    scene.gives(&scene.image, "revalidated").await;
}

#[actix_rt::test]
async fn after_a_restart_everything_is_there_while_upstream_is_down() {
    let mut scene = Scene::start(REVALIDATE_ALWAYS).await;
    scene.gives(&scene.image, "miss").await;
    let layer = scene.image.layers()[0].clone();
    assert_eq!(scene.client.blob("team", "alpine", layer.digest()).await.status, 200);
    scene.hub.down(Listener::Registry);
    for index in ["kept", "lost", "damaged"] {
        assert!(scene.service.stop().success());
        let folder = scene.service.data().join("index");
        match index {
            "lost" => std::fs::remove_dir_all(&folder).unwrap(),
            "damaged" => damage(&folder),
            _ => {}
        }
        scene.service.restart();
        let token = scene.service.api("GET", "/user", serde_json::Value::Null).await;
        assert_eq!(token.status, 200);
        let team = scene.service.api("GET", "/groups/team", serde_json::Value::Null).await.json();
        let team = crate::service::Group { id: team["id"].as_u64().unwrap(), path: "team".to_owned() };
        let token = scene.service.deploy_token(&team, index).await;
        scene.client = scene.service.log_in_with(&token).await;
        scene.gives(&scene.image, "stale").await;
        assert_eq!(scene.pull(scene.image.digest()).await.header("x-cache"), "hit");
        let blob = scene.client.blob("team", "alpine", layer.digest()).await;
        assert_eq!((blob.status, blob.header("x-cache")), (200, "hit"));
        assert_eq!(blob.body, layer.bytes());
    }
}

/// Overwrites the beginning of every file.
fn damage(folder: &std::path::Path) {
    for file in crate::faults::files(folder) {
        let mut bytes = std::fs::read(&file).unwrap();
        let damaged = bytes.len().min(4096);
        bytes[..damaged].fill(0xa5);
        std::fs::write(&file, bytes).unwrap();
    }
}

#[actix_rt::test]
async fn a_long_manifest_is_passed_on_verified_and_not_stored() {
    let scene = Scene::start("[cache]\nmax_manifest_bytes = 100\ntag_freshness = 0").await;
    for gets in 1..3 {
        scene.gives(&scene.image, "miss").await;
        assert_eq!(scene.gets(), gets);
    }
    assert!(!crate::faults::is_stored(&scene.service, "manifests", scene.image.digest()));
    scene.hub.on(Kind::ManifestGet).flip_byte(20);
    assert_eq!(scene.pull("latest").await.status, 503);
    assert_eq!(scene.pull(scene.image.digest()).await.status, 503);
}

#[actix_rt::test]
async fn a_tag_that_moved_to_what_cannot_be_fetched_is_served_as_it_was() {
    let scene = Scene::start(REVALIDATE_ALWAYS).await;
    scene.gives(&scene.image, "miss").await;
    scene.hub.push_image("library/alpine", "latest", &Image::single(&[Layer::random(10, 5)]));
    scene.hub.on(Kind::ManifestGet).too_many_requests(5);
    scene.hub.reset_counts();
    scene.gives(&scene.image, "stale").await;
    assert_eq!(scene.gets(), 1, "nobody waits for a limit with something to serve");
}
