//! Blobs during their download, and blobs that cannot be stored: the responses to clients, and the upstream requests.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fake_registry::{FakeRegistry, Image, Kind, Layer};

use crate::operating::metrics::metric;
use crate::service::{ADMIN_TOKEN, Client, Config, Scenario, Service, Started, Token};
use crate::small_disk::SmallDisk;

mod damaged;
mod ranges;
mod unstorable;

const MIB: u64 = 1 << 20;

/// A service with one group that has pulled the manifest of an image with one layer.
struct Scene {
    hub: FakeRegistry,
    service: Service,
    client: Client,
    token: Token,
    layer: Layer,
}

impl Scene {
    async fn of(size: u64) -> Self {
        Self::with(size, |config| config).await
    }

    async fn with(size: u64, configured: impl FnOnce(Config) -> Config) -> Self {
        let layer = Layer::random(size, size);
        let scenario = Scenario::new().image("library/app", "1", &Image::single(std::slice::from_ref(&layer)));
        let Started { hub, service, client, token, .. } = scenario.configured(configured).start().await;
        assert_eq!(client.manifest("team", "app", "1").await.status, 200);
        Self { hub, service, client, token, layer }
    }

    fn path(&self) -> String {
        blob_path("team", &self.layer)
    }

    fn downloads(&self) -> usize {
        self.hub.requests().blob_downloads(self.layer.digest())
    }

    /// Returns the blob's file, if it is stored below this folder.
    fn stored_in(&self, cache: &Path) -> Option<PathBuf> {
        let hex = self.layer.digest().strip_prefix("sha256:").unwrap();
        Some(cache.join("blobs/sha256").join(&hex[..2]).join(hex)).filter(|path| path.exists())
    }

    fn stored(&self) -> Option<PathBuf> {
        self.stored_in(&self.service.data().join("cache"))
    }

    /// Waits until no download is running, whether stored and linked or not.
    async fn downloaded(&self) {
        for _ in 0..2000 {
            if metric(&self.service, "dependency_proxy_downloads_in_flight").await == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("a download does not end");
    }

    /// Pulls the whole blob, and returns its cache status.
    async fn pull(&self) -> String {
        let blob = self.client.blob("team", "app", self.layer.digest()).await;
        assert_eq!((blob.status, blob.cut, blob.body.len() as u64), (200, false, self.layer.size()));
        assert!(blob.body == self.layer.bytes(), "other bytes than upstream's");
        blob.header("x-cache").to_owned()
    }
}

/// Creates a group that has pulled the image's manifest, and returns a client of it.
async fn pulling_group(service: &Service, group: &str) -> (Client, Token) {
    let made = service.group(group).await;
    let token = service.deploy_token(&made, "ci").await;
    let client = service.log_in_with(&token).await;
    assert_eq!(client.manifest(group, "app", "1").await.status, 200);
    (client, token)
}

fn blob_path(group: &str, layer: &Layer) -> String {
    format!("/v2/{group}/dependency_proxy/containers/app/blobs/{}", layer.digest())
}

#[actix_rt::test]
async fn ranges_heads_and_late_comers_are_served_from_a_running_download() {
    let scene = Scene::of(2 * MIB).await;
    let (bytes, path) = (scene.layer.bytes(), scene.path());
    scene.hub.on(Kind::BlobDownload).hold_after(MIB);
    let mut first = scene.client.connect().await;
    assert_eq!(first.get(&path, "").await.unwrap().header("x-cache"), "miss");
    // A range of what has arrived, and the rest from less than 1 MiB after it, need no request of their own.
    while first.left > 2 * MIB - 500_000 {
        assert!(first.read(&mut [0; 8192]).await.unwrap() > 0);
    }

    let early = scene.client.send(scene.client.request("GET".parse().unwrap(), &path).header("range", "bytes=100-199"));
    let early = early.await;
    assert_eq!((early.status, early.header("x-cache")), (206, "coalesced"));
    assert_eq!(early.header("content-range"), format!("bytes 100-199/{}", 2 * MIB));
    assert_eq!(early.body, bytes[100..200]);

    let head = scene.client.send(scene.client.request("HEAD".parse().unwrap(), &path)).await;
    assert_eq!((head.status, head.header("content-length")), (200, "2097152"));

    let (mut later, mut resuming, mut changed) =
        (scene.client.connect().await, scene.client.connect().await, scene.client.connect().await);
    assert_eq!(later.get(&path, "").await.unwrap().status, 200);
    let if_range = format!("range: bytes=1500000-\r\nif-range: \"{}\"\r\n", scene.layer.digest());
    let resumed = resuming.get(&path, &if_range).await.unwrap();
    assert_eq!((resumed.status, resuming.left), (206, 2 * MIB - 1_500_000));
    let other = changed.get(&path, "range: bytes=1500000-\r\nif-range: \"another\"\r\n").await.unwrap();
    assert_eq!((other.status, changed.left), (200, 2 * MIB));
    let beyond =
        scene.client.send(scene.client.request("GET".parse().unwrap(), &path).header("range", "bytes=2097152-"));
    assert_eq!(beyond.await.status, 416);

    scene.hub.release();
    for connection in [&mut first, &mut later, &mut changed, &mut resuming] {
        assert!(connection.matches(&bytes).await.unwrap());
    }
    assert_eq!(scene.downloads(), 1);
}

#[actix_rt::test]
async fn a_client_that_leaves_stops_no_download() {
    let scene = Scene::of(2 * MIB).await;
    scene.hub.on(Kind::BlobDownload).hold_after(MIB);
    let mut first = scene.client.connect().await;
    assert_eq!(first.get(&scene.path(), "").await.unwrap().status, 200);
    assert!(first.read(&mut [0; 1000]).await.unwrap() > 0);
    drop(first);
    scene.hub.release();
    scene.downloaded().await;
    assert!(scene.stored().is_some());
    assert_eq!(scene.pull().await, "hit");
    assert_eq!(scene.downloads(), 1);
}

#[actix_rt::test]
async fn two_groups_that_ask_at_the_same_moment_share_one_download() {
    let scene = Scene::of(2 * MIB).await;
    let (other, _) = pulling_group(&scene.service, "other").await;
    scene.hub.on(Kind::BlobDownload).hold_after(MIB);
    let (mut ours, mut theirs) = (scene.client.connect().await, other.connect().await);
    let their_path = blob_path("other", &scene.layer);
    let our_path = scene.path();
    let (first, second) = tokio::join!(ours.get(&our_path, ""), theirs.get(&their_path, ""));
    assert_eq!((first.unwrap().status, second.unwrap().status), (200, 200));
    scene.hub.release();
    let bytes = scene.layer.bytes();
    assert!(ours.matches(&bytes).await.unwrap() && theirs.matches(&bytes).await.unwrap());
    scene.downloaded().await;
    assert!(scene.stored().is_some());
    for (client, group) in [(&scene.client, "team"), (&other, "other")] {
        assert_eq!(client.blob(group, "app", scene.layer.digest()).await.header("x-cache"), "hit");
    }
    assert_eq!(scene.downloads(), 1);
    assert_eq!(scene.hub.requests().blob_heads("library/app", scene.layer.digest()), 0);
}

#[actix_rt::test]
async fn a_blob_over_the_limit_is_passed_through_unstored() {
    let scene = Scene::with(MIB, |config| config.and("[cache]\nmax_blob_bytes = \"512KiB\"")).await;
    assert_eq!([scene.pull().await, scene.pull().await], ["miss", "miss"]);
    assert_eq!((scene.downloads(), scene.stored()), (2, None));
    assert!(unstored(&scene.service, "too_long").await >= 2);
}

#[actix_rt::test]
async fn where_the_disk_is_to_stay_free_blobs_are_passed_through_with_one_warning() {
    let scene = Scene::with(MIB, |config| config.variable("DEPENDENCY_PROXY__STORAGE__MIN_FREE", "99%")).await;
    assert_eq!([scene.pull().await, scene.pull().await], ["miss", "miss"]);
    assert_eq!((scene.downloads(), scene.stored()), (2, None));
    assert!(unstored(&scene.service, "no_room").await >= 2);
    assert_eq!(
        scene.service.log().matches("passed on to clients without being stored").count(),
        1,
        "manifests and blobs"
    );
    let url = format!("{}/readyz", scene.service.url());
    let ready = reqwest::get(&url).await.unwrap();
    assert_eq!((ready.status().as_u16(), ready.text().await.unwrap().as_str()), (200, "ok\n"), "strangers see no more");
    let request =
        scene.service.stranger().request(reqwest::Method::GET, "/readyz").header("private-token", ADMIN_TOKEN);
    let ready = scene.service.stranger().send(request).await;
    let line = ready.text().lines().nth(1).unwrap_or_default().to_owned();
    assert_eq!(ready.status, 200);
    for part in ["the disk of the cache is full", "data/cache/blobs", "storage.min_free", "99%"] {
        assert!(line.contains(part), "{line}");
    }
}

/// Returns the number of blobs that were passed through for this reason.
async fn unstored(service: &Service, reason: &str) -> u64 {
    metric(service, &format!("dependency_proxy_unstored_blobs_total{{reason=\"{reason}\"}}")).await
}

#[actix_rt::test]
async fn a_disk_that_fills_up_in_mid_download_breaks_no_pull_and_leaves_no_broken_file() {
    let disk = SmallDisk::mount(24);
    let cache = disk.path().join("cache");
    let scene = Scene::with(12 * MIB, |config| {
        config.variable("DEPENDENCY_PROXY__STORAGE__CACHE_DIR", cache.to_str().unwrap())
    });
    let scene = scene.await;
    let (bytes, path) = (scene.layer.bytes(), scene.path());
    scene.hub.on(Kind::BlobDownload).times(1).hold_after(4 * MIB);
    let mut followers = Vec::new();
    for _ in 0..5 {
        let mut follower = scene.client.connect().await;
        assert_eq!(follower.get(&path, "").await.unwrap().status, 200);
        followers.push(follower);
    }
    let mut waiting = scene.client.connect().await;
    assert_eq!(waiting.get(&path, "range: bytes=10000000-\r\n").await.unwrap().status, 206);
    let filler = disk.fill();
    scene.hub.release();
    for follower in followers.iter_mut().chain([&mut waiting]) {
        assert!(follower.matches(&bytes).await.unwrap(), "other bytes than upstream's");
    }
    assert_eq!(scene.stored_in(&cache), None);
    assert!(unstored(&scene.service, "no_room").await >= 1);
    drop((followers, waiting));

    fs::remove_file(filler).unwrap();
    scene.downloaded().await;
    assert_eq!(fs::read_dir(cache.join("spool")).unwrap().count(), 0, "the spool is given back");
    assert_eq!(scene.pull().await, "miss");
    scene.downloaded().await;
    assert!(scene.stored_in(&cache).is_some());
    assert_eq!(scene.pull().await, "hit");
}

#[actix_rt::test]
async fn a_cut_download_is_resumed_with_a_new_signed_url_and_a_new_token() {
    let scene = Scene::of(3 * MIB).await;
    let tokens = scene.hub.requests().token_requests();
    scene.hub.signed_url_lifetime(Duration::from_millis(300));
    scene.hub.on(Kind::BlobDownload).times(1).hold_after(MIB).cut_after(MIB);
    let mut client = scene.client.connect().await;
    assert_eq!(client.get(&scene.path(), "").await.unwrap().status, 200);
    tokio::time::sleep(Duration::from_millis(400)).await;
    scene.hub.expire_tokens();
    scene.hub.release();
    assert!(client.matches(&scene.layer.bytes()).await.unwrap());
    let requests = scene.hub.requests();
    let downloads = requests.iter().filter(|request| request.kind == Kind::BlobDownload && !request.refused);
    let ranges: Vec<_> = downloads.map(|request| request.range.as_deref()).collect();
    assert_eq!(ranges, [None, Some("bytes=1048576-")]);
    assert_eq!(requests.token_requests(), tokens + 1);
    scene.downloaded().await;
    assert!(scene.stored().is_some());
}

#[actix_rt::test]
async fn wrong_bytes_are_cut_before_the_last_and_not_stored() {
    let scene = Scene::of(MIB).await;
    scene.hub.on(Kind::BlobDownload).times(1).flip_byte(1000);
    let blob = scene.client.blob("team", "app", scene.layer.digest()).await;
    assert!(blob.status == 200 && blob.cut && (blob.body.len() as u64) < MIB, "{} {}", blob.cut, blob.body.len());
    assert_eq!(scene.stored(), None);
    assert_eq!(scene.pull().await, "miss");
    scene.downloaded().await;
    assert!(scene.stored().is_some());
    assert_eq!(scene.downloads(), 2);
}

#[actix_rt::test]
async fn a_head_of_what_is_not_stored_downloads_nothing() {
    let scene = Scene::of(64 * MIB).await;
    let head =
        || scene.client.send(scene.client.request("HEAD".parse().unwrap(), &scene.path()).header("range", "bytes=0-0"));
    let answer = head().await;
    assert_eq!((answer.status, answer.header("content-length"), answer.header("x-cache")), (200, "67108864", "miss"));
    assert_eq!(
        (answer.header("docker-content-digest"), answer.header("accept-ranges")),
        (scene.layer.digest(), "bytes")
    );
    assert_eq!(scene.hub.requests().blob_heads("library/app", scene.layer.digest()), 1);
    assert_eq!((scene.downloads(), scene.stored()), (0, None));
    for kind in [Kind::BlobHead, Kind::BlobRedirect] {
        scene.hub.on(kind).times(1).status(404);
    }
    assert_eq!(head().await.status, 404);
    let unknown = blob_path("team", &Layer::random(10, 10));
    assert_eq!(scene.client.send(scene.client.request("HEAD".parse().unwrap(), &unknown)).await.status, 404);
    assert_eq!(scene.pull().await, "miss", "no link was granted");
    scene.downloaded().await;
    let heads = scene.hub.requests().of(Kind::BlobHead);
    assert_eq!((head().await.header("x-cache"), scene.hub.requests().of(Kind::BlobHead)), ("hit", heads));
}
