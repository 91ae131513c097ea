//! Mirrors of an upstream: their order, what they do not have or cannot deliver, and what they must not see.

mod accounts;
mod content;
mod outages;
mod pauses;

use fake_registry::{Authorization, FakeRegistry, Image, Kind, Layer, Listener};

use super::{REVALIDATE, is_image};
use crate::faults::assert_store_is_clean;
use crate::real_clients::{Credential, DebianRegistry};
use crate::service::{Answer, Client, Config, Service, eventually};

const ACCOUNT: &str = "username = \"robot\"\npassword = \"the-robots-password\"\ngroups = [\"team\"]";

/// A service in front of a registry and its mirrors.
struct Scene {
    own: FakeRegistry,
    service: Service,
    client: Client,
}

/// Starts a registry that serves blobs itself and requires no token.
fn open_registry() -> FakeRegistry {
    let registry = FakeRegistry::start();
    registry.require_auth(false);
    registry.redirect_blobs(false);
    registry
}

/// Returns the address of a registry at another host name, which is that of no account.
fn foreign(registry: &FakeRegistry) -> String {
    registry.url().replace("127.0.0.1", "localhost")
}

impl Scene {
    async fn start(own: FakeRegistry, mirrors: &[String], lines: &str) -> Self {
        Self::with_realms(own, &[], mirrors, lines).await
    }

    /// Starts the same scene, with mirrors that may refer to these realms.
    async fn with_realms(own: FakeRegistry, realms_of: &[&FakeRegistry], mirrors: &[String], lines: &str) -> Self {
        let realms: Vec<_> = [&own].iter().chain(realms_of).map(|registry| registry.host(Listener::Realm)).collect();
        let storage = own.host(Listener::Storage);
        let service = Config::upstream_at("docker.io", &own.url())
            .and(&format!("auth_hosts = {realms:?}\nredirect_hosts = [\"{storage}\"]\nmirrors = {mirrors:?}"))
            .and(&format!("{lines}\n{REVALIDATE}"))
            .start();
        let team = service.group("team").await;
        let token = service.deploy_token(&team, "ci").await;
        let client = service.log_in_with(&token).await;
        Self { own, service, client }
    }

    async fn pull(&self, image: &str) -> Answer {
        self.client.manifest("team", image, "1").await
    }

    async fn blob(&self, image: &str, layer: &Layer) -> Answer {
        self.client.blob("team", image, layer.digest()).await
    }

    /// Pulls the layer, which must come whole.
    async fn gives(&self, image: &str, layer: &Layer) {
        let answer = self.blob(image, layer).await;
        assert_eq!((answer.status, answer.cut), (200, false), "{}", answer.text());
        assert!(answer.body == layer.bytes());
    }

    async fn metrics(&self) -> String {
        reqwest::get(format!("http://{}/metrics", self.service.metrics)).await.unwrap().text().await.unwrap()
    }

    /// Returns the number of requests to this mirror with this outcome.
    async fn outcomes(&self, mirror: &str, outcome: &str) -> u64 {
        let labels = format!("upstream=\"docker.io\",mirror=\"{mirror}\",outcome=\"{outcome}\"");
        let line = format!("dependency_proxy_mirror_requests_total{{{labels}}} ");
        let metrics = self.metrics().await;
        metrics.lines().find_map(|text| text.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
    }
}

fn image(seed: u64) -> Image {
    Image::single(&[Layer::random(100_000, seed)])
}

#[actix_rt::test]
async fn what_a_mirror_does_not_have_comes_from_the_next_and_the_registry_itself_is_the_last() {
    let (own, first, second) = (FakeRegistry::start(), open_registry(), open_registry());
    let images = [image(1), image(2), image(3)];
    for (number, registries) in [vec![&own, &second, &first], vec![&own, &second], vec![&own]].iter().enumerate() {
        for registry in registries {
            registry.push_image(&format!("acme/{number}"), "1", &images[number]);
        }
    }
    let scene = Scene::start(own, &[first.url(), second.url()], "").await;
    for (number, image) in images.iter().enumerate() {
        let name = format!("acme/{number}");
        is_image(&scene.pull(&name).await, image);
        scene.gives(&name, &image.layers()[0]).await;
        let tags = scene.client.get(&format!("/v2/team/dependency_proxy/containers/{name}/tags/list")).await;
        assert_eq!(tags.json()["tags"], serde_json::json!(["1"]), "{}", tags.text());
        let served = |registry: &FakeRegistry| {
            let requests = registry.requests();
            let digest = image.layers()[0].digest();
            (requests.manifest_gets(&name, "1"), requests.blob_downloads(digest))
        };
        let all = [served(&first), served(&second), served(&scene.own)];
        assert_eq!(all[number], (1, 1), "{all:?}");
        // Those before it got a request in vain, and those after it got none.
        assert!(all[number + 1..].iter().all(|served| *served == (0, 0)), "{all:?}");
        assert_eq!(served(&first).0, 1);
    }
    let names = [first.host(Listener::Registry), second.host(Listener::Registry)];
    assert!(scene.outcomes(&names[0], "not_found").await > 0 && scene.outcomes(&names[1], "ok").await > 0);
    assert_eq!(scene.outcomes(&names[0], "failed").await, 0);
}

#[actix_rt::test]
async fn a_range_and_the_tag_of_a_cached_image_are_requested_from_the_mirror_as_well() {
    let (own, mirror) = (FakeRegistry::start(), open_registry());
    let image = image(1);
    [&own, &mirror].iter().for_each(|registry| drop(registry.push_image("acme/app", "1", &image)));
    let scene = Scene::start(own, &[mirror.url()], "").await;
    is_image(&scene.pull("acme/app").await, &image);
    let again = scene.pull("acme/app").await;
    assert_eq!(again.header("x-cache"), "revalidated");
    let path = format!("/v2/team/dependency_proxy/containers/acme/app/blobs/{}", image.layers()[0].digest());
    let range = scene.client.request(reqwest::Method::GET, &path).header("range", "bytes=10-19");
    let part = scene.client.send(range).await;
    assert_eq!((part.status, &part.body[..]), (206, &image.layers()[0].bytes()[10..20]));
    assert!(mirror.requests().manifest_heads("acme/app", "1") > 0);
    assert_eq!(scene.own.requests().total(), 0);
}

#[actix_rt::test]
async fn a_mirror_decides_neither_that_there_is_no_image_nor_that_it_is_refused() {
    for status in [401, 403, 404, 405, 429, 500, 503] {
        let (own, mirror) = (FakeRegistry::start(), open_registry());
        let image = image(1);
        own.push_image("acme/app", "1", &image);
        mirror.on_anything().status(status);
        let scene = Scene::start(own, &[mirror.url()], "").await;
        is_image(&scene.pull("acme/app").await, &image);
        scene.gives("acme/app", &image.layers()[0]).await;
        let missing = scene.pull("acme/missing").await;
        assert_eq!(missing.status, 403, "as Docker Hub itself refuses: {}", missing.text());
        assert!(mirror.requests().total() > 0);
    }
}

#[actix_rt::test]
async fn the_next_page_of_a_list_comes_from_the_registry_that_sent_the_pages_before() {
    let (own, mirror) = (FakeRegistry::start(), open_registry());
    for (registry, tags) in [(&own, ["a", "b", "c"]), (&mirror, ["x", "y", "z"])] {
        tags.iter().for_each(|tag| drop(registry.push_image("acme/app", tag, &image(1))));
        registry.page_by("next_page", 2);
    }
    own.push_image("acme/alone", "1", &image(1));
    let scene = Scene::start(own, &[mirror.url()], "").await;
    let first = scene.client.get("/v2/team/dependency_proxy/containers/acme/app/tags/list").await;
    assert_eq!(first.json()["tags"], serde_json::json!(["x", "y"]));
    let second = scene.client.get(&next_page(&first)).await;
    assert_eq!((second.json()["tags"].clone(), second.header("link")), (serde_json::json!(["z"]), ""));
    assert_eq!(scene.own.requests().total(), 0);
    mirror.down(Listener::Registry);
    let lost = scene.client.get(&next_page(&first)).await;
    assert_eq!((lost.status, scene.own.requests().total()), (503, 0), "{}", lost.text());
    // Begun at the registry itself, while the mirror is away.
    let first = scene.client.get("/v2/team/dependency_proxy/containers/acme/app/tags/list").await;
    assert_eq!(first.json()["tags"], serde_json::json!(["a", "b"]));
    mirror.up(Listener::Registry);
    mirror.reset_counts();
    let second = scene.client.get(&next_page(&first)).await;
    assert_eq!((second.json()["tags"].clone(), mirror.requests().total()), (serde_json::json!(["c"]), 0));
}

/// Returns the path of the next page; empty where there is none.
fn next_page(page: &Answer) -> String {
    page.header("link").trim_start_matches('<').split('>').next().unwrap_or_default().to_owned()
}
