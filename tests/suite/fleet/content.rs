//! Cached content that replicas share: what one has cached all serve, also while upstream is down, and what one has
//! removed is gone everywhere. The bucket grants no group anything, and nothing wrong in it is given out.

use std::time::Duration;

use engines::Bucket;
use fake_registry::{Image, Kind, Layer, Listener};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Fleet, Mode};
use crate::operating::metrics::metric;
use crate::service::{Client, Service, Token, eventually};

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

    fn upstream_is_down(&self) {
        for listener in [Listener::Registry, Listener::Realm, Listener::Storage] {
            self.fleet.hub.down(listener);
        }
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
async fn a_replica_lists_and_removes_what_others_have_cached() {
    let scene = Scene::of(3).await;
    scene.pull(0).await;
    for replica in 0..3 {
        let service = scene.fleet.service(replica);
        eventually("it lists the image", async || tags(service).await == ["1"]).await;
    }
    // All that another replica needs is in the bucket: it would serve it without upstream.
    scene.uploaded(3).await;
    scene.pull(2).await;
    let removed = scene.fleet.service(1).api("DELETE", &format!("{IMAGES}/app:1"), Value::Null).await;
    assert_eq!(removed.status, 204, "{}", removed.text());
    for replica in 0..3 {
        let service = scene.fleet.service(replica);
        eventually("the image is gone", async || tags(service).await.is_empty()).await;
    }
    assert_eq!(scene.fleet.database.query("SELECT count(*) FROM link"), "0");
    scene.upstream_is_down();
    for replica in 0..3 {
        let client = scene.client(replica).await;
        assert_eq!(client.manifest("team", "app", "1").await.status, 503, "replica {replica}");
        assert_eq!(client.blob("team", "app", scene.layer.digest()).await.status, 503, "replica {replica}");
    }
}

#[actix_rt::test]
async fn an_image_goes_with_what_it_names_before_its_manifest_is_in_the_bucket() {
    let scene = Scene::of(2).await;
    for replica in &scene.fleet.replicas {
        replica.to_bucket.set(Mode::Refuse);
        replica.to_bucket.cut();
    }
    scene.pull(0).await;
    let links = async || scene.fleet.database.query("SELECT count(*) FROM link") == "3";
    eventually("the links are shared", links).await;
    let removed = scene.fleet.service(0).api("DELETE", &format!("{IMAGES}/app:1"), Value::Null).await;
    assert_eq!(removed.status, 204, "{}", removed.text());
    assert_eq!(scene.fleet.database.query("SELECT count(*) FROM link"), "0");
}

#[actix_rt::test]
async fn a_cleared_cache_is_cleared_at_every_replica() {
    let scene = Scene::of(2).await;
    scene.pull(0).await;
    scene.uploaded(3).await;
    scene.pull(1).await;
    let cleared = scene.fleet.service(1).api("DELETE", "/groups/team/dependency_proxy/cache", Value::Null).await;
    assert_eq!(cleared.status, 202, "{}", cleared.text());
    for replica in 0..2 {
        let service = scene.fleet.service(replica);
        eventually("the image is gone", async || tags(service).await.is_empty()).await;
    }
    scene.upstream_is_down();
    let client = scene.client(0).await;
    eventually("it is not served any more", async || client.manifest("team", "app", "1").await.status == 503).await;
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
    let name = scene.fleet.database.query(&format!(
        "SELECT name FROM object WHERE digest = '\\x{}'",
        scene.layer.digest().trim_start_matches("sha256:")
    ));
    let wrong = "x".repeat(LENGTH as usize);
    Bucket::shared().put(&format!("{}/blobs/{name}", scene.fleet.prefix), &wrong);
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
async fn what_is_pulled_while_the_bucket_is_away_is_uploaded_when_it_is_back() {
    let scene = Scene::of(2).await;
    for replica in &scene.fleet.replicas {
        replica.to_bucket.set(Mode::Refuse);
        replica.to_bucket.cut();
    }
    scene.pull(0).await;
    scene.pull(1).await;
    assert_eq!(scene.fleet.database.query("SELECT count(*) FROM object"), "0");
    scene.fleet.replicas.iter().for_each(|replica| replica.to_bucket.set(Mode::Pass));
    scene.uploaded(3).await;
}

#[actix_rt::test]
async fn what_is_pulled_while_the_database_is_away_is_shared_when_it_is_back() {
    let scene = Scene::of(2).await;
    scene.pull(1).await;
    scene.fleet.replicas[0].lose_database(Mode::Refuse);
    sleep(super::BOUND).await;
    scene.fleet.hub.push_image("library/late", "1", &scene.image);
    let client = scene.client(0).await;
    assert_eq!(client.manifest("team", "late", "1").await.status, 200);
    assert_eq!(scene.fleet.database.query("SELECT count(*) FROM image"), "1");
    scene.fleet.replicas[0].to_database.set(Mode::Pass);
    eventually("the image is shared", async || scene.fleet.database.query("SELECT count(*) FROM image") == "2").await;
    eventually("the other replica lists it", async || tags(scene.fleet.service(1)).await.len() == 2).await;
}

#[actix_rt::test]
async fn a_stale_tag_is_revalidated_once_for_all_replicas() {
    let scene =
        Scene::with(3, "[cache]\ntag_freshness = \"4s\"\nstale_while_revalidate = 0\nrevalidate_timeout = \"3s\"")
            .await;
    let mut clients = Vec::new();
    for replica in 0..3 {
        scene.pull(replica).await;
        clients.push(scene.client(replica).await);
    }
    sleep(Duration::from_secs(5)).await;
    let hub = &scene.fleet.hub;
    hub.reset_counts();
    hub.on(Kind::ManifestHead).delay(Duration::from_millis(500));
    let pulls = clients.iter().map(|client| client.manifest("team", "app", "1"));
    for answer in futures::future::join_all(pulls).await {
        assert_eq!((answer.status, &answer.body), (200, scene.image.bytes()));
    }
    assert_eq!(hub.requests().manifest_heads("library/app", "1"), 1);
    assert_eq!(hub.requests().manifest_gets("library/app", "1"), 0);
}

#[actix_rt::test]
async fn a_tag_that_has_moved_for_one_replica_has_moved_for_all() {
    let scene = Scene::of(2).await;
    scene.pull(0).await;
    scene.pull(1).await;
    let moved = Image::single(&[Layer::random(1_000, 6)]);
    scene.fleet.hub.push_image("library/app", "1", &moved);
    let refreshed = scene.fleet.service(0).api("POST", "/groups/team/dependency_proxy/refresh/app:1", json!({})).await;
    assert!(refreshed.status < 300, "{}", refreshed.text());
    let client = scene.client(1).await;
    eventually("the other replica has followed", async || {
        client.manifest("team", "app", "1").await.body == *moved.bytes()
    })
    .await;
    assert_eq!(scene.fleet.hub.requests().manifest_gets("library/app", "1"), 2, "one for each image");
}

#[actix_rt::test]
async fn a_replica_that_serves_what_a_tag_was_before_does_not_move_it_back() {
    let mut scene = Scene::of(2).await;
    scene.pull(0).await;
    scene.pull(1).await;
    scene.fleet.replicas[1].service.stop();
    let moved = Image::single(&[Layer::random(1_000, 6)]);
    scene.fleet.hub.push_image("library/app", "1", &moved);
    let refreshed = scene.fleet.service(0).api("POST", "/groups/team/dependency_proxy/refresh/app:1", json!({})).await;
    assert!(refreshed.status < 300, "{}", refreshed.text());
    scene.fleet.replicas[1].service.restart();
    // Its own index still has the earlier image, which it adds to that of the fleet when it is pulled.
    let client = scene.client(1).await;
    client.manifest("team", "app", "1").await;
    eventually("the replica has followed", async || client.manifest("team", "app", "1").await.body == *moved.bytes())
        .await;
    let image = scene.fleet.database.query("SELECT encode(digest, 'hex') FROM image WHERE reference = '1'");
    assert_eq!(format!("sha256:{}", image.trim()), moved.digest());
}

#[actix_rt::test]
async fn what_was_removed_while_a_replica_was_away_does_not_come_back_with_it() {
    let mut scene = Scene::of(2).await;
    scene.pull(0).await;
    scene.pull(1).await;
    scene.fleet.replicas[1].service.stop();
    let removed = scene.fleet.service(0).api("DELETE", &format!("{IMAGES}/app:1"), Value::Null).await;
    assert_eq!(removed.status, 204, "{}", removed.text());
    scene.fleet.replicas[1].service.restart();
    assert!(tags(scene.fleet.service(1)).await.is_empty());
    scene.upstream_is_down();
    assert_eq!(scene.client(1).await.manifest("team", "app", "1").await.status, 503);
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

/// Returns the settings by which clients of this machine are sent to the bucket.
fn redirecting(mode: &str) -> String {
    let store = Bucket::shared().address();
    format!("redirect = \"{mode}\"\nredirect_endpoint = \"http://{store}\"\nredirect_from = [\"127.0.0.0/8\"]")
}

#[actix_rt::test]
async fn clients_are_sent_to_the_bucket_where_the_settings_say_so() {
    for (mode, own, other) in [("cold", false, true), ("all", true, true), ("never", false, false)] {
        let scene = Scene::with(2, &redirecting(mode)).await;
        scene.pull(0).await;
        scene.uploaded(3).await;
        let path = format!("/v2/team/dependency_proxy/containers/app/blobs/{}", scene.layer.digest());
        for (replica, is_sent) in [(0, own), (1, other)] {
            let client = scene.client(replica).await;
            if !is_sent {
                assert_eq!(client.get_without_redirects(&path).await.status, 200, "{mode}, replica {replica}");
                continue;
            }
            // It may know from a moment ago that the bucket does not have it.
            let is_there = async || client.get_without_redirects(&path).await.status == 307;
            eventually("the client is sent to the bucket", is_there).await;
            let answer = client.get_without_redirects(&path).await;
            assert_eq!(answer.header("cache-control"), "no-store");
            assert_eq!(answer.header("docker-content-digest"), scene.layer.digest());
            // The store wants no login token, and sends ranges.
            let url = answer.header("location").to_owned();
            let store = reqwest::Client::builder().no_proxy().build().unwrap();
            let whole = store.get(&url).send().await.unwrap().bytes().await.unwrap();
            assert!(whole == scene.layer.bytes(), "other bytes");
            let part = store.get(&url).header("range", "bytes=1000-1999").send().await.unwrap();
            assert_eq!(part.status(), 206);
            assert!(part.bytes().await.unwrap() == scene.layer.bytes()[1000..2000], "other bytes");
            let changed = store.get(url.replace("X-Amz-Expires=60", "X-Amz-Expires=6000")).send().await.unwrap();
            assert_eq!(changed.status(), 403, "the URL is signed with its lifetime");
        }
        let client = scene.client(1).await;
        assert_eq!(client.send(client.request(Method::HEAD, &path)).await.status, 200, "a HEAD is answered");
        assert!(client.blob("team", "app", scene.layer.digest()).await.body == scene.layer.bytes());
    }
}

#[actix_rt::test]
async fn a_group_without_a_link_is_not_sent_to_the_bucket() {
    let scene = Scene::with(1, &redirecting("all")).await;
    scene.pull(0).await;
    scene.uploaded(3).await;
    let other = scene.fleet.service(0).group("other").await;
    let client = scene.fleet.service(0).log_in_with(&scene.fleet.service(0).deploy_token(&other, "ci").await).await;
    let path = format!("/v2/other/dependency_proxy/containers/app/blobs/{}", scene.layer.digest());
    scene.fleet.hub.on(Kind::BlobHead).refusal(403, "DENIED", "not for you");
    scene.fleet.hub.on(Kind::BlobDownload).refusal(403, "DENIED", "not for you");
    let refused = client.get_without_redirects(&path).await;
    assert!(refused.status >= 400, "{}", refused.status);
}

#[actix_rt::test]
async fn content_without_a_link_and_more_than_the_limit_goes_from_the_bucket() {
    let scene = Scene::with(2, "bucket_max_bytes = \"5MiB\"").await;
    scene.pull(0).await;
    scene.uploaded(3).await;
    let database = &scene.fleet.database;
    database.query("UPDATE object SET stored_at = now() - interval '11 minutes'");
    let doomed = async || database.query("SELECT count(*) FROM object WHERE doomed_at IS NOT NULL") == "1";
    eventually("the layer, which is larger than the limit, is doomed", doomed).await;
    // Ten minutes later its object is deleted, and the row after it.
    database.query("UPDATE object SET doomed_at = now() - interval '11 minutes' WHERE doomed_at IS NOT NULL");
    scene.uploaded(2).await;
    // What no group has a link to goes as well.
    database.query("DELETE FROM link; UPDATE object SET stored_at = now() - interval '2 hours'");
    let doomed = async || database.query("SELECT count(*) FROM object WHERE doomed_at IS NOT NULL") == "2";
    eventually("all is doomed", doomed).await;
    assert_eq!(database.query("SELECT count(*) FROM job"), "1");
}

#[actix_rt::test]
async fn kills_of_replicas_leave_no_wrong_byte_and_no_name_of_an_object_that_is_not_there() {
    const IMAGES: u64 = 12;
    let mut scene = Scene::of(3).await;
    let images: Vec<Image> = (0..IMAGES).map(|seed| Image::single(&[Layer::random(60_000, 100 + seed)])).collect();
    for (number, image) in images.iter().enumerate() {
        scene.fleet.hub.push_image("library/many", &number.to_string(), image);
    }
    for round in 0..6 {
        let mut pulls = Vec::new();
        for replica in 0..3 {
            let client = scene.client(replica).await;
            for (number, image) in images.iter().enumerate() {
                let (client, image) = (client.clone(), image.clone());
                pulls.push(actix_rt::spawn(async move {
                    let base = "/v2/team/dependency_proxy/containers/many";
                    client.try_get(&format!("{base}/manifests/{number}")).await?;
                    let layer = &image.layers()[0];
                    let blob = client.try_get(&format!("{base}/blobs/{}", layer.digest())).await?;
                    assert!(blob.cut || blob.status != 200 || blob.body == layer.bytes(), "other bytes");
                    Some(())
                }));
            }
        }
        sleep(Duration::from_millis(40 * (round + 1))).await;
        scene.fleet.replicas[round as usize % 3].service.kill_and_restart();
        for pull in pulls {
            pull.await.unwrap();
        }
    }
    // Each is pulled once more at each replica, so that the fleet knows what killed replicas did not share.
    for replica in 0..3 {
        let client = scene.client(replica).await;
        for (number, image) in images.iter().enumerate() {
            assert_eq!(&client.manifest("team", "many", &number.to_string()).await.body, image.bytes());
            for blob in image.blobs() {
                assert!(client.blob("team", "many", blob.digest()).await.body == blob.bytes());
            }
        }
    }
    scene.uploaded(3 * IMAGES as usize).await;
    // A fourth replica with nothing of its own has all of it, without upstream: each name has its object.
    scene.upstream_is_down();
    scene.fleet.replicas[2].service.stop();
    std::fs::remove_dir_all(scene.fleet.service(2).data()).unwrap();
    scene.fleet.replicas[2].service.restart();
    let client = scene.client(2).await;
    for (number, image) in images.iter().enumerate() {
        let answer = client.manifest("team", "many", &number.to_string()).await;
        assert_eq!((answer.status, &answer.body), (200, image.bytes()), "image {number}");
        for blob in image.blobs() {
            assert!(client.blob("team", "many", blob.digest()).await.body == blob.bytes(), "image {number}");
        }
    }
}

#[actix_rt::test]
async fn what_a_replica_has_pulled_while_it_was_cut_off_does_not_undo_a_removal() {
    let scene = Scene::of(2).await;
    scene.pull(0).await;
    eventually("both list the image", async || tags(scene.fleet.service(1)).await == ["1"]).await;
    scene.fleet.replicas[1].lose_database(Mode::Refuse);
    sleep(super::BOUND).await;
    scene.pull(1).await;
    let removed = scene.fleet.service(0).api("DELETE", &format!("{IMAGES}/app:1"), Value::Null).await;
    assert_eq!(removed.status, 204, "{}", removed.text());
    scene.fleet.replicas[1].to_database.set(Mode::Pass);
    eventually("the image is gone there, too", async || tags(scene.fleet.service(1)).await.is_empty()).await;
    // What waited has been written by now: each change of a replica comes after those before it.
    assert_eq!(
        scene.fleet.service(1).api("DELETE", "/groups/team/dependency_proxy/cache", Value::Null).await.status,
        202
    );
    scene.upstream_is_down();
    for replica in 0..2 {
        assert!(tags(scene.fleet.service(replica)).await.is_empty(), "replica {replica}");
        assert_eq!(scene.client(replica).await.manifest("team", "app", "1").await.status, 503, "replica {replica}");
    }
}

#[actix_rt::test]
async fn a_replica_that_knows_another_history_of_the_index_begins_with_an_empty_one() {
    let mut scene = Scene::of(2).await;
    scene.pull(0).await;
    eventually("it has taken the image over", async || tags(scene.fleet.service(1)).await == ["1"]).await;
    sleep(Duration::from_secs(1)).await;
    scene.fleet.replicas[1].service.stop();
    // As after a restore: others have made another event with the number that it knows.
    scene
        .fleet
        .database
        .query("UPDATE content_event SET id = 'another'; DELETE FROM image; DELETE FROM link; DELETE FROM tag");
    scene.fleet.replicas[1].service.restart();
    assert!(tags(scene.fleet.service(1)).await.is_empty());
    scene.upstream_is_down();
    assert_eq!(scene.client(1).await.manifest("team", "app", "1").await.status, 503);
}

#[actix_rt::test]
async fn a_confirmation_of_before_does_not_end_a_denial() {
    let scene = Scene::with(2, "[cache]\ntag_freshness = \"2s\"\nstale_while_revalidate = 0").await;
    scene.pull(0).await;
    scene.pull(1).await;
    let (one, other) = (scene.client(0).await, scene.client(1).await);
    scene.fleet.replicas[1].lose_database(Mode::Refuse);
    sleep(Duration::from_secs(3)).await;
    // It has upstream confirm the tag, and cannot share that, nor the image after it.
    assert_eq!(other.manifest("team", "app", "1").await.status, 200);
    scene.fleet.hub.push_image("library/after", "1", &scene.image);
    assert_eq!(other.manifest("team", "after", "1").await.status, 200);
    for kind in [Kind::ManifestHead, Kind::ManifestGet] {
        scene.fleet.hub.on(kind).in_repository("library/app").refusal(403, "DENIED", "not for you");
    }
    assert_eq!(one.manifest("team", "app", "1").await.status, 403);
    let is_denied = async || scene.fleet.database.query("SELECT count(*) FROM tag WHERE denied") == "1";
    eventually("the denial is shared", is_denied).await;
    scene.fleet.replicas[1].to_database.set(Mode::Pass);
    let images = async || scene.fleet.database.query("SELECT count(*) FROM image") == "2";
    eventually("what waited is shared", images).await;
    assert!(is_denied().await, "the confirmation was before the denial");
}
