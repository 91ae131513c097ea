//! A cache folder that somebody empties while the service runs: clients get their images, and these are stored again.

use std::fs;

use fake_registry::{Image, Layer};
use serde_json::Value;

use super::metrics::metrics;
use crate::service::{Client, Scenario, eventually};

async fn pull(client: &Client, tag: &str, image: &Image) {
    assert_eq!(client.manifest("team", "app", tag).await.body, image.bytes(), "{tag}");
    for blob in image.blobs() {
        let answer = client.stored_blob("team", "app", blob.digest()).await;
        assert!(answer.status == 200 && answer.body == blob.bytes(), "{tag}: {}", answer.status);
    }
}

#[actix_rt::test]
async fn an_emptied_cache_folder_is_filled_again() {
    let images = [1, 2].map(|seed| Image::single(&[Layer::random(100_000, seed)]));
    let scenario = Scenario::new().image("library/app", "1", &images[0]).image("library/app", "2", &images[1]);
    let started = scenario.start().await;
    pull(&started.client, "1", &images[0]).await;
    for entry in fs::read_dir(started.service.data().join("cache")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    pull(&started.client, "2", &images[1]).await;
    pull(&started.client, "1", &images[0]).await;
    let statistics = started.service.api("GET", "/groups/team/dependency_proxy/statistics", Value::Null).await;
    assert_eq!(statistics.status, 200, "{}", statistics.text());
    let has_gauge = async || metrics(&started.service).await.contains("dependency_proxy_free_bytes ");
    eventually("the free space is known", has_gauge).await;
}
