//! Another cache folder: the commands that move it, and the log lines about a new one.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::metrics::metrics;
use crate::service::{Client, Config, Scenario, Service, Started};
use crate::small_disk::SmallDisk;
use fake_registry::{FakeRegistry, Image, Kind, Layer, Listener};

const OPERATING: &str = include_str!("../../../docs/operating.md");

struct Scene {
    hub: FakeRegistry,
    image: Image,
    service: Service,
    client: Client,
}

impl Scene {
    /// Starts a service with an image in its cache.
    async fn start() -> Self {
        let image = Image::single(&[Layer::random(10_000, 1)]);
        let scenario = Scenario::new().image("library/alpine", "1", &image);
        let Started { hub, service, client, .. } = scenario.start().await;
        let mut scene = Self { hub, image, service, client };
        scene.pull().await;
        assert!(scene.service.stop().success());
        scene.hub.reset_counts();
        scene
    }

    async fn pull(&self) {
        assert_eq!(self.client.manifest("team", "alpine", "1").await.body, self.image.bytes());
        for layer in self.image.layers() {
            assert_eq!(self.client.blob("team", "alpine", layer.digest()).await.status, 200);
        }
    }

    /// Restarts the service with this cache folder, pulls, and returns the lines about the folder. Nothing counts as
    /// damaged.
    async fn restart(&mut self, cache: &Path) -> Vec<String> {
        let config = fs::read_to_string(self.service.config()).unwrap();
        let lines = config.lines().filter(|line| !line.starts_with("cache_dir"));
        let config = lines.collect::<Vec<_>>().join("\n");
        let setting = format!("[storage]\ncache_dir = \"{}\"", cache.display());
        fs::write(self.service.config(), config.replace("[storage]", &setting)).unwrap();
        let before = self.service.log_lines().len();
        self.service.restart();
        self.client = self.service.stranger().with_authorization(self.client.authorization());
        self.pull().await;
        let metrics = metrics(&self.service).await;
        assert!(!metrics.contains("dependency_proxy_damaged_total{"), "{metrics}");
        assert!(self.service.stop().success());
        let lines = self.service.log_lines();
        assert!(!lines[before.min(lines.len())..].iter().any(|line| line["level"] == "ERROR"), "{lines:?}");
        let text = |line: &serde_json::Value| format!("{} {}", line["level"], line["message"]).replace('"', "");
        lines.iter().map(text).filter(|line| line.contains("cache folder")).collect()
    }

    fn downloads(&self) -> usize {
        self.hub.requests().of(Kind::BlobDownload)
    }
}

#[actix_rt::test]
async fn a_cache_folder_that_is_new_or_another_one_is_said_as_what_it_is_and_is_no_damage() {
    let mut scene = Scene::start().await;
    let (old, folder) = (scene.service.data().join("cache"), tempfile::tempdir().unwrap());
    let new = folder.path().join("new");
    let said = scene.restart(&new).await;
    assert!(said.len() == 1 && said[0].starts_with("WARN the cache folder is new"), "{said:?}");
    assert_eq!(scene.downloads(), 1);
    assert_eq!(scene.restart(&new).await, Vec::<String>::new());
    let said = scene.restart(&old).await;
    assert!(said.len() == 1 && said[0].starts_with("INFO the cache folder is another one"), "{said:?}");
    fs::remove_dir_all(&old).unwrap();
    let said = scene.restart(&old).await;
    assert!(said.len() == 1 && said[0].starts_with("WARN the cache folder is new"), "{said:?}");
    assert_eq!(scene.downloads(), 2, "only the new folders were filled");
}

#[actix_rt::test]
async fn the_commands_that_move_the_cache_work_whether_or_not_the_new_folder_exists() {
    let [commands, _] = commands();
    for exists in [false, true] {
        let mut scene = Scene::start().await;
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("dependency-proxy");
        if exists {
            fs::create_dir_all(target.join("lost+found")).unwrap();
        }
        let commands = commands.replace("/srv/dependency-proxy", target.to_str().unwrap());
        let above = scene.service.data().parent().unwrap().to_owned();
        let ran = Command::new("sh").args(["-euc", &commands]).current_dir(above).status().unwrap();
        assert!(ran.success(), "{commands}");
        assert_eq!(scene.restart(&target).await, Vec::<String>::new());
        assert_eq!(scene.downloads(), 0, "everything is in the new folder");
    }
}

#[actix_rt::test]
async fn the_commands_that_move_everything_keep_logins_and_images() {
    let [_, commands] = commands();
    let mut scene = Scene::start().await;
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("dependency-proxy");
    let commands = commands.replace("/srv/dependency-proxy", target.to_str().unwrap());
    let (data, config) = (scene.service.data(), scene.service.config().to_owned());
    let ran = Command::new("sh").args(["-euc", &commands]).current_dir(data.parent().unwrap()).status().unwrap();
    assert!(ran.success(), "{commands}");
    fs::remove_dir_all(&data).unwrap();
    scene
        .service
        .change_setting(&format!("data_dir = \"{}\"", data.display()), &format!("data_dir = \"{}\"", target.display()));
    scene.service.restart();
    scene.client = scene.service.stranger().with_authorization(scene.client.authorization());
    scene.pull().await;
    assert_eq!(scene.downloads(), 0, "the cache came along");
    assert!(!data.exists() && fs::read_to_string(config).unwrap().contains(target.to_str().unwrap()));
    let log = scene.service.log();
    assert!(!log.contains("cache folder"), "{log}");
}

/// Returns the commands of the section about another disk: those for the cache, and those for everything.
fn commands() -> [&'static str; 2] {
    let (_, section) = OPERATING.split_once("## Moving to a bigger disk").unwrap();
    let mut blocks = section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    [blocks.next().unwrap(), blocks.next().unwrap()]
}

#[actix_rt::test]
async fn a_cache_whose_disk_is_not_mounted_is_noticed_at_the_start_and_the_refusal_says_the_way_out() {
    let Some(disk) = SmallDisk::try_mount(40) else { return };
    let image = Image::single(&[Layer::random(10_000, 1)]);
    let folder = disk.path().to_str().unwrap().to_owned();
    let on_disk = |config: Config| {
        let config = config.variable("DEPENDENCY_PROXY__STORAGE__CACHE_DIR", &folder);
        config.variable("DEPENDENCY_PROXY__STORAGE__MIN_FREE", "1MiB")
    };
    let scenario = Scenario::new().image("library/alpine", "1", &image).configured(on_disk);
    let Started { hub, mut service, client, .. } = scenario.start().await;
    assert_eq!(client.manifest("team", "alpine", "1").await.status, 200);
    assert!(service.stop().success());
    // Keeps the content while the disk is not at its place.
    let elsewhere = tempfile::tempdir().unwrap();
    let run = |line: &[&str]| assert!(Command::new(line[0]).args(&line[1..]).status().unwrap().success(), "{line:?}");
    let other = elsewhere.path().to_str().unwrap();
    run(&["mount", "--bind", &folder, other]);
    run(&["umount", &folder]);
    let mut check = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"));
    check.args(["serve", "--check", "--config", service.config().to_str().unwrap()]);
    check.env("DEPENDENCY_PROXY__STORAGE__CACHE_DIR", &folder);
    let checked = check.output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(!checked.status.success() && said.contains("mount that disk and start again"), "{checked:?}");
    for _ in 0..2 {
        let refusal = service.restart_unless_refused().unwrap_err();
        assert!(refusal.contains("mount that disk and start again") && refusal.contains(&folder), "{refusal}");
        let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["cache.lock"], "nothing else is written to the wrong disk");
    }
    run(&["mount", "--bind", other, &folder]);
    run(&["umount", other]);
    service.restart();
    let client = service.stranger().with_authorization(client.authorization());
    hub.down(Listener::Registry);
    assert_eq!(client.manifest("team", "alpine", "1").await.body, image.bytes(), "it is there again");
    assert!(service.stop().success());

    run(&["umount", &folder]);
    let refusal = service.restart_unless_refused().unwrap_err();
    let (_, way_out) = refusal.split_once("remove '").unwrap();
    fs::remove_file(way_out.split_once('\'').unwrap().0).unwrap();
    service.restart();
}
