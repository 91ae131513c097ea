//! Damaged, locked or unwritable data: rebuilt where possible, else refused with instructions.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use fake_registry::{FakeRegistry, Image, Layer, Listener};

use super::Chances;
use crate::service::{Client, Config, Service};

struct Pulled {
    hub: FakeRegistry,
    image: Image,
    service: Service,
    secret: String,
    username: String,
}

/// Returns a service that has pulled an image, and was killed.
async fn pulled_and_killed() -> Pulled {
    let hub = FakeRegistry::start();
    let image = Image::single(&[Layer::random(20_000, 1)]);
    hub.push_image("library/alpine", "latest", &image);
    let mut service = Config::docker_hub(&hub).and("[cache]\ntag_freshness = \"1h\"").start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let client = service.log_in_with(&token).await;
    assert_eq!(client.manifest("team", "alpine", "latest").await.status, 200);
    client.stored_blob("team", "alpine", image.layers()[0].digest()).await;
    service.kill();
    Pulled { hub, image, service, secret: token.secret, username: token.username }
}

impl Pulled {
    /// Starts the service; everything that was cached is served without an upstream request.
    async fn is_all_there(&mut self) {
        self.service.restart();
        self.hub.reset_counts();
        let client: Client = self.service.log_in(&self.username, &self.secret).await;
        let manifest = client.manifest("team", "alpine", "latest").await;
        assert_eq!((manifest.status, manifest.header("x-cache")), (200, "hit"));
        assert_eq!(&manifest.body, self.image.bytes());
        let layer = &self.image.layers()[0];
        let blob = client.blob("team", "alpine", layer.digest()).await;
        assert_eq!((blob.status, blob.header("x-cache")), (200, "hit"));
        assert_eq!(blob.body, layer.bytes());
        assert_eq!(self.hub.requests().total(), 0);
        self.service.kill();
    }
}

#[actix_rt::test]
async fn a_lost_or_damaged_index_is_rebuilt() {
    let mut pulled = pulled_and_killed().await;
    let index = pulled.service.data().join("index");
    fs::remove_dir_all(&index).unwrap();
    pulled.is_all_there().await;

    spoil(&index.join("conf"));
    pulled.is_all_there().await;
    assert!(index.with_extension("damaged").exists(), "what was damaged is kept aside");

    for database in ["index", "identity"] {
        let folder = pulled.service.data().join(database);
        fs::write(folder.join("snap.0000000000000001.generating"), "half a snapshot").unwrap();
    }
    pulled.is_all_there().await;
}

#[actix_rt::test]
async fn wherever_the_database_of_the_index_is_damaged_everything_is_served_with_upstream_dead() {
    let mut pulled = pulled_and_killed().await;
    let (index, kept) = (pulled.service.data().join("index"), pulled.service.data().join("index.kept"));
    fs::rename(&index, &kept).unwrap();
    let mut chances = Chances::announced("a damaged database of the index");
    for listener in [Listener::Registry, Listener::Realm, Listener::Storage] {
        pulled.hub.down(listener);
    }
    for round in 0..18 {
        drop(fs::remove_dir_all(&index));
        super::identities::copy(&kept, &index);
        let told = harm(&index.join("db"), round % 3, &mut chances);
        eprintln!("round {round}: {told}");
        pulled.is_all_there().await;
    }
}

/// Flips a bit, truncates the file, or zeroes a sector. Returns a description.
fn harm(path: &Path, kind: u64, chances: &mut Chances) -> String {
    let mut bytes = fs::read(path).unwrap();
    // sled's file is long and mostly empty.
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
    let at = chances.below(used) as usize;
    let told = match kind {
        0 => {
            bytes[at] ^= 1 << chances.below(8);
            format!("a bit of byte {at} of {used} is flipped")
        }
        1 => {
            bytes.truncate(at);
            format!("cut to {at} of {used} bytes")
        }
        _ => {
            let begin = at / 512 * 512;
            let end = bytes.len().min(begin + 512);
            bytes[begin..end].fill(0);
            format!("512 bytes from byte {begin} of {used} on are zero")
        }
    };
    fs::write(path, bytes).unwrap();
    told
}

#[actix_rt::test]
async fn whichever_small_file_is_damaged_what_is_served_is_right_and_kept_again() {
    let mut pulled = pulled_and_killed().await;
    let cache = pulled.service.data().join("cache");
    let mut chances = Chances::announced("a damaged small file");
    for _ in 0..12 {
        let mut small: Vec<_> =
            ["groups", "manifests"].iter().flat_map(|kind| super::files(&cache.join(kind))).collect();
        small.sort();
        let path = &small[chances.below(small.len() as u64) as usize];
        let told = harm(path, 0, &mut chances);
        eprintln!("{}: {told}", path.display());
        // Without its database, the index has only the files.
        fs::remove_dir_all(pulled.service.data().join("index")).unwrap();
        pulled.service.restart();
        let client: Client = pulled.service.log_in(&pulled.username, &pulled.secret).await;
        let manifest = client.manifest("team", "alpine", "latest").await;
        assert_eq!((manifest.status, manifest.header("content-type")), (200, pulled.image.media_type()));
        assert_eq!(&manifest.body, pulled.image.bytes());
        let layer = &pulled.image.layers()[0];
        client.stored_blob("team", "alpine", layer.digest()).await;
        pulled.service.kill();
        pulled.is_all_there().await;
    }
}

#[actix_rt::test]
async fn a_lost_or_damaged_database_of_identities_is_made_anew_and_without_the_journal_it_is_refused_with_the_way_back()
{
    let mut pulled = pulled_and_killed().await;
    pulled.service.restart();
    assert_eq!(pulled.service.stop().code(), Some(0));
    let data = pulled.service.data();
    fs::remove_dir_all(data.join("identity")).unwrap();
    pulled.is_all_there().await;
    spoil(&data.join("identity/conf"));
    pulled.is_all_there().await;
    assert!(data.join("identity.damaged").exists(), "what was damaged is kept aside");

    let (journal, kept) = (data.join("identity.journal"), data.with_extension("kept"));
    fs::rename(&journal, &kept).unwrap();
    let refusal = pulled.service.refusal();
    assert!(refusal.contains("admin restore --data") && refusal.contains("identity.journal"), "{refusal}");
    let database = data.with_extension("database");
    fs::rename(data.join("identity"), &database).unwrap();
    let refusal = pulled.service.refusal();
    assert!(refusal.contains("admin restore --data") && refusal.contains("identity.jsonl"), "{refusal}");
    fs::rename(&database, data.join("identity")).unwrap();
    fs::rename(&kept, &journal).unwrap();
    pulled.is_all_there().await;
}

#[actix_rt::test]
async fn a_second_process_on_the_same_data_is_refused() {
    let service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    let refusal = service.refusal();
    assert!(refusal.contains("in use by another process"), "{refusal}");
    assert!(refusal.contains(service.data().to_str().unwrap()), "{refusal}");
    assert_eq!(service.stranger().get("/v2/").await.status, 401, "the first one serves on");
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_with_who_where_and_what_to_run() {
    let above = tempfile::tempdir().unwrap();
    fs::set_permissions(above.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let data = above.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o555)).unwrap();
    let binary = above.path().join("binary");
    fs::copy(env!("CARGO_BIN_EXE_dependency-proxy"), &binary).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let (mut command, uid) = as_somebody(&binary);
    let output = command
        .env("DEPENDENCY_PROXY__STORAGE__DATA_DIR", &data)
        .env("DEPENDENCY_PROXY__SERVER__LISTEN", "127.0.0.1:0")
        .env("DEPENDENCY_PROXY__SERVER__METRICS_LISTEN", "")
        .current_dir(above.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    for part in [format!("user {uid}"), data.display().to_string(), format!("chown -R {uid}")] {
        assert!(said.contains(&part), "{part} is not in: {said}");
    }
}

/// Returns the command as run by an unprivileged user: by another one if this is root.
pub(super) fn as_somebody(binary: &Path) -> (Command, u32) {
    let uid = fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).unwrap();
    if uid != 0 {
        return (Command::new(binary), uid);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary);
    (command, 65534)
}

fn spoil(path: &Path) {
    let length = fs::metadata(path).unwrap().len() as usize;
    fs::write(path, vec![0xa5; length.max(64)]).unwrap();
}

#[actix_rt::test]
async fn one_small_file_that_cannot_be_read_stops_no_start_and_no_other_group() {
    let mut pulled = pulled_and_killed().await;
    pulled.service.restart();
    let other = pulled.service.group("other").await;
    let token = pulled.service.deploy_token(&other, "ci").await;
    let client = pulled.service.log_in_with(&token).await;
    assert_eq!(client.manifest("other", "alpine", "latest").await.status, 200);
    pulled.service.kill();
    let (cache, kept) = (pulled.service.data().join("cache"), pulled.service.data().join("cache.kept"));
    super::identities::copy(&cache, &kept);
    for kind in ["links", "tags"] {
        fs::remove_dir_all(&cache).unwrap();
        super::identities::copy(&kept, &cache);
        let path = super::files(&cache.join(format!("groups/{}/{kind}", other.id))).pop().unwrap();
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        for _ in 0..2 {
            pulled.is_all_there().await;
        }
        pulled.service.restart();
        let client = pulled.service.log_in_with(&token).await;
        assert_eq!(client.manifest("other", "alpine", "latest").await.status, 200, "{kind}: upstream decides");
        pulled.service.kill();
        assert!(kind == "tags" || path.is_file(), "its links are kept again");
    }
}
