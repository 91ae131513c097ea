//! One kind of error per cause: the same message is sent to the client, printed by `check`, and logged with the id of
//! the request.

use std::io::Write;
use std::process::{Command, Stdio};

use fake_registry::{FakeRegistry, Kind, Listener};

use super::Scene;
use crate::service::{Config, Service, Token};

const TIMEOUTS: &str = "header_timeout = \"1s\"\nconnect_timeout = \"1s\"";

/// Checks that a pull from this upstream fails with this message, wherever it is reported.
async fn is_told(service: &Service, cause: &str) {
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let client = service.log_in_with(&token).await;
    let answer = client.manifest("team", "up.test/acme/app", "1").await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    let sentence = format!("{cause} and acme/app:1 is not cached here yet");
    assert!(answer.message().starts_with(&sentence), "{} instead of {sentence}", answer.message());
    let id = answer.header("x-request-id");
    let log = service.log();
    let is_there = |line: &str| line.contains(id) && line.contains(&sentence.replace('"', "\\\""));
    assert!(log.lines().any(is_there), "{sentence} is not in {log}");
    let checked = check(service, &token);
    assert!(checked.contains(cause), "{cause} is not in {checked}");
}

fn check(service: &Service, token: &Token) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"))
        .args(["check", "--group", "team", "--image", "up.test/acme/app:1", "--username", &token.username])
        .args(["--secret-stdin", "--url", &service.url()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(token.secret.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[actix_rt::test]
async fn a_name_that_does_not_resolve() {
    let service = Config::upstream_at("up.test", "http://registry.invalid").and(TIMEOUTS).start();
    is_told(&service, "up.test cannot be reached (its name cannot be resolved)").await;
}

#[actix_rt::test]
async fn nobody_who_listens() {
    let hub = FakeRegistry::start();
    hub.down(Listener::Registry);
    let service = Config::hub_named("up.test", &hub).and(TIMEOUTS).start();
    is_told(&service, "up.test cannot be reached (it refused the connection)").await;
}

#[actix_rt::test]
async fn a_realm_where_nobody_listens() {
    let hub = FakeRegistry::start();
    hub.down(Listener::Realm);
    let service = Config::hub_named("up.test", &hub).and(TIMEOUTS).start();
    is_told(&service, "up.test cannot be reached (its token realm 127.0.0.1: it refused the connection)").await;
}

#[actix_rt::test]
async fn no_response_in_time() {
    let hub = FakeRegistry::start();
    hub.on_anything().at(Listener::Registry).before_auth().hang();
    let service = Config::hub_named("up.test", &hub).and(TIMEOUTS).start();
    is_told(&service, "up.test cannot be reached (it did not respond in time)").await;
}

#[actix_rt::test]
async fn tls_to_a_port_that_speaks_none() {
    let hub = FakeRegistry::start();
    let url = hub.url().replace("http://", "https://");
    let service = Config::upstream_at("up.test", &url).and(TIMEOUTS).start();
    is_told(&service, "up.test cannot be reached (TLS failed)").await;
}

#[actix_rt::test]
async fn a_status_of_the_registry_with_its_sentence() {
    let hub = FakeRegistry::start();
    hub.on_anything().at(Listener::Registry).before_auth().refusal(500, "UNKNOWN", "the database is locked");
    let service = Config::hub_named("up.test", &hub).and(TIMEOUTS).start();
    is_told(&service, "up.test is out of order (HTTP status 500: \"the database is locked\")").await;
}

#[actix_rt::test]
async fn an_account_that_is_refused() {
    let hub = FakeRegistry::start();
    let account = "username = \"robot\"\npassword = \"expired\"\ngroups = [\"team\"]";
    let service = Config::hub_named("up.test", &hub).and(TIMEOUTS).and(account).start();
    is_told(&service, "The login of account 'robot' is refused by up.test").await;
}

#[actix_rt::test]
async fn a_page_in_place_of_a_manifest() {
    let hub = FakeRegistry::start();
    hub.on_anything().at(Listener::Registry).before_auth().html();
    let service = Config::hub_named("up.test", &hub).and(TIMEOUTS).start();
    let cause = "up.test sent an invalid response (the media type is not that of a manifest)";
    is_told(&service, cause).await;
}

#[actix_rt::test]
async fn the_pull_limit_of_a_token_realm_keeps_its_time_and_is_told_as_one() {
    let scene = Scene::start("").await;
    scene.push("acme/app", 1);
    scene.hub.on(Kind::Token).too_many_requests(2820);
    let answer = scene.pull("acme/app").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "2820"));
    let sentence = "docker.io's pull limit is reached (more in 47 min) and acme/app:1 is not cached here yet";
    assert!(answer.message().starts_with(sentence), "{}", answer.message());
}
