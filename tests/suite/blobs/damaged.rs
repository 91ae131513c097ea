//! Stored blobs with a flipped bit: they are found, removed and downloaded again, and not served forever.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use fake_registry::Listener;

use super::{MIB, Scene, metric, pulling_group};
use crate::crash::Chances;
use crate::service::{Config, Service, eventually};

/// Flips a bit without a change of the file's times, as a faulty disk does.
fn flip_bit(path: &Path, bit: u64) {
    let (file, before) = (File::options().read(true).write(true).open(path).unwrap(), fs::metadata(path).unwrap());
    let mut byte = [0];
    file.read_exact_at(&mut byte, bit / 8).unwrap();
    file.write_all_at(&[byte[0] ^ 1 << (bit % 8)], bit / 8).unwrap();
    let times = FileTimes::new().set_accessed(before.accessed().unwrap()).set_modified(before.modified().unwrap());
    file.set_times(times).unwrap();
}

async fn damaged(service: &Service) -> u64 {
    metric(service, "dependency_proxy_damaged_total{kind=\"blob\"}").await
}

async fn until_found(service: &Service, count: u64) {
    eventually("the damage is found", async || damaged(service).await >= count).await;
}

/// Returns a scene whose blob is stored.
async fn stored(size: u64, configured: impl FnOnce(Config) -> Config) -> Scene {
    let scene = Scene::with(size, configured).await;
    assert_eq!(scene.pull().await, "miss");
    scene.downloaded().await;
    scene
}

async fn restart(scene: &mut Scene) {
    scene.service.restart();
    scene.client = scene.service.log_in_with(&scene.token).await;
}

fn only_under_suspicion(config: Config) -> Config {
    config.variable("DEPENDENCY_PROXY__STORAGE__VERIFY_BYTES_PER_SECOND", "0")
}

#[actix_rt::test]
async fn damage_is_found_after_a_start_at_whichever_place_and_the_blob_is_fetched_again() {
    let mut scene = stored(MIB, |config| config).await;
    let mut chances = Chances::announced("a stored blob with a flipped bit");
    for round in 1..=3 {
        scene.service.kill();
        flip_bit(&scene.stored().unwrap(), chances.below(8 * MIB));
        restart(&mut scene).await;
        until_found(&scene.service, 1).await;
        let path = scene.stored();
        assert_eq!(path, None, "it is removed");
        let log = scene.service.log();
        assert!(log.contains("a stored file is damaged") && log.contains(scene.layer.digest()), "{log}");
        scene.hub.down(Listener::Storage);
        assert_eq!(scene.client.blob("team", "app", scene.layer.digest()).await.status, 503, "nothing wrong is served");
        scene.hub.up(Listener::Storage);
        assert_eq!(scene.pull().await, "miss");
        scene.downloaded().await;
        assert_eq!(scene.pull().await, "hit");
        assert_eq!(damaged(&scene.service).await, 1, "round {round}");
    }
}

#[actix_rt::test]
async fn damage_is_found_on_a_schedule() {
    let scene = stored(MIB, |config| config.variable("DEPENDENCY_PROXY__STORAGE__VERIFY_INTERVAL", "1s")).await;
    assert_eq!(scene.pull().await, "hit");
    for round in 1..=2 {
        flip_bit(&scene.stored().unwrap(), 8_000);
        until_found(&scene.service, round).await;
        assert_eq!(scene.pull().await, "miss");
        scene.downloaded().await;
    }
}

#[actix_rt::test]
async fn a_client_that_tries_again_gets_right_bytes_before_long() {
    let scene = stored(MIB, only_under_suspicion).await;
    assert_eq!([scene.pull().await, scene.pull().await], ["hit", "hit"]);
    flip_bit(&scene.stored().unwrap(), 8 * MIB - 1);
    let (deadline, mut wrong) = (Instant::now() + Duration::from_secs(60), 0);
    while scene.client.blob("team", "app", scene.layer.digest()).await.body != scene.layer.bytes() {
        wrong += 1;
        assert!(Instant::now() < deadline, "{wrong} wrong responses");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(wrong > 0, "the damage was served");
    // Counted after the removal, which lets the next pull begin.
    eventually("the damage is counted", async || damaged(&scene.service).await == 1).await;
    assert_eq!(scene.downloads(), 2);
    scene.downloaded().await;
    assert_eq!(scene.pull().await, "hit");
}

#[actix_rt::test]
async fn clients_that_fetch_a_blob_once_each_put_it_under_no_suspicion() {
    let scene = stored(MIB, only_under_suspicion).await;
    for number in 0..5 {
        let group = format!("other{number}");
        let (client, _) = pulling_group(&scene.service, &group).await;
        assert_eq!(client.blob(&group, "app", scene.layer.digest()).await.status, 200);
    }
    assert_eq!(metric(&scene.service, "dependency_proxy_verified_bytes_total").await, 0);
    assert_eq!([scene.pull().await, scene.pull().await], ["hit", "hit"]);
    eventually("the blob is verified", async || {
        metric(&scene.service, "dependency_proxy_verified_bytes_total").await == MIB
    })
    .await;
}

#[actix_rt::test]
async fn a_small_blob_that_is_damaged_is_never_served() {
    let mut scene = stored(2_000, only_under_suspicion).await;
    let mut chances = Chances::announced("a small blob with a flipped bit");
    for _ in 0..3 {
        scene.service.kill();
        flip_bit(&scene.stored().unwrap(), chances.below(16_000));
        restart(&mut scene).await;
        assert_eq!(scene.pull().await, "miss");
        scene.downloaded().await;
        assert_eq!((scene.pull().await.as_str(), damaged(&scene.service).await), ("hit", 1));
    }
}
