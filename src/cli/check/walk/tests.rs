//! Runs of the steps against a small service with configurable responses.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::HashMap;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const CONFIG: &[u8] = b"{}";
const TEXT: Steps = Steps { as_json: false };
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const MANIFEST_PATH: &str = "/v2/team/dependency_proxy/containers/alpine/manifests/latest";

struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn response(status: u16, headers: &[(&'static str, &str)], body: impl Into<Vec<u8>>) -> Response {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Response { status, headers, body: body.into() }
}

fn refusal(status: u16, message: &str) -> Response {
    let body = serde_json::json!({ "errors": [{ "code": "DENIED", "message": message }] });
    response(status, &[("content-type", "application/json")], body.to_string())
}

fn manifest() -> String {
    let digest = sha256::digest(CONFIG);
    format!(r#"{{"config":{{"digest":"{digest}","size":{}}},"layers":[]}}"#, CONFIG.len())
}

/// Returns the responses of a service that works, with these changes.
fn service(url: &str, changes: impl IntoIterator<Item = (&'static str, Response)>) -> HashMap<String, Response> {
    let challenge = format!("Bearer realm=\"{url}jwt/auth\",service=\"dependency_proxy\"");
    let config = format!("/v2/team/dependency_proxy/containers/alpine/blobs/{}", sha256::digest(CONFIG));
    let well = [
        ("/v2/".to_owned(), response(401, &[("www-authenticate", &challenge)], "")),
        ("/jwt/auth".to_owned(), response(200, &[], r#"{"token":"t"}"#)),
        (MANIFEST_PATH.to_owned(), response(200, &[("content-type", MANIFEST_TYPE), ("x-cache", "miss")], manifest())),
        (config, response(200, &[], CONFIG)),
    ];
    well.into_iter().chain(changes.into_iter().map(|(path, response)| (path.to_owned(), response))).collect()
}

async fn serve(listener: TcpListener, responses: HashMap<String, Response>) {
    loop {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 8192];
        let read = socket.read(&mut request).await.unwrap();
        if read == 0 {
            continue;
        }
        let target = String::from_utf8_lossy(&request[..read]).split(' ').nth(1).unwrap().to_owned();
        let path = target.split('?').next().unwrap();
        let unknown = response(500, &[], "");
        let Response { status, headers, body } = responses.get(path).unwrap_or(&unknown);
        let mut head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        socket.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
        socket.write_all(body).await.unwrap();
    }
}

async fn walk(changes: impl IntoIterator<Item = (&'static str, Response)>) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let server = tokio::spawn(serve(listener, service(url.as_str(), changes)));
    let http = Http::new(&url, None).unwrap();
    let image = "alpine".parse().unwrap();
    let login = Some(("alice".to_owned(), SecretString::from("secret")));
    let outcome = Walk { http: &http, url: &url, group: "team", image: &image, login, steps: TEXT }.run().await;
    server.abort();
    outcome
}

fn failed_at(outcome: Result<(), Failure>) -> &'static str {
    match outcome {
        Err(Failure::Check(step)) => step,
        other => unreachable!("{other:?}"),
    }
}

#[tokio::test]
async fn a_pull_that_works_passes_every_step() {
    assert!(walk([]).await.is_ok());
}

#[tokio::test]
async fn the_step_that_fails_is_named() {
    let not_a_member = "Group 'team' does not exist, or alice is not a member of it";
    let few_scopes = "Token 'ci' has the scope read_registry; pulling needs read_registry and write_registry, or api";
    let stale = response(200, &[("content-type", MANIFEST_TYPE), ("x-cache", "stale"), ("age", "9")], manifest());
    let digest = format!("sha256:{}", "0".repeat(64));
    let altered = response(200, &[("content-type", MANIFEST_TYPE), ("docker-content-digest", &digest)], manifest());
    for (step, path, response) in [
        ("challenge", "/v2/", response(200, &[], "a web server")),
        ("token", "/jwt/auth", refusal(401, "Wrong username or password")),
        ("scopes", "/jwt/auth", refusal(403, few_scopes)),
        ("membership", MANIFEST_PATH, refusal(403, not_a_member)),
        ("manifest", MANIFEST_PATH, refusal(404, "docker.io has no 'library/alpine'")),
        ("manifest", MANIFEST_PATH, response(200, &[("content-type", "text/html")], "<html>")),
        ("manifest", MANIFEST_PATH, altered),
        ("upstream", MANIFEST_PATH, refusal(503, "docker.io cannot be reached")),
        ("upstream", MANIFEST_PATH, stale),
    ] {
        assert_eq!(failed_at(walk([(path, response)]).await), step);
    }
}

#[tokio::test]
async fn a_blob_that_was_changed_on_the_way_is_noticed() {
    let path = format!("/v2/team/dependency_proxy/containers/alpine/blobs/{}", sha256::digest(CONFIG));
    let outcome = walk([(Box::leak(path.into_boxed_str()) as &'static str, response(200, &[], "changed"))]).await;
    assert_eq!(failed_at(outcome), "first blob");
}

#[tokio::test]
async fn a_port_where_nobody_listens_fails_at_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let http = Http::new(&url, None).unwrap();
    let image = "alpine".parse().unwrap();
    let outcome = Walk { http: &http, url: &url, group: "team", image: &image, login: None, steps: TEXT }.run().await;
    assert_eq!(failed_at(outcome), "connect");
}

#[test]
fn clients_that_came_by_https_must_not_be_sent_to_http() {
    let url: Url = "https://images.example.com/".parse().unwrap();
    let http = Http::new(&url, None).unwrap();
    let image = "alpine".parse().unwrap();
    let walk = Walk { http: &http, url: &url, group: "team", image: &image, login: None, steps: TEXT };
    let header = "Bearer realm=\"http://images.example.com/jwt/auth\",service=\"dependency_proxy\"";
    let wrong = walk.challenge(&Reply::of(401, &[("www-authenticate", header)], "")).unwrap_err();
    assert!(wrong.why.contains("set server.external_url"), "{wrong:?}");
}

#[test]
fn a_service_that_is_switched_off_is_heard_out() {
    let url: Url = "http://127.0.0.1/".parse().unwrap();
    let http = Http::new(&url, None).unwrap();
    let image = "alpine".parse().unwrap();
    let walk = Walk { http: &http, url: &url, group: "team", image: &image, login: None, steps: TEXT };
    let body = r#"{"errors":[{"code":"DENIED","message":"The dependency proxy is switched off here"}]}"#;
    let wrong = walk.challenge(&Reply::of(403, &[], body)).unwrap_err();
    assert_eq!((wrong.step, wrong.why.as_str()), ("challenge", "The dependency proxy is switched off here"));
}
