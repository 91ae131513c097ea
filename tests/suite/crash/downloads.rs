//! Kills during downloads.

use std::collections::BTreeMap;
use std::fs;

use fake_registry::{FakeRegistry, Image, Kind, Layer};

use super::{Chances, folder};
use crate::service::{Client, Config, Service, Token};

const KILLS: u64 = 20;
const REPOSITORY: &str = "library/alpine";

/// Contents that the service has served from its cache, by request path.
type Cached = BTreeMap<String, Vec<u8>>;

#[actix_rt::test]
async fn what_was_served_from_the_cache_is_there_after_kills_in_the_middle_of_downloads() {
    let mut chances = Chances::announced("kills in downloads");
    let hub = FakeRegistry::start();
    hub.on(Kind::BlobDownload).slow(4_000_000);
    let mut service = Config::docker_hub(&hub).start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let mut cached = Cached::new();
    for round in 0..KILLS {
        let image = image(round, &mut chances);
        hub.push_image(REPOSITORY, &format!("v{round}"), &image);
        let client = log_in(&service, &token).await;
        let pull = actix_rt::spawn(pull_twice(client, image.clone(), round));
        tokio::time::sleep(chances.moment(350)).await;
        service.kill();
        cached.extend(pull.await.unwrap());
        service.restart();
        folder::verify(&service.data().join("cache"));
        let client = log_in(&service, &token).await;
        verify_cached(&hub, &client, &cached).await;
        verify_image(&client, &image, round).await;
    }
    folder::tidied(&service.data().join("cache")).await;
    eprintln!("{} contents were cached before one of {KILLS} kills", cached.len());
    assert!(!cached.is_empty(), "nothing was cached before any of the kills: they came too early");
}

#[actix_rt::test]
async fn what_a_killed_writer_leaves_is_removed_and_nothing_else_is() {
    let hub = FakeRegistry::start();
    let image = Image::single(&[Layer::random(1_000, 1)]);
    hub.push_image(REPOSITORY, "v0", &image);
    let mut service = Config::docker_hub(&hub).start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let client = log_in(&service, &token).await;
    verify_image(&client, &image, 0).await;
    client.stored_blob("team", "alpine", image.layers()[0].digest()).await;
    service.kill();
    let cache = service.data().join("cache");
    let before = folder::verify(&cache);
    fs::write(cache.join("spool/blob-left"), "half").unwrap();
    for (number, path) in folder::files(&cache).iter().enumerate() {
        fs::write(path.with_file_name(format!(".write-{number}")), "half").unwrap();
    }
    service.restart();
    folder::tidied(&cache).await;
    assert_eq!(folder::verify(&cache), before);
    hub.reset_counts();
    verify_image(&log_in(&service, &token).await, &image, 0).await;
    assert_eq!(hub.requests().total(), 0);
}

fn image(round: u64, chances: &mut Chances) -> Image {
    let layers = [300_000, 60_000, 5_000].map(|most| Layer::random(1 + chances.below(most), round * 10 + most));
    Image::single(&layers)
}

async fn log_in(service: &Service, token: &Token) -> Client {
    service.log_in_with(token).await
}

/// Returns all paths of an image with their contents.
fn contents(image: &Image, round: u64) -> Vec<(String, Vec<u8>)> {
    let base = "/v2/team/dependency_proxy/containers/alpine";
    let manifests = [format!("v{round}"), image.digest().to_owned()];
    let manifests = manifests.map(|reference| (format!("{base}/manifests/{reference}"), image.bytes().to_vec()));
    let layers = image.layers().iter().map(|layer| (format!("{base}/blobs/{}", layer.digest()), layer.bytes()));
    manifests.into_iter().chain(layers).collect()
}

/// Pulls an image repeatedly until the service ends. Returns the contents that came from the cache.
async fn pull_twice(client: Client, image: Image, round: u64) -> Cached {
    let mut cached = Cached::new();
    loop {
        for (path, bytes) in contents(&image, round) {
            let Some(answer) = client.try_get(&path).await else { return cached };
            if !answer.cut && answer.status == 200 {
                assert_eq!(answer.body, bytes, "{path}");
                if answer.header("x-cache") == "hit" {
                    cached.insert(path, bytes);
                }
            }
        }
    }
}

/// Checks that everything that was cached is served without an upstream request.
async fn verify_cached(hub: &FakeRegistry, client: &Client, cached: &Cached) {
    hub.reset_counts();
    for (path, bytes) in cached {
        let answer = client.get(path).await;
        assert_eq!((answer.status, answer.header("x-cache"), answer.cut), (200, "hit", false), "{path}");
        assert_eq!(&answer.body, bytes, "{path}");
    }
    assert_eq!(hub.requests().total(), 0, "upstream was asked for what was cached");
}

async fn verify_image(client: &Client, image: &Image, round: u64) {
    for (path, bytes) in contents(image, round) {
        let answer = client.get(&path).await;
        assert_eq!((answer.status, answer.cut), (200, false), "{path}");
        assert_eq!(answer.body, bytes, "{path}");
    }
}
