//! Pipelined requests: each response is the same as to the request alone.

use std::time::Duration;

use tokio::time::timeout;

use super::{MIB, Scene, Wire};
use crate::service::Config;

const KIB: u64 = 1024;

/// The response to a request that is alone on its connection.
#[derive(Debug, PartialEq, Eq)]
struct Alone {
    status: u16,
    length: u64,
    body: Vec<u8>,
}

/// A request and its response.
struct Exchange {
    request: String,
    response: Alone,
}

/// Pseudo-random numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// Reads the response to this request; that of a `HEAD` has no body. Request ids in error messages are removed,
/// because they differ.
async fn response(wire: &mut Wire, request: &str) -> std::io::Result<Alone> {
    let (status, length) = wire.head().await?;
    let body = if request.starts_with("HEAD") { Vec::new() } else { wire.body(length).await? };
    let body = if status < 400 || body.is_empty() { body } else { b"an error".to_vec() };
    Ok(Alone { status, length, body })
}

async fn exchanges(scene: &Scene) -> Vec<Exchange> {
    let (large, small) = (&scene.large, &scene.small);
    let digest = |request: String| request.replace(&small.digest()[7..], &"0".repeat(64));
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    let requests = [
        scene.request("GET", small, ""),
        scene.request("HEAD", small, ""),
        scene.request("GET", large, ""),
        scene.request("HEAD", large, ""),
        scene.request("GET", large, "range: bytes=1000-60000\r\n"),
        scene.request("GET", large, "range: bytes=5-9\r\n"),
        scene.request("GET", large, "range: bytes=99999999-\r\n"),
        digest(scene.request("GET", small, "")),
        digest(scene.request("HEAD", small, "")),
        "GET /nowhere HTTP/1.1\r\nhost: test\r\n\r\n".to_owned(),
        "HEAD /nowhere HTTP/1.1\r\nhost: test\r\n\r\n".to_owned(),
        "\r\nGET /healthz HTTP/1.1\r\nhost: test\r\n\r\n".to_owned(),
        "GET /v2/ HTTP/1.1\r\nhost: test\r\n\r\n".to_owned(),
        format!("POST /jwt/auth HTTP/1.1\r\nhost: test\r\n{form}content-length: 12\r\n\r\ngrant_type=x"),
        format!(
            "POST /jwt/auth HTTP/1.1\r\nhost: test\r\n{form}transfer-encoding: chunked\r\n\r\n5\r\ngrant\r\n7\r\n_type=x\r\n0\r\n\r\n"
        ),
    ];
    let mut exchanges = Vec::new();
    for request in requests {
        let mut wire = scene.connect().await;
        wire.send(&request).await;
        let response = response(&mut wire, &request).await.unwrap();
        exchanges.push(Exchange { request, response });
    }
    let statuses: Vec<u16> = exchanges.iter().map(|exchange| exchange.response.status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 206, 206, 416, 404, 404, 404, 404, 200, 401, 400, 400]);
    exchanges
}

/// Sends these bytes in packets with random boundaries.
async fn send_in_packets(wire: &mut Wire, bytes: &str, random: &mut Random) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let most = [1, 8, 100, 1000, 100_000][random.below(5)];
        let (packet, more) = rest.split_at((1 + random.below(most)).min(rest.len()));
        wire.send(packet).await;
        rest = more;
        if random.below(4) == 0 {
            tokio::task::yield_now().await;
        }
    }
}

async fn pipelines_are_answered_in_order(scene: Scene, pipelines: u64) {
    let exchanges = exchanges(&scene).await;
    for seed in 1..=pipelines {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let picked: Vec<usize> = (0..2 + random.below(12)).map(|_| random.below(exchanges.len())).collect();
        let text: String = picked.iter().map(|number| exchanges[*number].request.as_str()).collect();
        let mut wire = scene.connect().await;
        if random.below(2) == 0 {
            wire.send(&text).await;
        } else {
            send_in_packets(&mut wire, &text, &mut random).await;
        }
        for (at, number) in picked.iter().enumerate() {
            let Exchange { request, response: expected } = &exchanges[*number];
            let line = request.trim_start().lines().next().unwrap();
            let response = response(&mut wire, request).await;
            let response = response.unwrap_or_else(|error| panic!("pipeline {seed}, {at}: {line}: {error}"));
            assert!(
                response == *expected,
                "pipeline {seed}, {at}: {line}: {} with {} of {} bytes",
                response.status,
                response.body.len(),
                response.length
            );
        }
        assert!(wire.unread.is_empty(), "pipeline {seed}: more than was requested");
    }
}

#[actix_rt::test]
async fn a_head_behind_a_get_takes_no_body_from_it() {
    let scene = Scene::of(100 * KIB).await.stocked().await;
    let (get, head) = (scene.request("GET", &scene.small, ""), scene.request("HEAD", &scene.small, ""));
    let mut wire = scene.connect().await;
    wire.send(&[get.as_str(), &get, &head, &get].concat()).await;
    for request in [&get, &get, &head, &get] {
        let response = response(&mut wire, request).await.unwrap();
        assert_eq!((response.status, response.length), (200, 1000));
        assert!(request == &head || response.body == scene.small.bytes());
    }
}

#[actix_rt::test]
async fn the_connection_ends_with_the_response_to_a_request_that_says_so_whatever_follows() {
    for scene in [Scene::of(MIB).await.stocked().await, Scene::with(MIB, Config::secure).await.stocked().await] {
        let (whole, next) = (scene.request("GET", &scene.large, ""), scene.request("GET", &scene.small, ""));
        for last in [
            scene.request("GET", &scene.large, "connection: close\r\n"),
            scene.request("GET", &scene.large, "connection: te, close\r\n"),
            whole.replace("HTTP/1.1", "HTTP/1.0"),
        ] {
            let mut wire = scene.connect().await;
            wire.send(&[last.as_str(), &next, &next].concat()).await;
            assert_eq!(wire.head().await.unwrap(), (200, MIB), "{last}");
            assert!(wire.body(MIB).await.unwrap() == scene.large.bytes(), "{last}");
            assert_eq!(timeout(Duration::from_secs(10), wire.until_cut()).await.expect("it ends"), 0, "{last}");
        }
    }
}

#[actix_rt::test]
async fn mixed_pipelines_are_answered_in_order_however_they_are_cut_into_packets() {
    pipelines_are_answered_in_order(Scene::of(100 * KIB).await.stocked().await, 150).await;
}

#[actix_rt::test]
async fn mixed_pipelines_are_answered_in_order_over_tls() {
    pipelines_are_answered_in_order(Scene::with(100 * KIB, Config::secure).await.stocked().await, 60).await;
}
