//! Cached content that replicas share: what one has cached all serve, also while upstream is down, and what one has
//! removed is gone everywhere. The bucket grants no group anything, and nothing wrong in it is given out.

mod keeping;
mod outages;
mod pulls;
mod redirects;
mod removals;
mod tags;

use std::time::Duration;

use engines::Bucket;
use fake_registry::{Image, Kind, Layer, Listener};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Fleet, Mode};
use crate::operating::metrics::metric;
use crate::service::{Client, Group, Service, Token, eventually};

/// A fleet whose clients may pull an image.
struct Scene {
    fleet: Fleet,
    image: Image,
    layer: Layer,
    token: Token,
}

/// Length of the layer: more than one part of an upload.
const LENGTH: u64 = 9 << 20;

const IMAGES: &str = "/groups/team/dependency_proxy/images";

impl Scene {
    async fn of(replicas: usize) -> Self {
        Self::with(replicas, "[cache]\ntag_freshness = \"1h\"").await
    }

    async fn with(replicas: usize, settings: &str) -> Self {
        let fleet = Fleet::with(replicas, settings);
        let layer = Layer::random(LENGTH, 5);
        let image = Image::single(std::slice::from_ref(&layer));
        fleet.hub.push_image("library/app", "1", &image);
        let group = fleet.service(0).group("team").await;
        let token = fleet.service(0).deploy_token(&group, "ci").await;
        Self { fleet, image, layer, token }
    }

    async fn client(&self, replica: usize) -> Client {
        self.fleet.service(replica).log_in_with(&self.token).await
    }

    /// Returns a client of the first replica with another credential.
    async fn other_client(&self) -> Client {
        let service = self.fleet.service(0);
        let id = service.api("GET", "/groups/team", Value::Null).await.json()["id"].as_u64().unwrap();
        let group = Group { id, path: "team".to_owned() };
        service.log_in_with(&service.deploy_token(&group, "other").await).await
    }

    /// Pulls the image at a replica, and checks its bytes.
    async fn pull(&self, replica: usize) {
        let client = self.client(replica).await;
        let answer = client.manifest("team", "app", "1").await;
        assert_eq!((answer.status, &answer.body), (200, self.image.bytes()), "replica {replica}: {}", answer.text());
        for (digest, bytes) in self.image.blobs().map(|blob| (blob.digest(), blob.bytes())) {
            let answer = client.blob("team", "app", digest).await;
            assert_eq!((answer.status, answer.cut), (200, false), "replica {replica}");
            assert!(answer.body == bytes, "other bytes than upstream's");
        }
    }

    /// Waits until this number of contents is in the bucket: the manifest, the configuration and the layer.
    async fn uploaded(&self, contents: usize) {
        let count = async || self.fleet.database.query("SELECT count(*) FROM object") == contents.to_string();
        eventually("the content is in the bucket", count).await;
    }

    /// Overwrites the object of the layer in the bucket.
    fn overwrite_layer(&self, content: &str) {
        let digest = self.layer.digest().trim_start_matches("sha256:");
        let name = self.fleet.database.query(&format!("SELECT name FROM object WHERE digest = '\\x{digest}'"));
        Bucket::shared().put(&format!("{}/blobs/{name}", self.fleet.prefix), content);
    }

    fn upstream_is_down(&self) {
        for listener in [Listener::Registry, Listener::Realm, Listener::Storage] {
            self.fleet.hub.down(listener);
        }
    }

    /// Lets the tag stand for another image, which the first replica pulls, and waits until all know it.
    async fn tag_moves(&self) -> Image {
        let moved = Image::single(&[Layer::random(1_000, 6)]);
        self.fleet.hub.push_image("library/app", "1", &moved);
        let service = self.fleet.service(0);
        let refreshed = service.api("POST", "/groups/team/dependency_proxy/refresh/app:1", json!({})).await;
        assert!(refreshed.status < 300, "{}", refreshed.text());
        let client = self.client(0).await;
        client.manifest("team", "app", "1").await;
        for digest in moved.blobs().map(Layer::digest) {
            assert_eq!(client.blob("team", "app", digest).await.status, 200);
        }
        let count = async || self.fleet.database.query("SELECT count(*) FROM earlier") == "1";
        eventually("the index has what the tag stood for", count).await;
        moved
    }

    async fn served_from(&self, replica: usize, role: &str) -> u64 {
        let sample = format!("dependency_proxy_fleet_downloads_total{{role=\"{role}\"}}");
        metric(self.fleet.service(replica), &sample).await
    }
}

async fn tags(service: &Service) -> Vec<Value> {
    let images = service.api("GET", IMAGES, Value::Null).await.json();
    images.as_array().unwrap().iter().map(|image| image["tag"].clone()).collect()
}

#[actix_rt::test]
async fn what_one_replica_has_cached_another_serves_while_upstream_is_down() {
    let mut scene = Scene::of(2).await;
    scene.pull(0).await;
    scene.uploaded(3).await;
    scene.upstream_is_down();
    // Also without the replica that has it: its bytes come from the bucket.
    scene.fleet.replicas[0].service.stop();
    scene.pull(1).await;
    assert_eq!(scene.served_from(1, "bucket").await, 2, "the configuration and the layer come from the bucket");
}

#[actix_rt::test]
async fn the_bucket_grants_a_group_nothing_that_upstream_has_not_confirmed_to_it() {
    let scene = Scene::of(2).await;
    scene.pull(0).await;
    scene.uploaded(3).await;
    let other = scene.fleet.service(1).group("other").await;
    let token = scene.fleet.service(1).deploy_token(&other, "ci").await;
    let client = scene.fleet.service(1).log_in_with(&token).await;
    let (hub, digest) = (&scene.fleet.hub, scene.layer.digest());
    hub.on(Kind::BlobHead).refusal(403, "DENIED", "not for you");
    hub.on(Kind::BlobDownload).refusal(403, "DENIED", "not for you");
    let refused = client.blob("other", "app", digest).await;
    assert_ne!(refused.status, 200, "upstream refuses it to this group");
    hub.behave();
    hub.reset_counts();
    let answer = client.blob("other", "app", digest).await;
    assert_eq!((answer.status, answer.body == scene.layer.bytes()), (200, true));
    assert_eq!(hub.requests().blob_heads("library/app", digest), 1, "upstream has confirmed it");
    assert_eq!(hub.requests().blob_downloads(digest), 0, "the bytes come from the bucket");
}

#[actix_rt::test]
async fn an_object_with_other_content_is_given_to_nobody_as_if_it_were_right() {
    let scene = Scene::of(2).await;
    scene.pull(0).await;
    scene.uploaded(3).await;
    scene.overwrite_layer(&"x".repeat(LENGTH as usize));
    let client = scene.client(1).await;
    let answer = client.blob("team", "app", scene.layer.digest()).await;
    assert!(answer.cut, "the response ends before its last byte");
    assert!(answer.body.len() < LENGTH as usize);
    eventually("the object is not used any more", async || {
        scene.fleet.database.query("SELECT count(*) FROM object") == "2"
    })
    .await;
    let answer = client.blob("team", "app", scene.layer.digest()).await;
    assert_eq!((answer.status, answer.body == scene.layer.bytes()), (200, true));
    assert_eq!(metric(scene.fleet.service(1), "dependency_proxy_fleet_wrong_objects_total").await, 1);
}

#[actix_rt::test]
async fn a_replica_with_the_cache_of_other_identities_gives_its_content_to_nobody() {
    let mut scene = Scene::of(2).await;
    scene.pull(0).await;
    eventually("it has taken the image over", async || tags(scene.fleet.service(1)).await == ["1"]).await;
    scene.fleet.replicas[1].service.stop();
    // As in a folder that was used without a fleet, where the same number was that of another group.
    std::fs::remove_file(scene.fleet.service(1).data().join("cache/fleet-content")).unwrap();
    scene.fleet.database.query("DELETE FROM image; DELETE FROM link; DELETE FROM tag");
    scene.fleet.replicas[1].service.restart();
    assert!(tags(scene.fleet.service(1)).await.is_empty());
    assert!(scene.fleet.service(1).log().contains("belongs to no state of the fleet's index"));
}

#[actix_rt::test]
async fn a_pin_holds_at_every_replica() {
    let scene = Scene::of(2).await;
    scene.pull(0).await;
    let pinned = scene.fleet.service(0).api("PUT", &format!("{IMAGES}/app:1"), json!({"pinned": true})).await;
    assert!(pinned.status < 300, "{}", pinned.text());
    let is_pinned = async || {
        let images = scene.fleet.service(1).api("GET", IMAGES, Value::Null).await.json();
        images[0]["pinned"] == true
    };
    eventually("the other replica shows the pin", is_pinned).await;
}
