//! Stopping: running transfers finish, waiting changes are written, and no new connection is accepted.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use fake_registry::{FakeRegistry, Image, Kind, Layer};

use crate::service::{Config, eventually};

#[actix_rt::test]
async fn a_transfer_that_is_under_way_is_finished() {
    let hub = FakeRegistry::start();
    let layer = Layer::random(400_000, 1);
    let image = Image::single(std::slice::from_ref(&layer));
    hub.push_image("library/alpine", "latest", &image);
    hub.on(Kind::BlobDownload).slow(150_000);
    let mut service = Config::docker_hub(&hub).start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let client = service.log_in_with(&token).await;
    assert_eq!(client.manifest("team", "alpine", "latest").await.status, 200);
    let digest = layer.digest().to_owned();
    let pull = actix_rt::spawn(async move { client.blob("team", "alpine", &digest).await });
    hub.seen(Kind::BlobDownload, 1).await;
    service.tell_to_stop();
    refuses_connections(service.address).await;
    assert!(!pull.is_finished(), "the transfer ended before the service could be asked again");
    let blob = pull.await.unwrap();
    assert_eq!((blob.status, blob.cut), (200, false));
    assert_eq!(blob.body, layer.bytes());
    assert_eq!(service.ended().await.code(), Some(0));

    service.restart();
    hub.reset_counts();
    let client = service.log_in_with(&token).await;
    assert_eq!(client.blob("team", "alpine", layer.digest()).await.header("x-cache"), "hit");
    assert_eq!(hub.requests().total(), 0);
}

#[actix_rt::test]
async fn an_idle_service_stops_at_once_and_has_written_its_export() {
    let mut service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    let export = service.data().join("identity.jsonl");
    service.user("latecomer", "a-long-password").await;
    let begun = Instant::now();
    assert_eq!(service.stop().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(15), "it took {:?}", begun.elapsed());
    assert!(std::fs::read_to_string(export).unwrap().contains("latecomer"));
}

#[actix_rt::test]
async fn who_says_that_it_is_ready_can_be_told_to_stop() {
    let mut service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    for _ in 0..10 {
        assert_eq!(service.stop().code(), Some(0));
        service.restart();
    }
}

async fn refuses_connections(address: std::net::SocketAddr) {
    eventually("no connection is accepted", async || TcpStream::connect(address).is_err()).await;
}
