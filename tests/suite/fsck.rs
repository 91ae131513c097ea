//! `fsck` on the folders of a stopped service: it reports exactly what is broken, and changes nothing without
//! `--repair`. After a repair, what was whole is served as before, and what was broken is fetched again.

mod damages;
mod index;
mod interrupted;
mod layout;
mod refusals;
mod running;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fake_registry::{FakeRegistry, Image, Kind, Layer, Listener};
use serde_json::{Value, json};

use crate::crash::files;
use crate::service::{Client, Scenario, Service, Started, Token};

/// Keeps tags fresh, so that no test depends on its speed.
const FRESH: &str = "[cache]\ntag_freshness = \"1h\"";

const IMAGES: &str = "/groups/team/dependency_proxy/images";

/// A stopped service with two images in its cache: `library/app:1`, which is pinned, and `library/app:2`.
struct Scene {
    hub: FakeRegistry,
    service: Service,
    token: Token,
    images: Vec<Image>,
    /// A copy of the data folder, and one from before the second image.
    kept: PathBuf,
    earlier: PathBuf,
}

/// Result of a run of `fsck --json`.
struct Run {
    code: i32,
    json: Value,
    error: String,
}

impl Scene {
    async fn start() -> Self {
        let images: Vec<Image> = [1, 2].map(|seed| Image::single(&[Layer::random(100_000, seed)])).into();
        let scenario = Scenario::new().settings(FRESH);
        let scenario = scenario.image("library/app", "1", &images[0]).image("library/app", "2", &images[1]);
        let Started { hub, service, token, client, .. } = scenario.start().await;
        let (kept, earlier) = (service.data().with_extension("kept"), service.data().with_extension("earlier"));
        let mut scene = Self { hub, service, token, images, kept, earlier };
        scene.pull(&client, 1).await;
        let pinned = scene.service.api("PUT", &format!("{IMAGES}/app:1"), json!({"pinned": true})).await;
        assert_eq!(pinned.status, 200);
        assert!(scene.service.stop().success());
        copy(&scene.service.data(), &scene.earlier);
        let client = scene.restart().await;
        scene.pull(&client, 2).await;
        assert!(scene.service.stop().success());
        copy(&scene.service.data(), &scene.kept);
        scene
    }

    /// Brings back the folders of the stopped service as they were.
    fn reset(&self) {
        fs::remove_dir_all(self.service.data()).unwrap();
        copy(&self.kept, &self.service.data());
    }

    async fn restart(&mut self) -> Client {
        self.service.restart();
        self.service.log_in_with(&self.token).await
    }

    /// Pulls an image by its tag, with its blobs, and checks all bytes.
    async fn pull(&self, client: &Client, tag: usize) {
        let image = &self.images[tag - 1];
        let manifest = client.manifest("team", "app", &tag.to_string()).await;
        assert_eq!((manifest.status, &manifest.body), (200, image.bytes()), "image {tag}");
        for blob in image.blobs() {
            let stored = client.stored_blob("team", "app", blob.digest()).await;
            assert!(stored.status == 200 && stored.body == blob.bytes(), "image {tag}");
        }
    }

    /// Runs `fsck` with the settings of the service.
    fn fsck(&self, arguments: &[&str]) -> Run {
        let config = self.service.config().to_str().unwrap();
        Run::of(fsck(&[&["--config", config], arguments].concat()))
    }

    fn cache(&self) -> PathBuf {
        self.service.data().join("cache")
    }

    fn blob(&self, tag: usize) -> PathBuf {
        let layer = &self.images[tag - 1].layers()[0];
        content(&self.cache(), "blobs", layer.digest())
    }

    fn manifest(&self, tag: usize) -> PathBuf {
        content(&self.cache(), "manifests", self.images[tag - 1].digest())
    }

    /// Returns the small file of this kind that contains a text.
    fn small_file(&self, kind: &str, text: &str) -> PathBuf {
        let groups = files(&self.cache().join("groups")).into_iter();
        let mut found = groups.filter(|path| path.components().any(|part| part.as_os_str() == kind));
        found.find(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).contains(text)).unwrap()
    }
}

impl Run {
    fn of(output: Output) -> Self {
        let (out, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let json = serde_json::from_str(&out).unwrap_or(Value::Null);
        Self { code: output.status.code().unwrap(), json, error }
    }

    /// Returns the number of findings of each kind.
    fn numbers(&self) -> BTreeMap<String, u64> {
        serde_json::from_value(self.json["numbers"].clone()).unwrap_or_else(|_| panic!("{}", self.error))
    }

    fn kinds(&self) -> Vec<String> {
        self.numbers().into_keys().collect()
    }

    fn assert_clean(&self, what: &str) {
        assert!(self.code == 0 && self.numbers().is_empty(), "{what}: {:#}\n{}", self.json, self.error);
    }
}

fn fsck(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"));
    command.arg("fsck").args(arguments).arg("--json").stdin(std::process::Stdio::null());
    command
}

fn content(cache: &Path, kind: &str, digest: &str) -> PathBuf {
    let hex = digest.strip_prefix("sha256:").unwrap();
    cache.join(kind).join("sha256").join(&hex[..2]).join(hex)
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// Flips a bit in the middle of a file.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Returns all files below a folder, with their content and the time of their last change.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let file = |path: PathBuf| {
        let seen = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
        (path, seen)
    };
    files(folder).into_iter().map(file).collect()
}

#[actix_rt::test]
async fn a_store_that_was_stopped_is_clean_and_an_examination_changes_nothing_in_it() {
    let scene = Scene::start().await;
    let before = snapshot(&scene.service.data());
    let run = scene.fsck(&[]);
    run.assert_clean("stopped");
    let blobs: usize = scene.images.iter().map(|image| image.blobs().count()).sum();
    let examined = &run.json["examined"];
    assert_eq!(
        (&examined["blobs"], &examined["manifests"], &examined["groups"]),
        (&json!(blobs), &json!(2), &json!(1))
    );
    assert!(examined["index_entries"].as_u64().unwrap() > 0 && examined["users"] == 1, "{examined}");
    assert!(before == snapshot(&scene.service.data()), "nothing is changed, not even by opening a database");

    let data = scene.service.data();
    let output = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"))
        .args(["fsck", "--data", data.to_str().unwrap()])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && told.ends_with("Nothing is broken.\n"), "{told}");
    assert!(output.stderr.is_empty(), "there is no progress bar without a terminal");
}
