//! Distribution of few connections: every address gets a share, and idle connections are closed for new requests.

use std::time::Duration;

use fake_registry::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::{MIB, Scene, Wire};
use crate::service::{Config, eventually};

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n";

async fn scene(connections: usize, each: usize, secure: bool) -> Scene {
    let configured = |config: Config| {
        let config = config.variable("DEPENDENCY_PROXY__SERVER__MAX_CONNECTIONS", &connections.to_string());
        let config = config.variable("DEPENDENCY_PROXY__SERVER__MAX_CONNECTIONS_PER_ADDRESS", &each.to_string());
        if secure { config.secure() } else { config }
    };
    Scene::with(4 * MIB, configured).await
}

async fn is_healthy(wire: &mut Wire) {
    wire.send(HEALTH).await;
    let (status, length) = wire.head().await.unwrap();
    wire.body(length).await.unwrap();
    assert_eq!(status, 200);
}

#[actix_rt::test]
async fn connections_that_request_nothing_end_for_one_that_does_and_one_with_a_response_under_way_stays() {
    for secure in [false, true] {
        let scene = scene(6, 6, secure).await;
        scene.hub.on(Kind::BlobDownload).hold_after(MIB);
        let mut pulling = scene.connect().await;
        pulling.send(&scene.request("GET", &scene.large, "")).await;
        assert_eq!(pulling.head().await.unwrap(), (200, 4 * MIB));
        let mut idle = Vec::new();
        for _ in 0..10 {
            let mut wire = scene.connect().await;
            timeout(Duration::from_secs(10), is_healthy(&mut wire)).await.expect("the idle ones are ended by then");
            idle.push(wire);
        }
        scene.hub.release();
        assert!(pulling.body(4 * MIB).await.unwrap() == scene.large.bytes());
        is_healthy(&mut pulling).await;
        // The connection was closed, not reset: no response was lost.
        assert_eq!(idle.remove(0).until_cut().await, 0);
    }
}

async fn from(address: &str, scene: &Scene) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    socket.connect(scene.service.address).await.unwrap()
}

#[actix_rt::test]
async fn an_address_gets_its_share_of_the_connections_and_others_theirs() {
    let scene = scene(100, 3, false).await;
    let wire = |tcp| Wire { stream: Box::new(tcp), unread: Vec::new() };
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut wire = wire(from("127.0.0.2", &scene).await);
        is_healthy(&mut wire).await;
        open.push(wire);
    }
    let mut refused = from("127.0.0.2", &scene).await;
    assert_eq!(refused.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(scene.metric("dependency_proxy_over_capacity_total{queue=\"connections\"}").await, 1);
    is_healthy(&mut wire(from("127.0.0.3", &scene).await)).await;
    open.pop();
    eventually("its place is free", async || {
        let mut again = wire(from("127.0.0.2", &scene).await);
        again.stream.write_all(HEALTH.as_bytes()).await.is_ok() && again.head().await.is_ok()
    })
    .await;
}

#[actix_rt::test]
async fn unfinished_requests_end_for_one_that_is_whole() {
    for secure in [false, true] {
        let scene = scene(6, 6, secure).await;
        let mut unfinished = Vec::new();
        for _ in 0..6 {
            let mut wire = scene.connect().await;
            is_healthy(&mut wire).await;
            wire.send("G").await;
            unfinished.push(wire);
        }
        let whole = timeout(Duration::from_secs(20), async {
            let mut wire = scene.connect().await;
            is_healthy(&mut wire).await;
            wire
        });
        let mut wire = whole.await.expect("an unfinished one is ended by then");
        is_healthy(&mut wire).await;
        let log = scene.service.log();
        let warnings = log.lines().filter(|line| line.contains("the maximum number of connections is reached"));
        let warnings: Vec<_> = warnings.collect();
        assert!(
            warnings.len() == 1 && warnings[0].contains("WARN") && warnings[0].contains("addresses"),
            "{warnings:?}"
        );
    }
}

/// Returns true where a request with a head of 9 KB from this address gets a response.
async fn long_head_is_healthy(address: &str, scene: &Scene) -> bool {
    let mut wire = Wire { stream: Box::new(from(address, scene).await), unread: Vec::new() };
    wire.send(&HEALTH.replace("\r\n\r\n", &format!("\r\nx-long: {}\r\n\r\n", "x".repeat(9000)))).await;
    wire.head().await.is_ok_and(|(status, _)| status == 200)
}

/// Returns a form for the token endpoint whose chunks are followed by this.
fn form(rest: &str) -> String {
    let kind = "content-type: application/x-www-form-urlencoded\r\ntransfer-encoding: chunked";
    format!("POST /jwt/auth HTTP/1.1\r\nhost: test\r\n{kind}\r\n\r\n{rest}")
}

#[actix_rt::test]
async fn trailers_and_chunk_extensions_without_end_are_refused_and_take_no_memory_from_others() {
    let scene = Scene::with(MIB, |config| config.variable("DEPENDENCY_PROXY__SERVER__REQUEST_MEMORY", "1MiB")).await;
    let (trailer, chunk) = (format!("t: {}\r\n", "x".repeat(995)), format!("1;e={}\r\nx\r\n", "x".repeat(4000)));
    for (begin, more) in [("0\r\n", trailer), ("", chunk)] {
        let mut wire = scene.connect().await;
        wire.send(&form(begin)).await;
        for _ in 0..MIB / more.len() as u64 {
            if wire.stream.write_all(more.as_bytes()).await.is_err() {
                break;
            }
        }
        // Long before the timeout of the incomplete form.
        timeout(Duration::from_secs(5), wire.until_cut()).await.expect("its connection ends");
        assert!(long_head_is_healthy("127.0.0.1", &scene).await);
    }
    let mut wire = scene.connect().await;
    wire.send(&form(&format!("0\r\n{}", "t: x\r\n".repeat(3000)))).await;
    assert_eq!(wire.head().await.unwrap().0, 400);
}

#[actix_rt::test]
async fn chunks_that_could_be_read_in_two_ways_are_refused_and_nothing_behind_them_is_answered() {
    let scene = Scene::of(MIB).await;
    let long = format!("{}5", "0".repeat(300));
    for rest in ["0\r\nfoo: a\n\n", "0\n\r\n", &format!("{long}\r\nhello\r\n0\r\n\r\n")] {
        let mut wire = scene.connect().await;
        wire.send(&(form(rest) + HEALTH)).await;
        let (status, length) = wire.head().await.unwrap();
        wire.body(length).await.unwrap();
        assert_eq!((status, wire.until_cut().await), (400, 0), "{rest:?}");
    }
}

#[actix_rt::test]
async fn an_address_takes_its_share_of_the_memory_for_requests_and_others_have_the_rest() {
    let scene = Scene::with(MIB, |config| config.variable("DEPENDENCY_PROXY__SERVER__REQUEST_MEMORY", "2MiB")).await;
    let begun = format!("GET /healthz HTTP/1.1\r\nhost: test\r\nx-long: {}", "x".repeat(100 << 10));
    let mut held = Vec::new();
    for _ in 0..30 {
        let mut tcp = from("127.0.0.2", &scene).await;
        // Some are refused before they have sent all of it.
        let _ = tcp.write_all(begun.as_bytes()).await;
        held.push(tcp);
    }
    eventually("most are refused", async || {
        scene.metric("dependency_proxy_over_capacity_total{queue=\"unread_input\"}").await >= 25
    })
    .await;
    let answers = [long_head_is_healthy("127.0.0.3", &scene).await, long_head_is_healthy("127.0.0.4", &scene).await];
    assert_eq!(answers, [true, true]);
    drop(held);
    eventually("it is given back", || long_head_is_healthy("127.0.0.2", &scene)).await;
}

#[actix_rt::test]
async fn a_form_that_does_not_arrive_in_time_or_is_too_large_ends_its_connection() {
    let scene = Scene::of(MIB).await;
    let large = form(&format!("4000\r\n{}\r\n", "x".repeat(0x4000)).repeat(6));
    for (request, status) in [(form("5\r\ngrant\r\n"), 408), (large, 413)] {
        let mut wire = scene.connect().await;
        wire.send(&request).await;
        let (answered, length) = wire.head().await.unwrap();
        assert_eq!(answered, status);
        wire.body(length).await.unwrap();
        assert_eq!(timeout(Duration::from_secs(5), wire.until_cut()).await.expect("it ends"), 0);
    }
}

#[actix_rt::test]
async fn heads_that_are_held_open_take_no_more_than_their_memory_and_leave_others_theirs() {
    let scene = Scene::with(MIB, |config| config.variable("DEPENDENCY_PROXY__SERVER__REQUEST_MEMORY", "4MiB")).await;
    let begun = format!("GET /healthz HTTP/1.1\r\nhost: test\r\nx-long: {}", "x".repeat(100 << 10));
    let before = scene.service.peak_memory();
    let mut held = Vec::new();
    for _ in 0..300 {
        let mut wire = scene.connect().await;
        // Some are refused before they have sent all of it.
        let _ = wire.stream.write_all(begun.as_bytes()).await;
        held.push(wire);
    }
    eventually("most are refused", async || {
        scene.metric("dependency_proxy_over_capacity_total{queue=\"unread_input\"}").await >= 255
    })
    .await;
    let taken = scene.service.peak_memory().saturating_sub(before);
    assert!(taken < 24 << 20, "{taken} bytes");
    is_healthy(&mut scene.connect().await).await;
    assert_eq!(scene.client.manifest("team", "app", "1").await.status, 200);
}
