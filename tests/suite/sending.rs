//! Blobs on the plain-HTTP port: they are sent in order, complete or cut off, and nothing is kept for a
//! client that has left.

mod connections;
mod crowd;
mod half_closed;
mod pipelines;
mod slow;
mod wire;

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fake_registry::{FakeRegistry, Image, Kind, Layer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use self::wire::{Stream, Wire};
use crate::operating::metrics::metric;
use crate::service::{Client, Config, DEADLINE, Scenario, Service, Started, eventually, secure};

const MIB: u64 = 1 << 20;

/// A service with one group that has pulled the manifest of an image with a large and a small layer.
struct Scene {
    hub: FakeRegistry,
    service: Service,
    client: Client,
    large: Layer,
    small: Layer,
}

impl Scene {
    async fn of(size: u64) -> Self {
        Self::with(size, |config| config).await
    }

    async fn with(size: u64, configured: impl FnOnce(Config) -> Config) -> Self {
        let (large, small) = (Layer::random(size, 1), Layer::random(1000, 2));
        let scenario = Scenario::new().image("library/app", "1", &Image::single(&[large.clone(), small.clone()]));
        let Started { hub, service, client, .. } = scenario.configured(configured).start().await;
        assert_eq!(client.manifest("team", "app", "1").await.status, 200);
        Self { hub, service, client, large, small }
    }

    /// Pulls both layers into the cache.
    async fn stocked(self) -> Self {
        for layer in [&self.large, &self.small] {
            self.client.blob("team", "app", layer.digest()).await;
            let path = path(layer);
            let hit = async || {
                let head = self.client.send(self.client.request("HEAD".parse().unwrap(), &path)).await;
                head.header("x-cache") == "hit"
            };
            eventually("it is stored", hit).await;
        }
        self
    }

    fn stored(&self) -> PathBuf {
        let hex = self.large.digest().strip_prefix("sha256:").unwrap();
        self.service.data().join("cache/blobs/sha256").join(&hex[..2]).join(hex)
    }

    fn request(&self, method: &str, layer: &Layer, more: &str) -> String {
        let authorization = self.client.authorization();
        format!("{method} {} HTTP/1.1\r\nhost: test\r\nauthorization: {authorization}\r\n{more}\r\n", path(layer))
    }

    /// Opens a connection whose socket buffers few unread bytes.
    async fn connect(&self) -> Wire {
        self.connect_as(|tcp| tcp).await
    }

    /// Opens such a connection and wraps it with `made`.
    async fn connect_as<T: Stream + 'static>(&self, made: impl FnOnce(TcpStream) -> T) -> Wire {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let tcp = socket.connect(self.service.address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let tcp = made(tcp);
        let stream: Box<dyn Stream> =
            if self.service.is_secure() { Box::new(secure(tcp).await) } else { Box::new(tcp) };
        Wire { stream, unread: Vec::new() }
    }

    async fn metric(&self, sample: &str) -> u64 {
        metric(&self.service, sample).await
    }

    /// Waits until the service has at most this number of connections.
    async fn until_connections(&self, number: u64) {
        let left = async || self.metric("dependency_proxy_connections").await <= number;
        eventually("the connection is given up", left).await;
    }
}

fn path(layer: &Layer) -> String {
    format!("/v2/team/dependency_proxy/containers/app/blobs/{}", layer.digest())
}

#[actix_rt::test]
async fn the_last_answer_of_a_connection_is_whole_and_is_followed_by_its_end() {
    let scene = Scene::of(3 * MIB).await.stocked().await;
    let close = "connection: close\r\n";
    let form = "POST /jwt/auth HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\
                content-type: application/x-www-form-urlencoded\r\ncontent-length: 12\r\n\r\ngrant_type=x";
    let requests = [
        (scene.request("GET", &scene.small, close), 200),
        (scene.request("HEAD", &scene.small, close), 200),
        (scene.request("GET", &scene.large, close), 200),
        (scene.request("HEAD", &scene.large, close), 200),
        (scene.request("GET", &scene.large, &format!("range: bytes=-1000\r\n{close}")), 206),
        (format!("GET /v2/ HTTP/1.1\r\nhost: test\r\n{close}\r\n"), 401),
        ("GET /healthz HTTP/1.0\r\n\r\n".to_owned(), 200),
        (form.to_owned(), 400),
        // The rest of its body is never sent.
        (form.replace("/jwt/auth", "/v2/").replace(": 12", ": 99"), 405),
    ];
    for (request, status) in requests {
        let mut wire = scene.connect().await;
        wire.send(&request).await;
        let (answered, length) = wire.head().await.unwrap();
        assert_eq!(answered, status, "{request}");
        let sent = if request.starts_with("HEAD") { 0 } else { length };
        assert_eq!(wire.until_cut().await, sent, "{request}");
    }
}

#[actix_rt::test]
async fn answers_come_in_the_order_of_their_requests_on_one_connection() {
    let scene = Scene::of(3 * MIB).await.stocked().await;
    let (large, small) = (scene.large.bytes(), scene.small.bytes());
    let mut wire = scene.connect().await;
    // First one after the other, then all at once.
    for pipelined in [false, true] {
        let requests = [
            ("HEAD", &scene.large, "", 200, 3 * MIB, &[][..]),
            ("GET", &scene.large, "", 200, 3 * MIB, &large[..]),
            ("HEAD", &scene.large, "", 200, 3 * MIB, &[][..]),
            ("GET", &scene.large, "range: bytes=1000-2000999\r\n", 206, 2_000_000, &large[1000..2_001_000]),
            ("GET", &scene.small, "", 200, 1000, &small[..]),
            ("GET", &scene.large, "range: bytes=-40000\r\n", 206, 40_000, &large[large.len() - 40_000..]),
            ("GET", &scene.small, "", 200, 1000, &small[..]),
        ];
        let text = requests.map(|(method, layer, more, ..)| scene.request(method, layer, more));
        if pipelined {
            wire.send(&text.concat()).await;
        }
        for (number, (_, _, _, status, length, body)) in requests.into_iter().enumerate() {
            if !pipelined {
                wire.send(&text[number]).await;
            }
            let head =
                wire.head().await.unwrap_or_else(|error| panic!("answer {number}, pipelined {pipelined}: {error}"));
            assert_eq!(head, (status, length), "answer {number}");
            assert!(wire.body(body.len() as u64).await.unwrap() == body, "answer {number} has other bytes");
        }
    }
}

#[actix_rt::test]
async fn a_file_that_becomes_shorter_cuts_its_answers() {
    let scene = Scene::of(32 * MIB).await.stocked().await;
    let mut wire = scene.connect().await;
    wire.send(&(scene.request("GET", &scene.large, "") + &scene.request("GET", &scene.small, ""))).await;
    assert_eq!(wire.head().await.unwrap(), (200, 32 * MIB));
    wire.body(MIB).await.unwrap();
    File::options().write(true).open(scene.stored()).unwrap().set_len(30 * MIB).unwrap();
    assert!(wire.until_cut().await <= 29 * MIB, "something followed what was cut");
    scene.until_connections(1).await;
}

#[actix_rt::test]
async fn a_client_that_leaves_is_forgotten_at_once_also_while_upstream_is_silent() {
    let scene = Scene::of(4 * MIB).await;
    let before = scene.metric("dependency_proxy_connections").await;
    scene.hub.on(Kind::BlobDownload).hold_after(MIB);
    let mut wire = scene.connect().await;
    wire.send(&scene.request("GET", &scene.large, "")).await;
    assert_eq!(wire.head().await.unwrap(), (200, 4 * MIB));
    assert!(wire.body(MIB).await.unwrap() == scene.large.bytes()[..MIB as usize]);
    eventually("it is counted", async || scene.metric("dependency_proxy_connections").await > before).await;
    drop(wire);
    scene.until_connections(before).await;
    scene.hub.release();
}

#[actix_rt::test]
async fn what_a_client_did_not_take_is_not_counted_as_served() {
    let scene = Scene::of(64 * MIB).await.stocked().await;
    let (served, connections) = ("dependency_proxy_served_bytes_total", "dependency_proxy_connections");
    let (before, open) = (scene.metric(served).await, scene.metric(connections).await);
    let mut wire = scene.connect().await;
    wire.send(&scene.request("GET", &scene.large, "")).await;
    wire.head().await.unwrap();
    wire.body(MIB).await.unwrap();
    drop(wire);
    scene.until_connections(open).await;
    let given = scene.metric(served).await - before;
    assert!((MIB..32 * MIB).contains(&given), "{given} bytes");
}

#[actix_rt::test]
async fn a_client_that_neither_reads_nor_asks_to_the_end_is_cut_off() {
    let scene = Scene::with(32 * MIB, |config| config.variable("DEPENDENCY_PROXY__SERVER__CLIENT_TIMEOUT", "1s")).await;
    let scene = scene.stocked().await;
    let (mut deaf, mut stuck) = (scene.connect().await, scene.connect().await);
    deaf.send(&scene.request("GET", &scene.large, "")).await;
    stuck.send(&scene.request("GET", &scene.small, "")).await;
    assert_eq!(stuck.head().await.unwrap(), (200, 1000));
    stuck.body(1000).await.unwrap();
    // A head that never ends.
    let mut line = scene.request("GET", &scene.small, "").trim_end().to_owned();
    let endless = async {
        while stuck.stream.write_all(line.as_bytes()).await.is_ok() {
            line = "\r\nx: y".to_owned();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(DEADLINE, endless).await.expect("the connection is closed");
    // The connection of the client that created the scene is idle for the same time.
    scene.until_connections(0).await;
    assert!(deaf.until_cut().await < 32 * MIB);
}

#[actix_rt::test]
async fn a_client_has_the_configured_time_for_its_first_request_and_is_sent_nothing_after_it() {
    let scene = Scene::with(MIB, |config| config.variable("DEPENDENCY_PROXY__SERVER__CLIENT_TIMEOUT", "9s")).await;
    let (silent, unfinished, mut slow) = (scene.connect().await, scene.connect().await, scene.connect().await);
    let connected = Instant::now();
    let mut unfinished = unfinished;
    unfinished.send("GET /healthz HTTP/1.1\r\nhost: te").await;
    slow.send("GET /healthz HTTP/1.1\r\nhost: te").await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    slow.send("st\r\n\r\n").await;
    assert_eq!(slow.head().await.unwrap().0, 200);
    for wire in [silent, unfinished] {
        assert_eq!(wire.until_cut().await, 0, "it was sent something");
    }
    assert!(connected.elapsed() >= Duration::from_secs(8), "{:?}", connected.elapsed());
}

#[actix_rt::test]
async fn a_connection_is_kept_for_a_while_for_who_asks_now_and_then() {
    let scene = Scene::with(MIB, |config| config.variable("DEPENDENCY_PROXY__SERVER__CLIENT_TIMEOUT", "2s")).await;
    let scene = scene.stocked().await;
    let mut wire = scene.connect().await;
    for layer in [&scene.small, &scene.large, &scene.small] {
        wire.send(&scene.request("GET", layer, "")).await;
        let (status, length) = wire.head().await.unwrap();
        assert_eq!((status, length), (200, layer.bytes().len() as u64));
        assert!(wire.body(length).await.unwrap() == layer.bytes());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    // Then it sends no further request.
    assert_eq!(wire.until_cut().await, 0);
}

#[actix_rt::test]
async fn a_hit_that_is_under_way_is_finished_when_the_service_is_told_to_stop() {
    let mut scene = Scene::of(16 * MIB).await.stocked().await;
    let mut wire = scene.connect().await;
    wire.send(&scene.request("GET", &scene.large, "")).await;
    assert_eq!(wire.head().await.unwrap(), (200, 16 * MIB));
    scene.service.tell_to_stop();
    assert!(wire.body(16 * MIB).await.unwrap() == scene.large.bytes());
    assert_eq!(wire.until_cut().await, 0);
    assert_eq!(scene.service.ended().await.code(), Some(0));
}
