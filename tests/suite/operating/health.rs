//! Readiness, and the log lines of failed requests.

use fake_registry::FakeRegistry;
use reqwest::Method;

use crate::service::{Config, Service};

/// Returns a service without a reachable upstream, on a full disk.
fn in_trouble() -> Service {
    Config::upstream_at("docker.io", "http://127.0.0.1:1")
        .variable("DEPENDENCY_PROXY__STORAGE__MIN_FREE", "99%")
        .start()
}

#[actix_rt::test]
async fn it_is_ready_while_upstream_is_down_and_the_disk_is_full() {
    let service = in_trouble();
    for path in ["/healthz", "/readyz"] {
        let answer = service.stranger().get(path).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"), "{path}");
    }
}

#[actix_rt::test]
async fn a_head_of_its_health_is_as_a_get_without_a_body() {
    let service = in_trouble();
    let metrics = format!("http://{}/metrics", service.metrics);
    assert_eq!(reqwest::Client::new().head(metrics).send().await.unwrap().status(), 200);
    for path in ["/healthz", "/readyz"] {
        let client = service.stranger();
        let response = client.send(client.request(Method::HEAD, path)).await;
        assert_eq!((response.status, response.header("content-length"), response.body.len()), (200, "3", 0), "{path}");
    }
}

#[actix_rt::test]
async fn a_request_that_fails_is_logged_once_and_its_id_is_in_every_line_of_it() {
    let service = in_trouble();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let client = service.log_in_with(&token).await;
    let answer = client.manifest("team", "alpine", "latest").await;
    assert_eq!(answer.status, 503);
    let id = answer.header("x-request-id").to_owned();
    assert!(answer.message().ends_with(&format!("[{id}]")), "{}", answer.text());
    let lines = service.log_lines();
    let of_request: Vec<_> = lines.iter().filter(|line| line["span"]["id"] == id.as_str()).collect();
    let messages: Vec<_> = of_request.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["a request failed"]);
}

#[actix_rt::test]
async fn a_service_that_only_this_machine_reaches_is_not_warned_of() {
    let service = Config::docker_hub(&FakeRegistry::start()).start();
    assert!(!service.log().contains("unencrypted"), "{}", service.log());
}
