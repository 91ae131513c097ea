//! Requests that end their connection before a route gets them: they are refused in the shape of their protocol,
//! counted and logged as all others.

use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::metrics::{metrics, value};
use crate::service::{Config, Service, eventually};

/// The response to a request that was sent byte for byte.
struct Response {
    status: u16,
    head: String,
    body: String,
}

impl Response {
    fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {name} in {}", self.head))
    }

    fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Sends a request until there is a response: the service may refuse it before it has read all of it, and a client that
/// continues to send may then see its connection reset instead.
async fn send(service: &Service, request: &str) -> Response {
    let mut received = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(service.address).await.unwrap();
        let _ = stream.write_all(request.as_bytes()).await;
        let _ = stream.read_to_end(&mut received).await;
        if !received.is_empty() {
            break;
        }
    }
    let received = String::from_utf8(received).unwrap();
    let (head, body) = received.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{received}"));
    assert!(!body.contains("HTTP/1.1"), "one response: {received}");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Response { status, head: head.to_owned(), body: body.to_owned() }
}

/// Returns the log line of the refusal with this id.
async fn line(service: &Service, id: &str) -> Value {
    let find = || service.log_lines().into_iter().find(|line| line["span"]["id"] == id);
    eventually("the line of the refusal", async || find().is_some()).await;
    find().unwrap()
}

fn long_head(line: &str, bytes: usize) -> String {
    format!("{line}\r\nhost: x\r\nx: {}", "y".repeat(bytes))
}

#[actix_rt::test]
async fn where_there_is_no_memory_for_a_request_its_client_and_the_operator_learn_it() {
    let service = Config::upstream_at("docker.io", "http://127.0.0.1:9")
        .variable("DEPENDENCY_PROXY__SERVER__REQUEST_MEMORY", "256KiB")
        .start();
    // The memory is enough for two of them only.
    let unfinished = Mutex::new(Vec::new());
    eventually("the memory is in use", async || {
        let mut stream = TcpStream::connect(service.address).await.unwrap();
        let _ = stream.write_all(long_head("GET /v2/ HTTP/1.1", 110 << 10).as_bytes()).await;
        unfinished.lock().unwrap().push(stream);
        let finished = format!("{}\r\n\r\n", long_head("GET /x HTTP/1.1", 100 << 10));
        // Where both grow at the same time, both may be refused and return their memory: one refusal says nothing yet.
        for _ in 0..5 {
            if send(&service, &finished).await.status != 503 {
                return false;
            }
        }
        true
    })
    .await;
    let before = value(&metrics(&service).await, "dependency_proxy_refusals_total{reason=\"no_memory\"}");
    let pull = "GET /v2/team/dependency_proxy/containers/alpine/manifests/1 HTTP/1.1";
    let pull = send(&service, &format!("{}\r\n\r\n", long_head(pull, 100 << 10))).await;
    assert_eq!((pull.status, pull.header("retry-after")), (503, "5"));
    assert!(pull.head.starts_with("HTTP/1.1 503 Too much memory"), "clients show the reason phrase: {}", pull.head);
    let error = &pull.json()["errors"][0];
    assert_eq!(error["code"], "UNAVAILABLE");
    let id = pull.header("x-request-id");
    assert!(error["message"].as_str().unwrap().ends_with(&format!("[{id}]")), "{error}");
    let written = line(&service, id).await;
    let expected = json!({"level": "WARN", "message": "a request failed", "method": "GET", "status": 503,
        "reason": "no_memory", "group": "team", "image": "docker.io/library/alpine", "address": "127.0.0.1"});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&written[name], value, "{name} of {written}");
    }
    let change =
        format!("POST /api/v4/groups HTTP/1.1\r\nhost: x\r\ncontent-length: 61440\r\n\r\n{}", "y".repeat(60 << 10));
    let change = send(&service, &change).await;
    assert_eq!(change.status, 503);
    assert!(change.json()["message"].as_str().unwrap().starts_with("503 Service Unavailable - Too much memory"));
    let metrics = metrics(&service).await;
    assert!(value(&metrics, "dependency_proxy_refusals_total{reason=\"no_memory\"}") >= before + 2.0);
    assert!(value(&metrics, "dependency_proxy_http_requests_total{route=\"manifest\",status=\"503\"}") >= 1.0);
    drop(unfinished);
}

#[actix_rt::test]
async fn what_cannot_be_parsed_has_an_id_a_line_and_a_count_too() {
    let service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    let long = format!("{}\r\n\r\n", long_head("GET /v2/ HTTP/1.1", 200 << 10));
    let long_name = format!("GET /jwt/auth HTTP/1.1\r\n{}: x\r\n\r\n", "n".repeat(300));
    let chunk = "POST /api/v4/groups HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\nhello";
    let cases = [
        ("GET /v2/ HTTP/1.1\r\nbad header\r\n\r\n", 400, "/v2/"),
        ("GET /api/v4/user HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", 400, "/api/v4/user"),
        (&long, 431, "/v2/"),
        (&long_name, 400, "/jwt/auth"),
        (chunk, 400, "/api/v4/groups"),
    ];
    for (request, status, path) in cases {
        let refused = send(&service, request).await;
        assert_eq!(refused.status, status, "{path} {}", refused.head);
        let json = refused.json();
        let sentence = if path.starts_with("/api") { &json["error"] } else { &json["errors"][0]["message"] };
        assert!(sentence.as_str().is_some_and(|sentence| !sentence.is_empty()), "{json}");
        let line = line(&service, refused.header("x-request-id")).await;
        assert_eq!(
            (&line["path"], &line["status"], &line["reason"]),
            (&json!(path), &json!(status), &json!("malformed"))
        );
        assert_eq!(&line["sentence"], sentence);
    }
    let elsewhere = send(&service, "garbage\r\n\r\n").await;
    assert_eq!((elsewhere.status, elsewhere.header("content-type")), (400, "text/plain; charset=utf-8"));
    let head = send(&service, "HEAD /v2/ HTTP/1.1\r\nbad header\r\n\r\n").await;
    assert_eq!((head.status, head.body.as_str()), (400, ""));
    let counted = value(&metrics(&service).await, "dependency_proxy_refusals_total{reason=\"malformed\"}");
    assert!(counted >= 7.0, "{counted}");
    for _ in 0..20 {
        assert_eq!(send(&service, "GET /v2/ HTTP/1.1\r\nbad header\r\n\r\n").await.status, 400);
    }
    let lines = service.log_lines();
    assert_eq!(lines.iter().filter(|line| line["reason"] == "malformed").count(), 10, "{lines:?}");
}
