//! What goes over the wire, row by row: which status, code, sentence and headers each situation gets, from the real server.

mod content;
mod groups;
mod hostile;
mod jwt;
mod lists;
mod login;
mod mutations;
mod names;
mod own_password;
mod raw;
mod reserved;
mod revocation;
mod rotation;
mod scopes;
mod signatures;
mod throttling;
mod unavailable;

use serde_json::{Value, json};

use crate::fake_hub::{FakeHub, Image, Layer};
use crate::service::{Answer, Client, Config, Group, Service, Token, User};

/// The sentence for whatever secret is simply wrong.
const WRONG: &str = "Wrong username or password. With a token, use the token as the password";

/// Both scopes that pulling takes.
const PAIR: [&str; 2] = ["read_registry", "write_registry"];

/// A service before a hub that has `alpine:latest`, with the group `team`, its deploy token `ci`, and the member alice.
struct House {
    hub: FakeHub,
    service: Service,
    image: Image,
    team: Group,
    ci: Token,
    alice: User,
}

const ALICES_PASSWORD: &str = "alices-own-password";

impl House {
    async fn new() -> Self {
        Self::with("").await
    }

    /// With these lines of configuration.
    async fn with(lines: &str) -> Self {
        Self::configured(|config| config.and(lines)).await
    }

    async fn configured(configure: impl FnOnce(Config) -> Config) -> Self {
        let hub = FakeHub::start();
        let image = Image::single(&[Layer::random(10_000, 1)]);
        hub.push_image("library/alpine", "latest", &image);
        let service = configure(Config::docker_hub(&hub)).start();
        let team = service.group("team").await;
        let ci = service.deploy_token(&team, "ci").await;
        let alice = service.user("alice", ALICES_PASSWORD).await;
        service.add_member(&team, &alice, 10).await;
        Self { hub, service, image, team, ci, alice }
    }

    /// A client with a bearer token for the deploy token.
    async fn client(&self) -> Client {
        self.service.log_in(&self.ci.username, &self.ci.secret).await
    }

    /// `200`, or the status, code and sentence of what was said instead, for a pull with these credentials: the token first.
    async fn pull(&self, username: &str, secret: &str, group: &str) -> (u16, String, String) {
        let token = self.service.token(username, secret, PULL).await;
        if token.status != 200 {
            return said(&token);
        }
        let bearer = format!("Bearer {}", token.json()["token"].as_str().unwrap());
        said(&self.service.stranger().with_authorization(&bearer).manifest(group, "alpine", "latest").await)
    }

    /// Changes something as the administrator.
    async fn change(&self, method: &str, path: &str, body: Value) {
        let answer = self.service.api(method, path, body).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text());
    }

    async fn switch_proxy(&self, on: bool) {
        self.change("PUT", "/application/settings", json!({"dependency_proxy_enabled": on})).await;
    }
}

/// What a client that pulls adds to its question for a token; a login has no scope.
const PULL: &str = "&scope=repository:team/dependency_proxy/containers/alpine:pull";

/// The status, code and sentence of an answer. Checks what holds for all of them: the request id, at the end of the sentences
/// of 403 and 5xx and of no other, and that an error is JSON.
fn said(answer: &Answer) -> (u16, String, String) {
    let id = answer.header("x-request-id");
    assert!(id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "request id: {id:?}");
    if answer.status < 400 {
        return (answer.status, String::new(), String::new());
    }
    assert_eq!(answer.header("content-type"), "application/json", "{answer:?}");
    assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
    let end = format!(" [{id}]");
    let message = answer.message();
    let message = match message.strip_suffix(&end) {
        Some(sentence) => sentence.to_owned(),
        None => message,
    };
    let has_id = answer.message().ends_with(&end);
    assert_eq!(has_id, answer.status == 403 || answer.status >= 500, "{} {}", answer.status, answer.message());
    (answer.status, answer.code(), message)
}

/// A refusal, as [`said`] tells it.
fn refusal(status: u16, code: &str, sentence: &str) -> (u16, String, String) {
    (status, code.to_owned(), sentence.to_owned())
}

fn denied(sentence: &str) -> (u16, String, String) {
    refusal(403, "DENIED", sentence)
}

fn served() -> (u16, String, String) {
    refusal(200, "", "")
}

/// What somebody who may not pull from a group is told.
fn no_member(group: &str, who: &str) -> (u16, String, String) {
    denied(&format!(
        "Group '{group}' does not exist, or {who} is not a member of it. The group is what stands before /dependency_proxy/"
    ))
}

/// Today, as sentences say it.
fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}
