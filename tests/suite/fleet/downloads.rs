//! Downloads that replicas share: one request upstream however many replicas need the blob, also where the replica that
//! receives it is killed or stands still in the middle.

use std::time::{Duration, Instant};

use fake_registry::{Image, Kind, Layer};
use futures::future::join_all;
use tokio::time::sleep;

use super::identities::signal;
use super::{Fleet, Mode};
use crate::operating::metrics::metric;
use crate::service::{Answer, Client, eventually};

const MIB: u64 = 1 << 20;

/// A fleet whose clients may pull an image with one layer that arrives slowly.
struct Scene {
    fleet: Fleet,
    clients: Vec<Client>,
    layer: Layer,
}

/// Length of the layer, which takes about four seconds.
const LENGTH: u64 = 16 * MIB;
const RATE: u64 = 4 * MIB;
/// Time after which clients give up.
const MAX_TIME_OF_CLIENT: Duration = Duration::from_secs(30);

impl Scene {
    async fn of(replicas: usize) -> Self {
        let fleet = Fleet::of(replicas);
        let layer = Layer::random(LENGTH, 7);
        fleet.hub.push_image("library/app", "1", &Image::single(std::slice::from_ref(&layer)));
        fleet.hub.on(Kind::BlobDownload).slow(RATE);
        let clients = fleet.clients().await;
        for client in &clients {
            assert_eq!(client.manifest("team", "app", "1").await.status, 200);
        }
        Self { fleet, clients, layer }
    }

    /// Begins a pull of the layer at this replica.
    fn pull(&self, replica: usize) -> tokio::task::JoinHandle<Answer> {
        let (client, digest) = (self.clients[replica].clone(), self.layer.digest().to_owned());
        actix_rt::spawn(async move { client.blob("team", "app", &digest).await })
    }

    fn assert_whole(&self, answer: &Answer) {
        assert_eq!((answer.status, answer.cut), (200, false), "{}", answer.body.len());
        assert!(answer.body == self.layer.bytes(), "other bytes than upstream's");
    }

    fn requests(&self) -> usize {
        self.fleet.hub.requests().blob_downloads(self.layer.digest())
    }

    async fn role(&self, replica: usize, role: &str) -> u64 {
        let sample = format!("dependency_proxy_fleet_downloads_total{{role=\"{role}\"}}");
        metric(self.fleet.service(replica), &sample).await
    }

    /// Returns the replica that receives the layer from upstream.
    async fn leader(&self) -> usize {
        for replica in 0..self.clients.len() {
            if self.role(replica, "led").await > 0 {
                return replica;
            }
        }
        panic!("no replica receives the layer")
    }
}

#[actix_rt::test]
async fn a_herd_at_all_replicas_causes_one_download_from_upstream() {
    let scene = Scene::of(3).await;
    let began = Instant::now();
    let herd: Vec<_> = (0..60)
        .map(|number| {
            let pull = scene.clients[number % 3].clone();
            let digest = scene.layer.digest().to_owned();
            actix_rt::spawn(async move {
                sleep(Duration::from_millis(50 * number as u64)).await;
                pull.blob("team", "app", &digest).await
            })
        })
        .collect();
    for answer in join_all(herd).await {
        scene.assert_whole(&answer.unwrap());
    }
    assert!(began.elapsed() < MAX_TIME_OF_CLIENT, "{:?}", began.elapsed());
    assert_eq!(scene.requests(), 1);
    let leader = scene.leader().await;
    for replica in (0..3).filter(|replica| *replica != leader) {
        assert_eq!(scene.role(replica, "followed").await, 1, "a replica that did not follow another proves nothing");
        assert_eq!(scene.role(replica, "led").await + scene.role(replica, "alone").await, 0);
    }
}

#[actix_rt::test]
async fn a_late_replica_gets_the_blob_for_another_group_after_upstream_has_confirmed_it() {
    let scene = Scene::of(2).await;
    scene.assert_whole(&scene.pull(0).await.unwrap());
    let is_complete = async || scene.fleet.database.query("SELECT bool_and(complete) FROM claim WHERE complete") == "t";
    eventually("it has complete", is_complete).await;
    let other = scene.fleet.service(1).group("other").await;
    let token = scene.fleet.service(1).deploy_token(&other, "ci").await;
    let client = scene.fleet.service(1).log_in_with(&token).await;
    let heads = scene.fleet.hub.requests().blob_heads("library/app", scene.layer.digest());
    scene.assert_whole(&client.blob("other", "app", scene.layer.digest()).await);
    assert_eq!(scene.requests(), 1);
    assert_eq!(scene.fleet.hub.requests().blob_heads("library/app", scene.layer.digest()), heads + 1);
    assert_eq!(scene.role(1, "followed").await + scene.role(1, "bucket").await, 1);
    // The first group has a link, which all replicas know: nothing has to be confirmed.
    scene.assert_whole(&scene.pull(1).await.unwrap());
    assert_eq!(scene.fleet.hub.requests().blob_heads("library/app", scene.layer.digest()), heads + 1);
}

#[actix_rt::test]
async fn where_the_receiving_replica_is_killed_or_stands_still_another_goes_on_from_the_byte_that_it_has() {
    for signal_name in ["KILL", "STOP"] {
        let scene = Scene::of(3).await;
        let first = scene.pull(0);
        eventually("the first replica receives it", async || scene.role(0, "led").await == 1).await;
        let (second, third) = (scene.pull(1), scene.pull(2));
        sleep(Duration::from_millis(1500)).await;
        let began = Instant::now();
        signal(scene.fleet.service(0), signal_name);
        for follower in [second, third] {
            scene.assert_whole(&follower.await.unwrap());
        }
        assert!(began.elapsed() < MAX_TIME_OF_CLIENT, "{signal_name}: {:?}", began.elapsed());
        assert_eq!(scene.requests(), 2, "{signal_name}: one request of each replica that received it");
        first.abort();
        if signal_name == "STOP" {
            signal(scene.fleet.service(0), "CONT");
        }
    }
}

#[actix_rt::test]
async fn replicas_that_need_a_manifest_at_the_same_time_send_one_get_and_later_ones_nothing() {
    let fleet = Fleet::of(3);
    let image = Image::single(&[Layer::random(1_000, 3)]);
    fleet.hub.push_image("library/app", "1", &image);
    fleet.hub.on(Kind::ManifestGet).delay(Duration::from_millis(700));
    let group = fleet.service(0).group("team").await;
    let token = fleet.service(0).deploy_token(&group, "ci").await;
    let mut clients = Vec::new();
    for replica in &fleet.replicas {
        clients.push(replica.service.log_in_with(&token).await);
    }
    let gets = || fleet.hub.requests().manifest_gets("library/app", "1");
    for answer in join_all(clients[..2].iter().map(|client| client.manifest("team", "app", "1"))).await {
        assert_eq!((answer.status, &answer.body), (200, image.bytes()), "{}", answer.text());
        assert_eq!(answer.header("content-type"), "application/vnd.docker.distribution.manifest.v2+json");
    }
    assert_eq!(gets(), 1);
    let is_shared = async || fleet.database.query("SELECT count(*) FROM tag JOIN object USING (digest)") == "1";
    eventually("the tag and its manifest are shared", is_shared).await;
    let heads = fleet.hub.requests().manifest_heads("library/app", "1");
    let late = clients[2].manifest("team", "app", "1").await;
    assert_eq!((late.status, &late.body), (200, image.bytes()), "{}", late.text());
    let seen = (gets(), fleet.hub.requests().manifest_heads("library/app", "1"));
    assert_eq!(seen, (1, heads), "it is fresh: another replica has had it confirmed");
}

#[actix_rt::test]
async fn without_the_database_each_replica_downloads_alone() {
    let scene = Scene::of(2).await;
    scene.fleet.replicas.iter().for_each(|replica| replica.lose_database(Mode::Refuse));
    sleep(super::BOUND).await;
    let (one, other) = (scene.pull(0), scene.pull(1));
    scene.assert_whole(&one.await.unwrap());
    scene.assert_whole(&other.await.unwrap());
    assert_eq!(scene.requests(), 2);
    assert_eq!(scene.role(0, "alone").await + scene.role(1, "alone").await, 2);
}

#[actix_rt::test]
async fn a_replica_that_another_cannot_reach_does_not_hold_it_up() {
    let scene = Scene::of(2).await;
    scene.fleet.replicas[0].to_replica.set(Mode::Refuse);
    let first = scene.pull(0);
    eventually("the first replica receives it", async || scene.role(0, "led").await == 1).await;
    scene.assert_whole(&scene.pull(1).await.unwrap());
    scene.assert_whole(&first.await.unwrap());
    assert_eq!(scene.requests(), 2);
}

#[actix_rt::test]
async fn a_blob_that_upstream_does_not_have_is_refused_at_every_replica() {
    let scene = Scene::of(2).await;
    let missing = Layer::random(100, 9);
    for client in &scene.clients {
        let answer = client.blob("team", "app", missing.digest()).await;
        assert_eq!(answer.status, 404, "{}", answer.text());
    }
    // It is ended in the background.
    let claims = async || scene.fleet.database.query("SELECT count(*) FROM claim WHERE NOT complete") == "0";
    eventually("no claim is left", claims).await;
}

#[actix_rt::test]
async fn a_lead_that_is_granted_when_nobody_waits_for_it_any_more_is_given_back() {
    let scene = Scene::of(1).await;
    // Longer than a pull waits for the lead, and short enough for new connections.
    let (database, delay) = (&scene.fleet.database, Duration::from_millis(300));
    let unfinished = async || database.query("SELECT count(*) FROM claim WHERE NOT complete") == "0";
    eventually("the manifest is received", unfinished).await;
    let claims = database.query("SELECT count(*) FROM claim");
    scene.fleet.replicas[0].to_database.set(Mode::Delay(delay));
    let pulled = scene.pull(0);
    let granted = async || database.query("SELECT count(*) FROM claim") != claims;
    eventually("the database has granted the lead", granted).await;
    scene.fleet.replicas[0].to_database.set(Mode::Pass);
    scene.assert_whole(&pulled.await.unwrap());
    eventually("the lead is given back", async || database.query("SELECT count(*) FROM claim") == claims).await;
}
