//! A replica that is stopped in an orderly way: others go on with what it was receiving, and get what it has stored.
//! And what a replica says of engines that do not respond.

use std::time::{Duration, Instant};

use fake_registry::{Image, Kind, Layer, Listener};
use tokio::time::sleep;

use super::{Fleet, Mode};
use crate::operating::metrics::metric;
use crate::service::{ADMIN_TOKEN, Service, eventually};

const MIB: u64 = 1 << 20;

#[actix_rt::test]
async fn others_go_on_at_once_with_what_a_stopping_replica_was_receiving() {
    let mut fleet = Fleet::of(2);
    let layer = Layer::random(16 * MIB, 7);
    fleet.hub.push_image("library/app", "1", &Image::single(std::slice::from_ref(&layer)));
    fleet.hub.on(Kind::BlobDownload).slow(2 * MIB);
    let clients = fleet.clients().await;
    for client in &clients {
        assert_eq!(client.manifest("team", "app", "1").await.status, 200);
    }
    let pull = |replica: usize| {
        let (client, digest) = (clients[replica].clone(), layer.digest().to_owned());
        actix_rt::spawn(async move { client.blob("team", "app", &digest).await })
    };
    let led = "dependency_proxy_fleet_downloads_total{role=\"led\"}";
    let first = pull(0);
    eventually("the first replica receives it", async || metric(fleet.service(0), led).await == 1).await;
    let second = pull(1);
    sleep(Duration::from_millis(1500)).await;
    // Its own client leaves, so that nothing but the other replica waits for it.
    first.abort();
    assert!(first.await.is_err());
    // The other client reads meanwhile.
    fleet.replicas[0].service.tell_to_stop();
    assert!(fleet.replicas[0].service.ended().await.success());
    assert!(!second.is_finished(), "the stop waits for no other replica");
    assert_eq!(fleet.database.query("SELECT count(*) FROM replica"), "1", "it has left");
    let answer = second.await.unwrap();
    assert_eq!((answer.status, answer.cut, answer.body == layer.bytes()), (200, false, true), "{}", answer.body.len());
    let requests = fleet.hub.requests();
    assert_eq!(requests.blob_downloads(layer.digest()), 2);
    let of_layer = requests.iter().filter(|request| request.reference.as_deref() == Some(layer.digest()));
    let from: Vec<_> = of_layer.filter_map(|request| request.range.as_deref()).collect();
    assert!(from.iter().all(|from| *from != "bytes=0-") && !from.is_empty(), "it goes on: {from:?}");
}

#[actix_rt::test]
async fn what_was_pulled_just_before_a_stop_is_there_for_all() {
    let mut fleet = Fleet::with(2, "[cache]\ntag_freshness = \"1h\"");
    let layers: Vec<Layer> = (0..3).map(|seed| Layer::random(9 * MIB, 30 + seed)).collect();
    let image = Image::single(&layers);
    fleet.hub.push_image("library/app", "1", &image);
    let clients = fleet.clients().await;
    // Slow enough that the uploads are under way when the last byte is there.
    fleet.replicas[0].to_bucket.set(Mode::Slow(8 << 20));
    assert_eq!(clients[0].manifest("team", "app", "1").await.status, 200);
    for (digest, bytes) in image.blobs().map(|blob| (blob.digest(), blob.bytes())) {
        assert!(clients[0].blob("team", "app", digest).await.body == bytes);
    }
    let uploaded = || fleet.database.query("SELECT count(*) FROM object").parse::<usize>().unwrap();
    let before = uploaded();
    assert!(before < 5, "nothing is left to hand over: the test shows nothing");
    let began = Instant::now();
    assert!(fleet.replicas[0].service.stop().success());
    assert!(began.elapsed() < Duration::from_secs(27), "{:?}", began.elapsed());
    assert_eq!(fleet.database.query("SELECT count(*) FROM object"), "5", "{before} before the stop");
    for listener in [Listener::Registry, Listener::Realm, Listener::Storage] {
        fleet.hub.down(listener);
    }
    let answer = clients[1].manifest("team", "app", "1").await;
    assert_eq!((answer.status, &answer.body), (200, image.bytes()), "{}", answer.text());
    for (digest, bytes) in image.blobs().map(|blob| (blob.digest(), blob.bytes())) {
        assert!(clients[1].blob("team", "app", digest).await.body == bytes);
    }
}

#[actix_rt::test]
async fn a_stop_does_not_wait_for_engines_that_are_away() {
    let mut fleet = Fleet::of(1);
    let layer = Layer::random(MIB, 3);
    fleet.hub.push_image("library/app", "1", &Image::single(std::slice::from_ref(&layer)));
    let clients = fleet.clients().await;
    fleet.replicas[0].to_bucket.set(Mode::Refuse);
    assert_eq!(clients[0].manifest("team", "app", "1").await.status, 200);
    assert_eq!(clients[0].blob("team", "app", layer.digest()).await.status, 200);
    // A start uploads nothing to which no group has a link.
    let is_linked = async || fleet.database.query("SELECT count(*) >= 2 FROM link") == "t";
    eventually("the links are shared", is_linked).await;
    fleet.replicas[0].lose_database(Mode::Refuse);
    sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    assert!(fleet.replicas[0].service.stop().success());
    // It would wait for as long as a stop may take.
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(fleet.service(0).log().contains("some content is not uploaded yet"), "{}", fleet.service(0).log());
    // What was left is uploaded by the next start.
    for front in [&fleet.replicas[0].to_bucket, &fleet.replicas[0].to_database] {
        front.set(Mode::Pass);
    }
    fleet.replicas[0].service.restart();
    eventually("it is uploaded", async || fleet.database.query("SELECT count(*) FROM object") == "2").await;
}

/// Returns status and text of the readiness, as an administrator gets them.
async fn ready(service: &Service) -> (u16, String) {
    let url = format!("{}/readyz", service.url());
    let answer = reqwest::Client::new().get(url).header("private-token", ADMIN_TOKEN).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[actix_rt::test]
async fn readiness_says_which_engine_is_away_and_what_that_means() {
    let fleet = Fleet::of(1);
    let (service, replica) = (fleet.service(0), &fleet.replicas[0]);
    eventually("it is well", async || ready(service).await == (200, "ok\n".to_owned())).await;
    replica.lose_database(Mode::Refuse);
    eventually("the database is named", async || {
        let (status, text) = ready(service).await;
        status == 200
            && text.contains("the database of the fleet has not responded")
            && text.contains("changes are refused")
    })
    .await;
    assert_eq!(service.stranger().get("/readyz").await.text(), "ok\n", "others do not learn of it");
    assert_eq!(metric(service, "dependency_proxy_fleet_engine_up{engine=\"database\"}").await, 0);
    replica.lose_everything();
    eventually("it is not ready", async || ready(service).await.0 == 503).await;
    let (_, text) = ready(service).await;
    assert!(text.starts_with("not ready: the database and the object store"), "{text}");
    let health = std::process::Command::new(env!("CARGO_BIN_EXE_dependency-proxy"))
        .args(["health", "--url", &service.url()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&health.stderr).into_owned();
    assert!(!health.status.success() && said.contains("the database and the object store"), "{said}");
    replica.find_everything();
    eventually("it is well again", async || ready(service).await == (200, "ok\n".to_owned())).await;
}
