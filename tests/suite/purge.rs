//! The content that purging a group removes, the content that stays, and that a deleted group leaves nothing.

use fake_registry::{FakeRegistry, Image, Kind, Layer, Listener};

use serde_json::Value;

use crate::faults::{assert_store_is_clean, files, is_stored};
use crate::service::{Client, Config, Group, Service, eventually};

struct Scene {
    hub: FakeRegistry,
    service: Service,
    /// Image that both groups pulled.
    shared: Image,
    /// Image that only `one` pulled.
    own: Image,
    one: (Group, Client),
    other: (Group, Client),
}

impl Scene {
    async fn start() -> Self {
        let hub = FakeRegistry::start();
        let shared = Image::single(&[Layer::random(3_000, 1)]);
        let own = Image::single(&[Layer::random(3_000, 2)]);
        hub.push_image("library/shared", "latest", &shared);
        hub.push_image("library/own", "latest", &own);
        let service = Config::docker_hub(&hub).and("[cache]\ntag_freshness = \"1h\"").start();
        let one = member(&service, "one").await;
        let other = member(&service, "other").await;
        pull(&one, "shared", &shared, "").await;
        pull(&one, "own", &own, "").await;
        pull(&other, "shared", &shared, "").await;
        for (member, name, image) in [(&one, "shared", &shared), (&one, "own", &own), (&other, "shared", &shared)] {
            let digest = image.layers()[0].digest();
            member.1.stored_blob(&member.0.path, name, digest).await;
        }
        hub.reset_counts();
        Self { hub, service, shared, own, one, other }
    }

    fn layers(&self, image: &Image) -> Vec<(&'static str, String)> {
        let layer = image.layers()[0].digest().to_owned();
        vec![("manifests", image.digest().to_owned()), ("blobs", layer)]
    }

    fn has(&self, image: &Image) -> bool {
        self.layers(image).iter().any(|(kind, digest)| is_stored(&self.service, kind, digest))
    }

    fn small_files(&self, group: &Group) -> usize {
        files(&self.service.data().join("cache/groups").join(group.id.to_string())).len()
    }

    /// Checks that only the content of `one` is removed, and shared content stays available to the other group.
    async fn only_ones_cache_goes(&self) {
        until(|| !self.has(&self.own) && self.small_files(&self.one.0) == 0).await;
        assert!(self.layers(&self.shared).iter().all(|(kind, digest)| is_stored(&self.service, kind, digest)));
        pull(&self.other, "shared", &self.shared, "hit").await;
        assert_eq!(self.hub.requests().total(), 0);
    }
}

async fn member(service: &Service, path: &str) -> (Group, Client) {
    let group = service.group(path).await;
    let token = service.deploy_token(&group, "ci").await;
    let client = service.log_in_with(&token).await;
    (group, client)
}

/// Pulls the manifest and its layer, and checks their cache status if a word is given.
async fn pull((group, client): &(Group, Client), name: &str, image: &Image, word: &str) {
    let manifest = client.manifest(&group.path, name, "latest").await;
    assert_eq!((manifest.status, &manifest.body), (200, image.bytes()), "{}", manifest.text());
    let blob = client.settled_blob(&group.path, name, image.layers()[0].digest()).await;
    assert_eq!((blob.status, blob.body.as_ref()), (200, image.layers()[0].bytes().as_slice()));
    if !word.is_empty() {
        assert_eq!((manifest.header("x-cache"), blob.header("x-cache")), (word, word));
    }
}

async fn until(mut holds: impl FnMut() -> bool) {
    eventually("the purge has its effect", async || holds()).await;
}

#[actix_rt::test]
async fn a_purge_takes_what_the_group_has_and_leaves_what_others_have() {
    let scene = Scene::start().await;
    let path = format!("/groups/{}/dependency_proxy/cache", scene.one.0.id);
    assert_eq!(scene.service.api("DELETE", &path, Value::Null).await.status, 202);
    scene.only_ones_cache_goes().await;
    // The links are gone: upstream is requested again, once for each, and only missing content is downloaded.
    let blob = scene.one.1.blob("one", "shared", scene.shared.layers()[0].digest()).await;
    assert_eq!((blob.status, blob.header("x-cache")), (200, "revalidated"));
    let tag = scene.one.1.manifest("one", "shared", "latest").await;
    assert_eq!((tag.status, tag.header("x-cache")), (200, "revalidated"));
    assert_eq!((scene.hub.requests().of(Kind::ManifestHead), scene.hub.requests().of(Kind::ManifestGet)), (1, 0));
    pull(&scene.one, "own", &scene.own, "miss").await;
    pull(&scene.one, "own", &scene.own, "hit").await;
}

#[actix_rt::test]
async fn a_blob_can_be_had_right_after_a_purge() {
    let scene = Scene::start().await;
    let path = format!("/groups/{}/dependency_proxy/cache", scene.one.0.id);
    for _ in 0..5 {
        assert_eq!(scene.service.api("DELETE", &path, Value::Null).await.status, 202);
        let blob = scene.one.1.blob("one", "own", scene.own.layers()[0].digest()).await;
        assert_eq!((blob.status, blob.body.as_ref()), (200, scene.own.layers()[0].bytes().as_slice()));
        pull(&scene.one, "own", &scene.own, "").await;
    }
}

#[actix_rt::test]
async fn purges_while_both_groups_pull_take_nothing_from_the_other() {
    let scene = Scene::start().await;
    let path = format!("/groups/{}/dependency_proxy/cache", scene.one.0.id);
    for round in 0..10 {
        let image = Image::single(&[Layer::random(3_000, 100 + round)]);
        let name = format!("round-{round}");
        scene.hub.push_image(&format!("library/{name}"), "latest", &image);
        let pulls = async { tokio::join!(pull(&scene.one, &name, &image, ""), pull(&scene.other, &name, &image, "")) };
        let purge = async { assert_eq!(scene.service.api("DELETE", &path, Value::Null).await.status, 202) };
        tokio::join!(pulls, purge);
        pull(&scene.one, "own", &scene.own, "").await;
    }
    scene.hub.down(Listener::Registry);
    pull(&scene.other, "shared", &scene.shared, "hit").await;
    assert_store_is_clean(&scene.service).await;
    assert!(!scene.service.log().contains("could not be purged"));
}

#[actix_rt::test]
async fn a_deleted_group_leaves_nothing_nor_do_those_below_it() {
    let mut scene = Scene::start().await;
    let below = member(&scene.service, "one/below").await;
    let deep = Image::single(&[Layer::random(3_000, 3)]);
    scene.hub.push_image("library/deep", "latest", &deep);
    pull(&below, "deep", &deep, "miss").await;
    pull(&below, "deep", &deep, "hit").await;
    scene.hub.reset_counts();
    let answer = scene.service.api("DELETE", &format!("/groups/{}", scene.one.0.id), Value::Null).await;
    assert_eq!(answer.status, 202);
    scene.only_ones_cache_goes().await;
    until(|| !scene.has(&deep) && scene.small_files(&below.0) == 0).await;
    assert!(scene.service.stop().success());
    // Leftovers of a deleted group, from a crash or a late pull, are removed at the next start.
    let leftover = scene.service.data().join("cache/groups").join(scene.one.0.id.to_string()).join("links/ab/cd.json");
    std::fs::create_dir_all(leftover.parent().unwrap()).unwrap();
    std::fs::write(&leftover, "{}").unwrap();
    scene.service.restart();
    until(|| scene.small_files(&scene.one.0) == 0).await;
    assert!(scene.small_files(&scene.other.0) > 0);
}

#[actix_rt::test]
async fn a_purge_that_was_accepted_happens_although_the_process_is_killed() {
    let mut scene = Scene::start().await;
    let path = format!("/groups/{}/dependency_proxy/cache", scene.one.0.id);
    assert_eq!(scene.service.api("DELETE", &path, Value::Null).await.status, 202);
    scene.service.kill_and_restart();
    until(|| !scene.has(&scene.own) && scene.small_files(&scene.one.0) == 0).await;
    assert!(scene.has(&scene.shared), "the other group has it");
}
