//! Upstreams that fail, refuse and send wrong data: the responses to clients, that nothing wrong is stored, that
//! credentials are sent only where they belong, and that the group's cached content stays available.

mod addresses;
mod blobs;
mod limits;
mod manifests;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use fake_registry::{Authorization, FakeRegistry, Image, Kind, Layer, Listener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::service::{Answer, Client, Scenario, Service, Started, Token};

/// The account at docker.io for the group `team`.
pub const USERNAME: &str = "robot";
pub const PASSWORD: &str = "the-robots-password";

/// A service with a group that has one image cached, and a hub with another image.
pub struct Scene {
    pub hub: FakeRegistry,
    pub service: Service,
    pub client: Client,
    /// `library/cached`, pulled by the group.
    pub cached: Image,
    /// `library/new`, not pulled yet.
    pub new: Image,
    token: Token,
}

/// A response as clients see it, including the reason phrase.
#[derive(Debug)]
pub struct Seen {
    pub status: u16,
    pub reason: String,
    pub answer: Answer,
}

/// Pushes both images to the hub.
pub fn stock(hub: &FakeRegistry) -> (Image, Image) {
    let cached = Image::single(&[Layer::random(50_000, 1)]);
    let new = Image::single(&[Layer::random(200_000, 2)]);
    hub.add_account(USERNAME, PASSWORD, &[]);
    hub.push_image("library/cached", "latest", &cached);
    hub.push_image("library/new", "latest", &new);
    (cached, new)
}

impl Scene {
    /// Starts it: tags are revalidated each time, and the hub has one second to respond.
    pub async fn start() -> Self {
        let hub = FakeRegistry::start();
        let (cached, new) = stock(&hub);
        let Started { hub, service, token, client, .. } = Scenario::before(hub)
            .settings(&format!("username = \"{USERNAME}\"\npassword = \"{PASSWORD}\"\ngroups = [\"team\"]"))
            .settings("header_timeout = \"2s\"\nidle_timeout = \"1s\"")
            .settings("[cache]\ntag_freshness = 0\nnegative_ttl = 0\nrevalidate_timeout = \"1s\"")
            .settings("[log]\nfilter = \"debug\"")
            .start()
            .await;
        let scene = Self { hub, service, client, cached, new, token };
        scene.warm().await;
        scene.hub.reset_counts();
        scene
    }

    async fn warm(&self) {
        assert_eq!(self.client.manifest("team", "cached", "latest").await.status, 200);
        for blob in self.blobs() {
            // The last byte is sent shortly before the group's link is written.
            self.client.stored_blob("team", "cached", blob.digest()).await;
        }
    }

    fn blobs(&self) -> Vec<Layer> {
        self.cached.config().into_iter().chain(self.cached.layers()).cloned().collect()
    }

    pub fn new_layer(&self) -> &Layer {
        &self.new.layers()[0]
    }

    /// Moves the cached tag upstream, so that it has to be fetched again.
    pub fn move_cached_tag(&self) {
        self.hub.push_image("library/cached", "latest", &Image::single(&[Layer::random(10, 3)]));
    }

    /// Pulls the tag that is not cached.
    pub async fn pull_new(&self) -> Seen {
        self.see("/v2/team/dependency_proxy/containers/new/manifests/latest").await
    }

    /// Pulls the layer of the image that is not cached.
    pub async fn pull_new_layer(&self) -> Seen {
        let digest = self.new_layer().digest();
        self.see(&format!("/v2/team/dependency_proxy/containers/new/blobs/{digest}")).await
    }

    /// Requests a path twice: with an HTTP client, and on a bare socket for the reason phrase.
    async fn see(&self, path: &str) -> Seen {
        let (status, reason) = self.status_line(path).await;
        let answer = self.client.get(path).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        Seen { status, reason, answer }
    }

    async fn status_line(&self, path: &str) -> (u16, String) {
        let answer = self.service.token(&self.token.username, &self.token.secret, "&scope=x").await;
        let token = answer.json()["token"].as_str().unwrap().to_owned();
        let mut stream = TcpStream::connect(self.service.address).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // The connection may be cut off on purpose.
        let _ = stream.read_to_end(&mut answer).await;
        let text = String::from_utf8_lossy(&answer);
        let mut words = text.lines().next().unwrap_or_default().splitn(3, ' ').skip(1);
        let status = words.next().unwrap_or_default().parse().unwrap_or_default();
        (status, words.next().unwrap_or_default().to_owned())
    }

    /// Checks that the cached image by digest, and all its blobs, are hits.
    pub async fn cached_is_there(&self) {
        let manifest = self.client.manifest("team", "cached", self.cached.digest()).await;
        assert_eq!((manifest.status, manifest.header("x-cache")), (200, "hit"), "{}", manifest.text());
        assert_eq!(&manifest.body, self.cached.bytes());
        for blob in self.blobs() {
            let answer = self.client.blob("team", "cached", blob.digest()).await;
            assert_eq!((answer.status, answer.header("x-cache")), (200, "hit"));
            assert!(answer.body == blob.bytes());
        }
    }

    /// Checks that the tag gives the cached image, with this cache status.
    pub async fn cached_tag_is(&self, word: &str) {
        let manifest = self.client.manifest("team", "cached", "latest").await;
        assert_eq!((manifest.status, manifest.header("x-cache")), (200, word), "{}", manifest.text());
        assert_eq!(&manifest.body, self.cached.bytes());
    }

    /// Checks that every stored file has its digest, that the spool is empty, and that credentials were
    /// sent only where they belong.
    pub async fn nothing_bad_is_left(&self) {
        assert_store_is_clean(&self.service).await;
        for request in self.hub.requests().iter() {
            let shown = request.authorization.as_ref();
            match (request.listener, shown) {
                (Listener::Registry, None | Some(Authorization::Bearer(_))) | (Listener::Realm, None) => {}
                (Listener::Realm, Some(Authorization::Basic { username, password })) => {
                    assert_eq!((username.as_str(), password.as_str()), (USERNAME, PASSWORD));
                }
                (Listener::Storage, None) => {}
                other => panic!("a credential in the wrong place: {other:?}"),
            }
        }
        let mut secrets = self.hub.issued_tokens();
        secrets.push(PASSWORD.to_owned());
        assert_nowhere(&self.service, &secrets);
    }
}

impl Seen {
    /// Checks for a 503 with this message, code and reason phrase, and `Retry-After`.
    pub fn is_unavailable(&self, sentence: &str, reason: &str) {
        assert_eq!((self.status, self.answer.code().as_str()), (503, "UNAVAILABLE"), "{}", self.answer.text());
        self.says(sentence);
        assert_eq!(self.reason, reason);
        assert!(self.answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    }

    /// Checks the message, which may be followed by the request id.
    pub fn says(&self, sentence: &str) {
        let message = self.answer.message();
        assert!(message.starts_with(sentence), "{message}");
        let ending = &message[sentence.len()..];
        let with_id = ending.starts_with(" [") && ending.ends_with(']');
        assert_eq!(with_id, self.status != 404, "{message}");
    }
}

/// Waits until the spool is empty, and checks that every manifest and blob has its digest.
pub async fn assert_store_is_clean(service: &Service) {
    let cache = service.data().join("cache");
    for _ in 0..500 {
        if files(&cache.join("spool")).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(files(&cache.join("spool")), Vec::<PathBuf>::new());
    let stored = files(&cache.join("blobs")).into_iter().chain(files(&cache.join("manifests")));
    for file in stored.filter(|file| file.extension().is_none()) {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert_eq!(hex(&fs::read(&file).unwrap()), name, "{}", file.display());
    }
}

/// Checks that none of these is in the log or in a file of the cache.
fn assert_nowhere(service: &Service, secrets: &[String]) {
    let log = service.log();
    for secret in secrets {
        assert!(!log.contains(secret), "the log contains a secret");
    }
    for file in files(&service.data().join("cache")) {
        let bytes = fs::read(&file).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        assert!(secrets.iter().all(|secret| !text.contains(secret)), "{} contains a secret", file.display());
    }
}

/// Returns all files below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.flat_map(|entry| below(entry.unwrap().path())).collect()
}

/// Returns true where the manifest or blob with this digest is stored.
pub fn is_stored(service: &Service, kind: &str, digest: &str) -> bool {
    stored_path(service, kind, digest).exists()
}

/// Returns the path of a stored file: `kind` is `blobs` or `manifests`.
pub fn stored_path(service: &Service, kind: &str, digest: &str) -> PathBuf {
    let hex = digest.trim_start_matches("sha256:");
    service.data().join("cache").join(kind).join("sha256").join(&hex[..2]).join(hex)
}

fn hex(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Requests for manifests, of both methods.
pub const EVERY_MANIFEST_REQUEST: [Kind; 2] = [Kind::ManifestHead, Kind::ManifestGet];

/// Messages and reason phrases for an upstream without a usable response, for the image `new:latest`.
pub const REFUSES_CONNECTIONS: (&str, &str) = (
    "docker.io cannot be reached (it refused the connection) and new:latest is not cached here yet",
    "Upstream registry refuses connections and this is not cached here yet",
);
pub const REALM_REFUSES_CONNECTIONS: (&str, &str) = (
    "docker.io cannot be reached (its token realm 127.0.0.1: it refused the connection) and new:latest is not cached here yet",
    "Upstream registry refuses connections and this is not cached here yet",
);
pub const CLOSES_CONNECTIONS: (&str, &str) = (
    "docker.io cannot be reached (it closed the connection before it responded) and new:latest is not cached here yet",
    "Upstream registry closed the connection and this is not cached here yet",
);
pub const DOES_NOT_RESOLVE: (&str, &str) = (
    "docker.io cannot be reached (its name cannot be resolved) and new:latest is not cached here yet",
    "Name of the upstream registry cannot be resolved and this is not cached here yet",
);
pub const TOO_SLOW: (&str, &str) = (
    "docker.io cannot be reached (it did not respond in time) and new:latest is not cached here yet",
    "Upstream registry did not respond in time and this is not cached here yet",
);
pub const BROKE_OFF: (&str, &str) = (
    "docker.io broke off in the middle of its response and new:latest is not cached here yet",
    "Upstream registry broke off in the middle and this is not cached here yet",
);
pub const OUT_OF_ORDER: (&str, &str) = (
    "docker.io is out of order (HTTP status 500: \"as the test commanded\") and new:latest is not cached here yet",
    "Upstream registry is out of order and this is not cached here yet",
);

/// Returns the message and the reason phrase for an invalid response.
pub fn wrong(what: &str) -> (String, &'static str) {
    (
        format!("docker.io sent an invalid response ({what}) and new:latest is not cached here yet"),
        "Upstream registry gave a wrong response and this is not cached here yet",
    )
}
