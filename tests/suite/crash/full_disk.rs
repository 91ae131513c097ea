//! A disk that is filled by the cache and by others: the cache stops in time, and a user can still be blocked for good.

use std::fs;

use fake_registry::{FakeRegistry, Image, Layer};
use serde_json::{Value, json};

use crate::operating::metrics::metric;
use crate::service::{Client, Config, Group, Service, User, eventually};
use crate::small_disk::SmallDisk;

const MIB: u64 = 1 << 20;

/// Free space in bytes that the cache leaves to the identities on the same disk, whatever `min_free` is.
const MIN_FREE_BYTES: u64 = 20 * MIB;

/// A service with all its data on a small disk, and a user who pulls for a group.
struct Scene {
    disk: SmallDisk,
    hub: FakeRegistry,
    service: Service,
    team: Group,
    alice: User,
    client: Client,
}

impl Scene {
    /// Returns `None` where no file system can be mounted.
    async fn start(mebibytes: u64) -> Option<Self> {
        let disk = SmallDisk::try_mount(mebibytes)?;
        let (hub, data) = (FakeRegistry::start(), disk.path().join("data"));
        let service = Config::docker_hub(&hub)
            .variable("DEPENDENCY_PROXY__STORAGE__DATA_DIR", data.to_str().unwrap())
            .and("[cache]\nmax_manifest_bytes = \"5MiB\"\nmanifest_memory = \"1MiB\"")
            .start();
        let team = service.group("team").await;
        let alice = service.user("alice", "alices-password").await;
        service.add_member(&team, &alice, 20).await;
        let token = service.personal_token(&alice, "pulls", &["read_registry", "write_registry"]).await;
        let client = service.log_in("alice", &token.secret).await;
        Some(Self { disk, hub, service, team, alice, client })
    }

    fn free(&self) -> u64 {
        let disk = rustix::fs::statvfs(self.disk.path()).unwrap();
        disk.f_bavail * disk.f_frsize
    }

    fn reserve(&self) -> bool {
        self.disk.path().join("data/reserve").exists()
    }

    async fn pulls(&self, name: &str) -> u16 {
        self.client.manifest("team", name, "1").await.status
    }

    /// Blocks the user, and checks that the user can pull nothing, now and after the process was killed.
    async fn shuts_the_user_out(&mut self) {
        let path = format!("/users/{}/block", self.alice.id);
        let blocked = self.service.api("POST", &path, Value::Null).await;
        assert!((200..300).contains(&blocked.status), "{} {}", blocked.status, blocked.text());
        assert_eq!(self.pulls("first").await, 401);
        self.service.kill_and_restart();
        self.client = self.service.stranger().with_authorization(self.client.authorization());
        assert_eq!(self.pulls("first").await, 401);
    }
}

/// Returns an image whose manifest has `mebibytes` MiB.
fn large_manifest(number: u64, mebibytes: usize) -> Image {
    let image = Image::single(&[Layer::random(1_000, number)]);
    image.edited(|manifest| manifest["annotations"] = json!({ "padding": "x".repeat(mebibytes << 20) }))
}

#[actix_rt::test]
async fn manifests_make_room_for_others_in_time() {
    let Some(mut scene) = Scene::start(96).await else { return };
    scene.hub.push_image("library/first", "1", &large_manifest(0, 1));
    assert_eq!(scene.pulls("first").await, 200);
    for number in 1..=33 {
        let name = format!("image{number}");
        scene.hub.push_image(&format!("library/{name}"), "1", &large_manifest(number, 4));
        assert_eq!(scene.pulls(&name).await, 200, "{name}");
    }
    assert!(scene.free() >= MIN_FREE_BYTES - MIB && scene.reserve(), "{} bytes are free", scene.free());
    let unstored = metric(&scene.service, "dependency_proxy_unstored_manifests_total{reason=\"no_room\"}").await;
    let evicted = metric(&scene.service, "dependency_proxy_evicted_files_total").await;
    assert!(unstored == 0 && evicted >= 10, "{unstored} {evicted}");
    assert!(!scene.service.log().contains("without being stored"));
    assert_eq!(scene.service.log().matches("\"level\":\"ERROR\"").count(), 0);
    scene.shuts_the_user_out().await;
    assert!(scene.reserve(), "nobody needed it");
}

#[actix_rt::test]
async fn links_stop_in_time_and_go_on_unstored() {
    let Some(mut scene) = Scene::start(48).await else { return };
    scene.hub.push_image("library/first", "1", &Image::single(&[Layer::random(1_000, 0)]));
    assert_eq!(scene.pulls("first").await, 200);
    for number in 1..=20 {
        let entry = |layer: u64| {
            let digest = format!("sha256:{:064x}", number << 32 | layer);
            json!({"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "digest": digest, "size": 1000})
        };
        let image = Image::single(&[Layer::random(1_000, number)])
            .edited(|manifest| manifest["layers"] = (0..4095).map(entry).collect());
        scene.hub.push_image(&format!("library/image{number}"), "1", &image);
        assert_eq!(scene.pulls(&format!("image{number}")).await, 200);
    }
    let files = super::files(&scene.disk.path().join("data/cache/groups"));
    assert!(files.len() <= 50, "{} files", files.len());
    assert!(scene.free() >= MIN_FREE_BYTES - 2 * MIB, "{} bytes are free", scene.free());
    assert!(metric(&scene.service, "dependency_proxy_unstored_manifests_total{reason=\"no_room\"}").await >= 1);
    scene.shuts_the_user_out().await;
}

#[actix_rt::test]
async fn blobs_stop_in_time_also_while_many_arrive_at_once() {
    let Some(mut scene) = Scene::start(80).await else { return };
    scene.hub.push_image("library/first", "1", &Image::single(&[Layer::random(1_000, 0)]));
    assert_eq!(scene.pulls("first").await, 200);
    let layers: Vec<Layer> = (1..=12).map(|number| Layer::random(8 * MIB, number)).collect();
    scene.hub.push_image("library/app", "1", &Image::single(&layers));
    assert_eq!(scene.pulls("app").await, 200);
    let pulls = layers.iter().map(|layer| scene.client.blob("team", "app", layer.digest()));
    for (blob, layer) in futures::future::join_all(pulls).await.into_iter().zip(&layers) {
        assert!(blob.status == 200 && blob.body == layer.bytes());
        assert!(scene.free() >= MIN_FREE_BYTES - 4 * MIB && scene.reserve(), "{} bytes are free", scene.free());
    }
    scene.shuts_the_user_out().await;
}

#[actix_rt::test]
async fn a_start_for_which_there_is_no_space_says_how_much_to_free() {
    let Some(mut scene) = Scene::start(64).await else { return };
    scene.service.kill();
    // Everything has to be written again, and the reserve is used up.
    let data = scene.disk.path().join("data");
    fs::remove_dir_all(data.join("identity")).unwrap();
    fs::remove_file(data.join("reserve")).unwrap();
    let filler = scene.disk.fill();
    let refusal = scene.service.restart_unless_refused().unwrap_err();
    assert!(refusal.contains("is full") && refusal.contains("free at least 4 MiB"), "{refusal}");
    fs::remove_file(filler).unwrap();
    scene.service.restart();
}

#[actix_rt::test]
async fn where_others_fill_the_disk_changes_use_the_reserve_and_then_say_what_is_full() {
    let Some(mut scene) = Scene::start(64).await else { return };
    scene.hub.push_image("library/first", "1", &Image::single(&[Layer::random(1_000, 0)]));
    assert_eq!(scene.pulls("first").await, 200);
    let filler = scene.disk.fill();
    assert!(scene.free() == 0 && scene.reserve());
    scene.shuts_the_user_out().await;
    assert!(!scene.reserve() && scene.free() > 8 * MIB, "{} bytes are free", scene.free());

    let kept = scene.disk.path().join("first-filler");
    fs::rename(&filler, &kept).unwrap();
    scene.disk.fill();
    let refused = scene.service.api("POST", &format!("/users/{}/unblock", scene.alice.id), Value::Null).await;
    assert_eq!(refused.status, 507);
    assert!(refused.text().contains("storage.data_dir) is full"), "{}", refused.text());
    let members = format!("/groups/{}/members", scene.team.id);
    assert_eq!(scene.service.api("GET", &members, Value::Null).await.status, 200);
    scene.service.kill_and_restart();
    scene.client = scene.service.stranger().with_authorization(scene.client.authorization());
    assert_eq!(scene.pulls("first").await, 401, "it starts on a disk without a free byte");

    fs::remove_file(kept).unwrap();
    fs::remove_file(filler).unwrap();
    eventually("the reserve is there again", async || scene.reserve()).await;
    assert_eq!(scene.service.api("POST", &format!("/users/{}/unblock", scene.alice.id), Value::Null).await.status, 201);
}
