//! Clients that close their sending side after their requests, as `nc` does, and wait for the responses.

use std::time::Duration;

use fake_registry::Kind;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{MIB, Scene, Wire, path};
use crate::service::{Config, eventually};

async fn scenes() -> [Scene; 2] {
    [Scene::of(4 * MIB).await, Scene::with(4 * MIB, Config::secure).await]
}

async fn ask_and_close(scene: &Scene, requests: &str) -> Wire {
    let mut wire = scene.connect().await;
    wire.send(requests).await;
    wire.stream.shutdown().await.unwrap();
    wire
}

#[actix_rt::test]
async fn a_cold_pull_is_served_to_its_end_and_then_the_connection_ends() {
    for scene in scenes().await {
        scene.hub.on(Kind::BlobDownload).delay(Duration::from_secs(2));
        let mut wire = ask_and_close(&scene, &scene.request("GET", &scene.large, "")).await;
        assert_eq!(wire.head().await.unwrap(), (200, 4 * MIB));
        assert!(wire.body(4 * MIB).await.unwrap() == scene.large.bytes());
        assert_eq!(wire.until_cut().await, 0);
    }
}

#[actix_rt::test]
async fn the_sending_side_may_be_closed_in_the_middle_of_the_response() {
    for scene in scenes().await {
        scene.hub.on(Kind::BlobDownload).hold_after(MIB);
        let authorization = scene.client.authorization();
        let request = format!("GET {} HTTP/1.0\r\nauthorization: {authorization}\r\n\r\n", path(&scene.large));
        let mut wire = scene.connect().await;
        wire.send(&request).await;
        assert_eq!(wire.head().await.unwrap(), (200, 4 * MIB));
        let begun = wire.body(MIB).await.unwrap();
        wire.stream.shutdown().await.unwrap();
        // The service has noticed it by then.
        tokio::time::sleep(Duration::from_millis(200)).await;
        scene.hub.release();
        assert!([begun, wire.body(3 * MIB).await.unwrap()].concat() == scene.large.bytes());
        assert_eq!(wire.until_cut().await, 0);
    }
}

#[actix_rt::test]
async fn every_request_of_a_pipeline_gets_its_response() {
    for scene in scenes().await {
        let requests = [("GET", &scene.small), ("GET", &scene.large), ("HEAD", &scene.small), ("GET", &scene.small)];
        let text = requests.map(|(method, layer)| scene.request(method, layer, "")).concat();
        let mut wire = ask_and_close(&scene, &text).await;
        for (method, layer) in requests {
            assert_eq!(wire.head().await.unwrap(), (200, layer.size()));
            assert!(method == "HEAD" || wire.body(layer.size()).await.unwrap() == layer.bytes());
        }
        assert_eq!(wire.until_cut().await, 0);
    }
}

#[actix_rt::test]
async fn a_client_that_is_reset_after_it_closed_its_sending_side_is_forgotten() {
    let scene = Scene::of(4 * MIB).await;
    let before = scene.metric("dependency_proxy_connections").await;
    scene.hub.on(Kind::BlobDownload).hang();
    let mut tcp = TcpStream::connect(scene.service.address).await.unwrap();
    tcp.write_all(scene.request("GET", &scene.large, "").as_bytes()).await.unwrap();
    tcp.shutdown().await.unwrap();
    eventually("it is served", async || scene.hub.requests().blob_downloads(scene.large.digest()) > 0).await;
    assert_eq!(scene.metric("dependency_proxy_connections").await, before + 1);
    tcp.set_zero_linger().unwrap();
    drop(tcp);
    scene.until_connections(before).await;
    // The timeout of the response has not passed.
    assert_eq!(scene.hub.requests().blob_downloads(scene.large.digest()), 1);
}
