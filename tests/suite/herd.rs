//! Very many concurrent clients: one download for all of them, no client delayed by slow ones, and little memory.
//!
//! Results that a busy machine makes slower are printed; results that it cannot change are asserted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fake_registry::{FakeRegistry, Image, Kind, Layer};
use futures::future::join_all;
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, sleep_until};

use crate::service::{Client, Connection, Scenario, Service, Started, eventually};

const MIB: u64 = 1 << 20;

/// Allows one herd at a time: two would measure each other.
static HERD_LOCK: Mutex<()> = Mutex::const_new(());

/// Maximum resident memory of the service with some hundred downloads.
const MAX_RESIDENT_BYTES: u64 = 28 * MIB;

struct Scene {
    hub: FakeRegistry,
    service: Service,
    client: Client,
    image: Image,
}

impl Scene {
    /// Starts a service with one group that has pulled the manifest of an image with these layers.
    async fn of(layers: &[Layer]) -> Self {
        let image = Image::single(layers);
        let scenario = Scenario::new().image("library/app", "1", &image);
        let Started { hub, service, client, .. } = scenario.start().await;
        assert_eq!(client.manifest("team", "app", "1").await.status, 200);
        Self { hub, service, client, image }
    }

    fn assert_memory_below(&self, bound: u64, when: &str) {
        let peak = self.service.peak_memory();
        eprintln!("{when}: at most {:.1} MiB were resident", peak as f64 / MIB as f64);
        assert!(peak < bound, "{when}: {peak} bytes were resident");
    }
}

fn blob_path(layer: &Layer) -> String {
    format!("/v2/team/dependency_proxy/containers/app/blobs/{}", layer.digest())
}

#[actix_rt::test]
async fn a_herd_that_arrives_during_a_slow_download_shares_it() {
    let _guard = HERD_LOCK.lock().await;
    const CLIENTS: u32 = 200;
    const RATE: u64 = 8 * MIB;
    const LENGTH: u64 = 64 * MIB;
    let (layer, other) = (Layer::random(LENGTH, 1), Layer::random(LENGTH, 2));
    let scene = Scene::of(&[layer.clone(), other.clone()]).await;
    let (path, bytes) = (blob_path(&layer), Arc::new(layer.bytes()));
    scene.hub.on(Kind::BlobDownload).slow(RATE);
    let took = Duration::from_secs(layer.size() / RATE);
    let started = Instant::now();

    let direct = download_directly(scene.hub.signed_url(other.digest()));
    let (client, asked) = (scene.client.clone(), path.clone());
    let first = actix_rt::spawn(async move {
        let mut first = client.connect().await;
        assert_eq!(first.get(&asked, "").await.unwrap().status, 200);
        while first.left > 9 * LENGTH / 10 {
            assert!(first.read(&mut [0; 64 * 1024]).await.unwrap() > 0);
        }
        started.elapsed()
    });
    let slow = (0..3).map(|_| actix_rt::spawn(read_slowly(scene.client.clone(), path.clone(), bytes.clone())));
    let slow: Vec<_> = slow.collect();
    let herd = (0..CLIENTS).map(|number| {
        let (client, path, bytes) = (scene.client.clone(), path.clone(), bytes.clone());
        actix_rt::spawn(async move {
            sleep_until((started + took * number / CLIENTS).into()).await;
            let mut connection = client.connect().await;
            assert_eq!(connection.get(&path, "").await.unwrap().status, 200);
            assert!(connection.matches(&bytes).await.unwrap(), "other bytes than upstream's");
        })
    });
    for client in join_all(herd.collect::<Vec<_>>()).await {
        client.unwrap();
    }
    let herd = started.elapsed();
    let direct = direct.await.unwrap();
    let ratio = herd.as_secs_f64() / direct.as_secs_f64();
    eprintln!("the herd took {herd:.1?}, {ratio:.2} of a direct download at the same time ({direct:.1?})");
    let first = first.await.unwrap();
    assert!(first < herd * 6 / 10, "the first tenth came after {first:?}: not while it was downloaded");
    assert_eq!(scene.hub.requests().blob_downloads(layer.digest()), 1);
    for reader in slow {
        reader.abort();
        assert!(reader.await.unwrap_err().is_cancelled(), "a slow reader failed, or was not slow");
    }
    scene.assert_memory_below(MAX_RESIDENT_BYTES, "with a herd");
}

/// Reads one kilobyte per second until it is dropped, and checks the content.
async fn read_slowly(client: Client, path: String, bytes: Arc<Vec<u8>>) {
    let mut connection = client.connect_with_window(Some(4096)).await;
    assert_eq!(connection.get(&path, "").await.unwrap().status, 200);
    loop {
        let at = bytes.len() - usize::try_from(connection.left).unwrap();
        let mut buffer = [0; 1024];
        let read = connection.read(&mut buffer).await.unwrap();
        assert!(read > 0 && buffer[..read] == bytes[at..at + read]);
        sleep(Duration::from_secs(1)).await;
    }
}

/// Measures a direct download from upstream, on a separate thread, which the herd does not delay.
fn download_directly(url: String) -> JoinHandle<Duration> {
    let download = async move {
        let started = Instant::now();
        let mut answer = reqwest::Client::builder().no_proxy().build().unwrap().get(url).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        while answer.chunk().await.unwrap().is_some() {}
        started.elapsed()
    };
    spawn_blocking(|| actix_rt::System::new().block_on(download))
}

#[actix_rt::test]
async fn a_thousand_pull_a_cached_image_at_once_without_an_error() {
    let _guard = HERD_LOCK.lock().await;
    let layer = Layer::random(256 * 1024, 3);
    let scene = Scene::of(std::slice::from_ref(&layer)).await;
    let config = scene.image.config().unwrap().clone();
    for blob in [&layer, &config] {
        assert_eq!(scene.client.blob("team", "app", blob.digest()).await.body, blob.bytes());
    }
    let wanted = Arc::new([
        ("/v2/team/dependency_proxy/containers/app/manifests/1".to_owned(), scene.image.bytes().to_vec()),
        (blob_path(&config), config.bytes()),
        (blob_path(&layer), layer.bytes()),
    ]);
    let upstream = scene.hub.requests().total();
    let started = Instant::now();
    let pulls = (0..1000).map(|_| {
        let (client, wanted) = (scene.client.clone(), wanted.clone());
        actix_rt::spawn(async move {
            let mut connection = client.connect().await;
            for (path, bytes) in wanted.iter() {
                assert_eq!(connection.get(path, "").await.unwrap().status, 200);
                assert!(connection.matches(bytes).await.unwrap(), "other bytes than upstream's");
            }
            connection
        })
    });
    let connections: Vec<Connection> = join_all(pulls).await.into_iter().map(Result::unwrap).collect();
    eprintln!("{} pulls of a cached image took {:.1?}", connections.len(), started.elapsed());
    assert_eq!(scene.hub.requests().total(), upstream, "a hit asks nobody");
    scene.assert_memory_below(60 * MIB, "with a thousand connections");
}

#[actix_rt::test]
async fn many_downloads_of_a_large_cached_blob_take_little_memory() {
    let _guard = HERD_LOCK.lock().await;
    const CLIENTS: u64 = 256;
    // Of 100 MiB each; benches/README.md has figures for the whole.
    const READ: u64 = 16 * MIB;
    let layer = Layer::random(100 * MIB, 4);
    let scene = Scene::of(std::slice::from_ref(&layer)).await;
    let path = blob_path(&layer);
    let mut first = scene.client.connect().await;
    assert_eq!(first.get(&path, "").await.unwrap().status, 200);
    assert!(first.matches(&layer.bytes()).await.unwrap());
    eventually("the blob is stored", async || {
        scene.client.send(scene.client.request("HEAD".parse().unwrap(), &path)).await.header("x-cache") == "hit"
    })
    .await;
    let started = Instant::now();
    let downloads = (0..CLIENTS).map(|_| {
        let (client, path) = (scene.client.clone(), path.clone());
        actix_rt::spawn(async move {
            let mut connection = client.connect().await;
            assert_eq!(connection.get(&path, "").await.unwrap().header("x-cache"), "hit");
            let mut buffer = vec![0; 64 * 1024];
            while connection.left > 100 * MIB - READ {
                connection.read(&mut buffer).await.unwrap();
            }
            connection
        })
    });
    let downloads: Vec<Connection> = join_all(downloads).await.into_iter().map(Result::unwrap).collect();
    let rate = (CLIENTS * READ) as f64 / 1e6 / started.elapsed().as_secs_f64();
    eprintln!("{} downloads of 100 MiB: {rate:.0} MB/s", downloads.len());
    assert_eq!(scene.hub.requests().blob_downloads(layer.digest()), 1);
    scene.assert_memory_below(MAX_RESIDENT_BYTES, "with 256 downloads");
}
