//! The quota of the store: content that is seldom read is evicted for content that is pulled, and is fetched again when
//! it is pulled.

use std::time::Duration;

use fake_registry::{Image, Kind, Layer};

use crate::faults::assert_store_is_clean;
use crate::operating::metrics::metric;
use crate::service::{Answer, Config, Scenario, Service, Started, eventually};
use crate::small_disk::SmallDisk;

const MIB: u64 = 1 << 20;

/// Quota of the stores in these tests.
const QUOTA: u64 = 10 * MIB;

/// Returns an image with one layer of a mebibyte.
fn image(number: u64) -> Image {
    Image::single(&[Layer::random(MIB, 1_000 + number)])
}

/// Starts a service with the quota, in front of this number of images: `library/app:0`, `library/app:1` and so on.
async fn started(images: u64) -> Started {
    let scenario = (0..images)
        .fold(Scenario::new(), |scenario, number| scenario.image("library/app", &number.to_string(), &image(number)));
    // After the defaults of every test, which do not set it.
    let quota = format!("{QUOTA}B");
    scenario.configured(|config| config.variable("DEPENDENCY_PROXY__STORAGE__MAX_BYTES", &quota)).start().await
}

/// Pulls an image whole, and returns the response to the request for its layer.
async fn pull(scene: &Started, number: u64) -> Answer {
    let image = image(number);
    let manifest = scene.client.manifest("team", "app", &number.to_string()).await;
    assert_eq!((manifest.status, &manifest.body), (200, image.bytes()), "image {number}");
    let layer = &image.layers()[0];
    let blob = scene.client.blob("team", "app", layer.digest()).await;
    assert_eq!((blob.status, blob.cut), (200, false), "image {number}");
    assert!(blob.body == layer.bytes(), "image {number} has wrong bytes");
    blob
}

/// Returns the bytes of the blobs that are on the disk.
fn bytes_of_blobs(service: &Service) -> u64 {
    let shards = std::fs::read_dir(service.data().join("cache/blobs/sha256")).unwrap();
    let files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().metadata().map_or(0, |file| file.len())).sum()
}

#[actix_rt::test]
async fn a_full_cache_goes_on_caching_and_keeps_what_is_read_often() {
    let scene = started(40).await;
    pull(&scene, 0).await;
    // Reads within one second count as one.
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        assert_eq!(pull(&scene, 0).await.header("x-cache"), "hit");
    }
    for number in 1..40 {
        pull(&scene, number).await;
        assert!(bytes_of_blobs(&scene.service) <= QUOTA, "after image {number}");
        if number % 8 == 0 {
            tokio::time::sleep(Duration::from_millis(1_100)).await;
            assert_eq!(pull(&scene, 0).await.header("x-cache"), "hit", "after image {number}");
        }
    }
    assert_eq!(pull(&scene, 0).await.header("x-cache"), "hit", "it is read often");
    // The blob is a hit once its link is written.
    scene.client.stored_blob("team", "app", image(39).layers()[0].digest()).await;
    assert_eq!(scene.hub.requests().of(Kind::BlobDownload), 40, "nothing was passed through");
    // What was evicted is fetched again, and stored again.
    assert_ne!(pull(&scene, 1).await.header("x-cache"), "hit");
    let layer = image(1).layers()[0].digest().to_owned();
    assert_eq!(scene.client.stored_blob("team", "app", &layer).await.status, 200);
    let evicted = metric(&scene.service, "dependency_proxy_evicted_files_total").await;
    assert!(evicted >= 30, "{evicted}");
    assert!(scene.service.log().contains("content that is seldom read was evicted"));
    assert!(!scene.service.log().contains("without being stored"), "a full cache is no alarm");
    assert_store_is_clean(&scene.service).await;
}

#[actix_rt::test]
async fn of_layers_that_fit_alone_but_not_together_those_are_stored_that_fit() {
    let layers: Vec<Layer> = (1..=3).map(|number| Layer::random(4 * MIB, number)).collect();
    let scene = started(1).await;
    scene.hub.push_image("library/large", "1", &Image::single(&layers));
    assert_eq!(scene.client.manifest("team", "large", "1").await.status, 200);
    // All three are under way before one of them ends.
    scene.hub.on(Kind::BlobDownload).hold_after(MIB);
    let pulls = layers.iter().map(|layer| {
        let (client, digest) = (scene.client.clone(), layer.digest().to_owned());
        actix_rt::spawn(async move { client.blob("team", "large", &digest).await })
    });
    let pulls: Vec<_> = pulls.collect();
    let all_began = async || scene.hub.requests().of(Kind::BlobDownload) >= 3;
    eventually("all three are requested", all_began).await;
    scene.hub.release();
    for (pull, layer) in pulls.into_iter().zip(&layers) {
        let blob = pull.await.unwrap();
        assert!(blob.status == 200 && !blob.cut && blob.body == layer.bytes());
    }
    let two_are_stored = async || bytes_of_blobs(&scene.service) == 8 * MIB;
    eventually("two of the three are stored", two_are_stored).await;
}

#[actix_rt::test]
async fn one_file_that_cannot_be_removed_does_not_keep_the_others() {
    let scene = started(30).await;
    for number in 0..3 {
        pull(&scene, number).await;
        scene.client.stored_blob("team", "app", image(number).layers()[0].digest()).await;
    }
    // A folder in its place cannot be removed as a file.
    let hex = image(0).layers()[0].digest().strip_prefix("sha256:").unwrap().to_owned();
    let path = scene.service.data().join("cache/blobs/sha256").join(&hex[..2]).join(&hex);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    for number in 3..30 {
        pull(&scene, number).await;
    }
    scene.client.stored_blob("team", "app", image(29).layers()[0].digest()).await;
    assert!(!scene.service.log().contains("without being stored"));
    assert!(scene.service.log().contains("a stored file could not be removed to make room"));
    assert!(bytes_of_blobs(&scene.service) <= QUOTA);
}

#[actix_rt::test]
async fn on_a_disk_of_its_own_the_cache_makes_room_until_what_must_stay_free_is_free() {
    let Some(disk) = SmallDisk::try_mount(40) else { return };
    let scenario = (0..60)
        .fold(Scenario::new(), |scenario, number| scenario.image("library/app", &number.to_string(), &image(number)));
    let folder = disk.path().to_str().unwrap().to_owned();
    let on_disk = |config: Config| {
        let config = config.variable("DEPENDENCY_PROXY__STORAGE__CACHE_DIR", &folder);
        let config = config.variable("DEPENDENCY_PROXY__STORAGE__MIN_FREE", "8MiB");
        config.variable("DEPENDENCY_PROXY__STORAGE__MAX_BYTES", "unlimited")
    };
    let scene = scenario.configured(on_disk).start().await;
    for number in 0..60 {
        pull(&scene, number).await;
        let free = rustix::fs::statvfs(disk.path()).unwrap();
        // Small files of the index may take some blocks of what is to stay free.
        assert!(free.f_bavail * free.f_frsize >= 7 * MIB, "after image {number}: {} blocks", free.f_bavail);
    }
    assert_eq!(scene.hub.requests().of(Kind::BlobDownload), 60);
    // The blob is a hit once its link is written.
    scene.client.stored_blob("team", "app", image(59).layers()[0].digest()).await;
    assert!(!scene.service.log().contains("without being stored"));
}

#[actix_rt::test]
async fn kills_in_the_middle_of_evictions_leave_whole_blobs_and_sizes_that_are_right() {
    const IMAGES: u64 = 30;
    let mut scene = started(IMAGES).await;
    for round in 0..6 {
        let pulls = (0..IMAGES).map(|number| {
            let (client, number) = (scene.client.clone(), (number + 5 * round) % IMAGES);
            actix_rt::spawn(async move {
                let path = format!("/v2/team/dependency_proxy/containers/app/manifests/{number}");
                client.try_get(&path).await?;
                let layer = image(number).layers()[0].clone();
                let path = format!("/v2/team/dependency_proxy/containers/app/blobs/{}", layer.digest());
                let blob = client.try_get(&path).await?;
                assert!(blob.cut || blob.status != 200 || blob.body == layer.bytes(), "image {number}");
                Some(())
            })
        });
        let pulls: Vec<_> = pulls.collect();
        tokio::time::sleep(Duration::from_millis(60 + 50 * round)).await;
        scene.service.kill_and_restart();
        for pull in pulls {
            pull.await.unwrap();
        }
        scene.client = scene.service.log_in_with(&scene.token).await;
    }
    // What was stored shortly before a kill counts once the start has compared the records with the files.
    let is_compared =
        async || metric(&scene.service, "dependency_proxy_stored_bytes").await >= bytes_of_blobs(&scene.service);
    eventually("the files are counted", is_compared).await;
    for number in 0..IMAGES {
        pull(&scene, number).await;
        assert!(bytes_of_blobs(&scene.service) <= QUOTA, "after image {number}");
    }
    assert_store_is_clean(&scene.service).await;
    let sizes_are_right = async || {
        let manifests = (0..IMAGES).map(|number| image(number).bytes().len() as u64).sum::<u64>();
        let told = metric(&scene.service, "dependency_proxy_stored_bytes").await;
        told == bytes_of_blobs(&scene.service) + manifests
    };
    eventually("the sizes are those of the files", sizes_are_right).await;
}

#[actix_rt::test]
async fn content_that_is_longer_than_the_quota_is_passed_through_and_evicts_nothing() {
    let layer = Layer::random(QUOTA + 1, 7);
    let huge = Image::single(std::slice::from_ref(&layer));
    let scene = started(2).await;
    scene.hub.push_image("library/huge", "1", &huge);
    pull(&scene, 0).await;
    scene.client.stored_blob("team", "app", image(0).layers()[0].digest()).await;
    for _ in 0..2 {
        assert_eq!(scene.client.manifest("team", "huge", "1").await.status, 200);
        let blob = scene.client.blob("team", "huge", layer.digest()).await;
        assert_eq!((blob.status, blob.cut), (200, false));
        assert!(blob.body == layer.bytes());
    }
    assert_eq!(scene.hub.requests().blob_downloads(layer.digest()), 2);
    assert_eq!(pull(&scene, 0).await.header("x-cache"), "hit");
}

#[actix_rt::test]
async fn sizes_are_known_after_a_restart_and_also_without_the_index() {
    let mut scene = started(5).await;
    for number in 0..5 {
        pull(&scene, number).await;
        scene.client.stored_blob("team", "app", image(number).layers()[0].digest()).await;
    }
    let stored = async |service: &Service| {
        // The metrics are missing for some seconds after a start.
        let of = async |name: &str| metric(service, &format!("dependency_proxy_stored_{name}")).await;
        (of("bytes").await, of("blobs").await, of("manifests").await)
    };
    let bytes = 5 * MIB + (0..5).map(|number| image(number).bytes().len() as u64).sum::<u64>();
    let expected = (bytes, 5, 5);
    eventually("the sizes are told", async || stored(&scene.service).await == expected).await;
    for index in ["kept", "removed"] {
        assert!(scene.service.stop().success());
        if index == "removed" {
            std::fs::remove_dir_all(scene.service.data().join("index")).unwrap();
        }
        scene.service.restart();
        eventually(&format!("{index}: the sizes are told"), async || stored(&scene.service).await == expected).await;
    }
}
