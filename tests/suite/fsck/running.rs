//! Verification by a running service itself, again and again: manifests, small files, the index and what is counted.

use super::*;
use crate::operating::metrics::metric;
use crate::service::eventually;

/// Starts a service that verifies everything all the time, and has pulled an image for the group `team`.
async fn started() -> (Started, Image) {
    let image = Image::single(&[Layer::random(100_000, 1)]);
    let scenario = Scenario::new().image("library/app", "1", &image).settings(FRESH);
    let often = |config: crate::service::Config| config.variable("DEPENDENCY_PROXY__STORAGE__VERIFY_INTERVAL", "1s");
    let scene = scenario.configured(often).start().await;
    pull(&scene, &image).await;
    (scene, image)
}

async fn pull(scene: &Started, image: &Image) {
    assert_eq!(&scene.client.manifest("team", "app", "1").await.body, image.bytes());
    for blob in image.blobs() {
        assert!(scene.client.stored_blob("team", "app", blob.digest()).await.body == blob.bytes());
    }
}

fn all_bytes(image: &Image) -> u64 {
    image.size() + image.blobs().map(|blob| blob.bytes().len() as u64).sum::<u64>()
}

async fn statistics(service: &Service, path: &str) -> Value {
    service.api("GET", &format!("{path}/dependency_proxy/statistics"), Value::Null).await.json()
}

async fn until_damaged(service: &Service, kind: &str) {
    let name = format!("dependency_proxy_damaged_total{{kind=\"{kind}\"}}");
    eventually(kind, async || metric(service, &name).await >= 1).await;
}

/// Waits until a verification that has begun after this has ended.
async fn next_round(service: &Service) {
    for _ in 0..2 {
        let at = metric(service, "dependency_proxy_verified_at_seconds").await;
        eventually("a verification ends", async || metric(service, "dependency_proxy_verified_at_seconds").await > at)
            .await;
    }
}

#[actix_rt::test]
async fn a_damaged_manifest_is_found_while_the_service_runs() {
    let (mut scene, image) = started().await;
    let path = content(&scene.service.data().join("cache"), "manifests", image.digest());
    flip(&path);
    until_damaged(&scene.service, "manifest").await;
    eventually("it is removed", async || !path.exists()).await;
    scene.service.kill_and_restart();
    scene.client = scene.service.log_in_with(&scene.token).await;
    scene.hub.reset_counts();
    pull(&scene, &image).await;
    assert_eq!((scene.hub.requests().of(Kind::ManifestGet), scene.hub.requests().of(Kind::BlobDownload)), (1, 0));
}

#[actix_rt::test]
async fn a_damaged_small_file_is_found_while_the_service_runs_and_the_index_follows() {
    let (mut scene, image) = started().await;
    let groups = scene.service.data().join("cache/groups");
    let of_kind = |kind: &str| {
        let mut all = files(&groups).into_iter();
        let is_one = |path: &PathBuf| path.components().any(|part| part.as_os_str() == kind);
        all.find(is_one).unwrap_or_default()
    };
    let pinned = scene.service.api("PUT", &format!("{IMAGES}/app:1"), json!({"pinned": true})).await;
    assert_eq!(pinned.status, 200);
    fs::write(of_kind("tags"), "garbage").unwrap();
    until_damaged(&scene.service, "tag").await;
    let is_written_again = async || fs::read_to_string(of_kind("tags")).is_ok_and(|text| text.contains("pinned"));
    eventually("the file is written again", is_written_again).await;
    next_round(&scene.service).await;
    let listed = scene.service.api("GET", &format!("{IMAGES}?pinned=true"), Value::Null).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    fs::remove_file(of_kind("tags")).unwrap();
    fs::remove_file(of_kind("links")).unwrap();
    until_damaged(&scene.service, "index").await;
    let holds_nothing = async || {
        let sizes = statistics(&scene.service, "/groups/team").await;
        sizes["bytes"] == 0 && sizes["images"] == 0
    };
    eventually("the group holds nothing", holds_nothing).await;
    pull(&scene, &image).await;
    next_round(&scene.service).await;
    assert!(scene.service.stop().success());
    let config = scene.service.config().to_str().unwrap();
    let run = Run::of(fsck(&["--config", config]));
    assert!(run.code == 0 && run.numbers().keys().all(|kind| kind == "leftover"), "{:#}", run.json);
}

#[actix_rt::test]
async fn what_is_counted_is_right_again_after_a_blob_was_truncated() {
    let (scene, image) = started().await;
    eventually("all is counted", async || statistics(&scene.service, "").await["bytes"] == all_bytes(&image)).await;
    let layer = &image.layers()[0];
    let path = content(&scene.service.data().join("cache"), "blobs", layer.digest());
    fs::File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
    eventually("it is removed", async || !path.exists()).await;
    let without = all_bytes(&image) - layer.bytes().len() as u64;
    let are_right = async || {
        let (all, team) = (statistics(&scene.service, "").await, statistics(&scene.service, "/groups/team").await);
        all["bytes"] == without && team["bytes"] == without
    };
    eventually("the totals are right", are_right).await;
    pull(&scene, &image).await;
    eventually("all is counted again", async || statistics(&scene.service, "").await["bytes"] == all_bytes(&image))
        .await;
}

#[actix_rt::test]
async fn what_is_purged_or_deleted_during_a_verification_does_not_come_back() {
    let (mut scene, image) = started().await;
    for round in 0..3 {
        if round % 2 == 0 {
            let purged = scene.service.api("DELETE", "/groups/team/dependency_proxy/cache", Value::Null).await;
            assert_eq!(purged.status, 202);
        } else {
            assert_eq!(scene.service.api("DELETE", &format!("{IMAGES}/app:1"), Value::Null).await.status, 204);
        }
        next_round(&scene.service).await;
        assert_eq!(scene.service.api("GET", IMAGES, Value::Null).await.json(), json!([]), "round {round}");
        eventually("the group holds nothing", async || statistics(&scene.service, "/groups/team").await["bytes"] == 0)
            .await;
        pull(&scene, &image).await;
    }
    assert!(scene.service.stop().success());
    let config = scene.service.config().to_str().unwrap();
    Run::of(fsck(&["--config", config])).assert_clean("after all");
}
