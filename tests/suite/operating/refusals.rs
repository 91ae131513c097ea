//! Log lines of refusals: found by the request id that the client saw, with the name of the caller and the place.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fake_registry::{FakeRegistry, Image, Layer, Listener};
use reqwest::Method;
use serde_json::{Value, json};

use super::metrics::metrics;
use crate::service::{Answer, Client, Config, Group, Service, Token};

pub(super) struct Scene {
    pub(super) hub: FakeRegistry,
    pub(super) service: Service,
}

impl Scene {
    pub(super) fn start() -> Self {
        Self::with("")
    }

    /// Starts a service with these settings.
    pub(super) fn with(settings: &str) -> Self {
        let hub = FakeRegistry::start();
        hub.push_image("library/alpine", "latest", &Image::single(&[Layer::random(1000, 1)]));
        let service = Config::docker_hub(&hub).and(settings).start();
        Self { hub, service }
    }

    /// Creates the group `team` and a deploy token of it with this name, and returns a client that has
    /// logged in with it.
    pub(super) async fn puller(&self, name: &str) -> (Group, Token, Client) {
        let team = self.service.group("team").await;
        let token = self.service.deploy_token(&team, name).await;
        let client = self.service.log_in_with(&token).await;
        (team, token, client)
    }

    /// Returns the log line of a refusal, which may be delayed on a busy machine.
    pub(super) fn line(&self, refused: &Answer) -> Value {
        let id = refused.header("x-request-id").to_owned();
        let of_request = |line: &Value| {
            line["span"]["id"] == id.as_str() && line["message"].as_str().unwrap().starts_with("a request ")
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let mut lines: Vec<Value> = self.service.log_lines().into_iter().filter(of_request).collect();
            if lines.len() == 1 {
                return lines.remove(0);
            }
            assert!(lines.is_empty() && Instant::now() < deadline, "{} {id}: {lines:?}", refused.status);
        }
    }

    pub(super) fn has(&self, refused: &Answer, expected: &Value) {
        let line = self.line(refused);
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&line[name], value, "{name} of {line}");
        }
        assert_eq!(line["status"], refused.status);
        assert_eq!(line["address"], "127.0.0.1");
    }
}

async fn with_agent(client: &Client, path: &str) -> Answer {
    client.send(client.request(Method::GET, path).header("user-agent", "docker/27.1 (linux)")).await
}

const MANIFEST: &str = "/v2/team/dependency_proxy/containers/alpine/manifests/latest";

#[actix_rt::test]
async fn a_token_that_is_revoked_or_expired_is_named_wherever_it_is_presented() {
    let scene = Scene::start();
    let service = &scene.service;
    let (team, token, client) = scene.puller("runner").await;
    assert_eq!(client.manifest("team", "alpine", "latest").await.status, 200);
    let revoked = service.api("DELETE", &format!("/groups/{}/deploy_tokens/{}", team.id, token.id), json!({})).await;
    assert_eq!(revoked.status, 204);
    let by_jwt = with_agent(&client, MANIFEST).await;
    assert_eq!(by_jwt.status, 401);
    let expected = json!({"reason": "revoked", "credential_name": "runner", "group": "team", "image": "docker.io/library/alpine",
        "user_agent": "docker/27.1 (linux)", "method": "GET", "path": MANIFEST});
    scene.has(&by_jwt, &expected);
    assert!(scene.line(&by_jwt)["details"].as_str().unwrap().contains("'runner' was revoked"));
    let at_login = service.token(&token.username, &token.secret, "").await;
    scene.has(
        &at_login,
        &json!({"reason": "revoked", "credential_name": "runner",
        "principal": format!("deploy_token:{}", token.id), "principal_name": token.username}),
    );
    let sentence = scene.line(&at_login)["sentence"].as_str().unwrap().to_owned();
    assert_eq!(sentence, at_login.message());

    let personal = service.user("carla", "a long passphrase").await;
    let token = service.personal_token(&personal, "laptop", &["read_registry", "write_registry", "api"]).await;
    let client = service.log_in("carla", &token.secret).await;
    let denied = client.manifest("team", "alpine", "latest").await;
    assert_eq!(denied.status, 403);
    let carla = format!("user:{}", personal.id);
    scene.has(
        &denied,
        &json!({"reason": "no_access", "principal": carla, "principal_name": "carla",
        "credential_name": "laptop", "group": "team", "image": "docker.io/library/alpine"}),
    );
    let path = format!("/personal_access_tokens/{}", token.id);
    assert_eq!(service.api("DELETE", &path, json!({})).await.status, 204);
    let api = service.stranger();
    let refused = api.send(api.request(Method::GET, "/api/v4/user").header("PRIVATE-TOKEN", &token.secret)).await;
    assert_eq!(refused.status, 401);
    scene.has(&refused, &json!({"reason": "invalid_token", "principal_name": "carla", "credential_name": "laptop"}));
}

#[actix_rt::test]
async fn wrong_passwords_are_logged_with_a_known_user_and_never_with_what_was_sent() {
    let scene = Scene::start();
    scene.service.user("dora", "a long passphrase").await;
    let stranger = scene.service.stranger();
    let wrong = scene.service.token("dora", "a wrong passphrase", "").await;
    scene.has(&wrong, &json!({"reason": "wrong_secret", "principal_name": "dora", "credential_name": null}));
    let direct = scene.service.stranger().with_basic("dora", "a long passphrase").get(MANIFEST).await;
    assert_eq!(direct.status, 401);
    assert!(direct.message().starts_with("A password is accepted at a login only"), "{}", direct.message());
    assert!(direct.header("www-authenticate").contains("/jwt/auth"));
    scene.has(&direct, &json!({"reason": "password_not_accepted", "principal_name": "dora"}));
    let form = "grant_type=password&service=dependency_proxy&username=dora&password=another+wrong+one";
    let request =
        stranger.request(Method::POST, "/jwt/auth").header("content-type", "application/x-www-form-urlencoded");
    let by_form = stranger.send(request.body(form)).await;
    scene.has(&by_form, &json!({"reason": "wrong_secret", "principal_name": "dora"}));
    let team = scene.service.group("team").await;
    let token = scene.service.deploy_token(&team, "runner").await;
    let wrong = scene.service.token(&token.username, "not-its-secret", "").await;
    scene.has(
        &wrong,
        &json!({"principal": format!("deploy_token:{}", token.id), "principal_name": token.username,
        "credential_name": null}),
    );
    let secret = "glpat-abcdefghijklmnopqrst";
    let swapped = scene.service.token(secret, "x", "").await;
    scene.has(&swapped, &json!({"principal_name": null}));
    let own = &token.secret;
    let paths = [format!("/v2/{own}/x"), format!("/api/v4/groups/{own}"), format!("/jwt/auth?service={own}")];
    for path in &paths {
        let refused =
            stranger.send(stranger.request(Method::GET, path).header("user-agent", format!("curl {own}"))).await;
        scene.has(&refused, &json!({"user_agent": "curl dpd-..."}));
    }
    let client = scene.service.log_in(&token.username, own).await;
    assert_eq!(client.manifest("team", "alpine", own).await.status, 404);
    let log = scene.service.log();
    assert!(!log.contains(own));
    for sent in [
        "a wrong passphrase",
        "another wrong one",
        "another+wrong+one",
        secret,
        &STANDARD.encode(format!("{secret}:x")),
    ] {
        assert!(!log.contains(sent), "{sent}");
    }
}

#[actix_rt::test]
async fn routes_methods_and_upstreams_that_refuse_leave_a_line_too() {
    let scene = Scene::start();
    let service = &scene.service;
    let (.., client) = scene.puller("ci").await;
    scene.has(
        &client.manifest("team", "alpine", "missing").await,
        &json!({"reason": "not_found", "image": "docker.io/library/alpine"}),
    );
    let push = client.send(client.request(Method::PUT, MANIFEST)).await;
    assert_eq!(push.status, 405);
    scene.has(&push, &json!({"reason": "read_only", "method": "PUT"}));
    let no_route = client.get("/api/v4/nothing/there").await;
    scene.has(&no_route, &json!({"reason": "no_route", "path": "/api/v4/nothing/there"}));
    let missing = service.api("GET", "/groups/absent", json!({})).await;
    assert_eq!(missing.status, 404);
    scene.has(&missing, &json!({"reason": "not_found", "principal_name": "root", "group": "absent"}));
    let challenge = service.stranger().get("/v2/").await;
    assert_eq!(challenge.status, 401);
    scene.has(&challenge, &json!({"reason": "login_needed", "principal": null}));
    scene.hub.down(Listener::Registry);
    let failed = client.manifest("team", "other", "1").await;
    assert_eq!(failed.status, 503);
    scene.has(&failed, &json!({"reason": "upstream_failed", "level": "WARN", "message": "a request failed"}));
}

#[actix_rt::test]
async fn a_client_that_fails_in_a_loop_is_counted_and_does_not_fill_the_log() {
    let mut scene = Scene::start();
    let (.., client) = scene.puller("loop").await;
    scene.service.group("other").await;
    for _ in 0..40 {
        assert_eq!(client.manifest("other", "alpine", "latest").await.status, 403);
    }
    let metrics = metrics(&scene.service).await;
    assert!(metrics.contains("dependency_proxy_refusals_total{reason=\"no_access\"} 40"), "{metrics}");
    assert!(scene.service.stop().success());
    let of_loop: Vec<Value> =
        scene.service.log_lines().into_iter().filter(|line| line["reason"] == "no_access").collect();
    assert_eq!(of_loop.len(), 11, "{of_loop:?}");
    let last = of_loop.last().unwrap();
    assert_eq!((&last["left_out"], &last["credential_name"]), (&json!(30), &json!("loop")));
}
