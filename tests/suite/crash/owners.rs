//! Files and folders that the service may not read, as after a run as another user: a start is refused, and says which
//! and how to correct it. They do not count as damaged, so that nothing of them is lost.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Output;

use fake_registry::{Image, Layer};
use serde_json::{Value, json};

use super::damage::as_somebody;
use super::files;
use crate::service::{Scenario, Started};

const PIN: &str = "/groups/team/dependency_proxy/images/app:1";

/// The folders of a service that was stopped, which belong to an unprivileged user, and a copy of the binary.
struct Scene {
    started: Started,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let image = Image::single(&[Layer::random(1_000, 1)]);
        let mut started = Scenario::new().image("library/app", "1", &image).start().await;
        assert_eq!(started.client.manifest("team", "app", "1").await.status, 200);
        for blob in image.blobs() {
            assert_eq!(started.client.stored_blob("team", "app", blob.digest()).await.status, 200);
        }
        assert_eq!(started.service.api("PUT", PIN, json!({"pinned": true})).await.status, 200);
        assert!(started.service.stop().success());
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let scene = Self { started, folder };
        super::identities::copy(&scene.started.service.data(), &scene.path("data"));
        fs::copy(env!("CARGO_BIN_EXE_dependency-proxy"), scene.path("binary")).unwrap();
        fs::set_permissions(scene.path("binary"), fs::Permissions::from_mode(0o755)).unwrap();
        let (_, uid) = as_somebody(&scene.path("binary"));
        give(&scene.path("data"), uid);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let (mut command, _) = as_somebody(&self.path("binary"));
        command
            .args(arguments)
            .env("DEPENDENCY_PROXY__STORAGE__DATA_DIR", self.path("data"))
            .env("DEPENDENCY_PROXY__SERVER__LISTEN", "127.0.0.1:0")
            .env("DEPENDENCY_PROXY__SERVER__METRICS_LISTEN", "")
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }
}

fn give(path: &Path, uid: u32) {
    if uid == 65534 {
        chown(path, Some(uid), Some(uid)).unwrap();
    }
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path(), uid));
    }
}

#[actix_rt::test]
async fn what_the_service_may_not_read_is_refused_by_its_path_and_nothing_is_lost() {
    let mut scene = Scene::new().await;
    let data = scene.path("data");
    let group = scene.started.team.id;
    let names =
        ["identity.journal", "identity", "index", "cache/blobs", "cache/groups", "cache/spool"].map(str::to_owned);
    let tags = format!("cache/groups/{group}/tags");
    let before = files(&data);
    for name in names.into_iter().chain([tags]) {
        let path = data.join(&name);
        let mode = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        for arguments in [&["serve"][..], &["serve", "--check"], &["fsck", "--repair", "--data", "data"]] {
            let output = scene.run(arguments);
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(!output.status.success(), "{name}, {arguments:?}: {said}");
            let says_how = said.contains(path.to_str().unwrap()) && said.contains("chown -R");
            assert!(says_how || arguments[0] == "fsck" && said.contains(&name), "{name}, {arguments:?}: {said}");
            assert!(!said.contains("admin restore"), "{name}, {arguments:?}: {said}");
        }
        fs::set_permissions(&path, mode).unwrap();
    }
    let after = files(&data);
    let lost: Vec<_> = before.iter().filter(|path| !after.contains(path)).collect();
    assert_eq!(lost, [] as [&PathBuf; 0]);
    // What those runs have left is a store like before.
    fs::remove_dir_all(scene.started.service.data()).unwrap();
    super::identities::copy(&data, &scene.started.service.data());
    scene.started.service.restart();
    let image = scene.started.service.api("GET", PIN, Value::Null).await.json();
    assert_eq!((&image["pinned"], &image["state"]), (&json!(true), &json!("fresh")), "{image}");
}
