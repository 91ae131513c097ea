//! HTTP responses of the real server, row by row: status, code, message and headers of each situation.

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

use fake_registry::{FakeRegistry, Image, Layer};
use serde_json::{Value, json};

use crate::service::{Answer, Client, Config, Group, Scenario, Service, Started, Token, User};

/// Message for a wrong secret.
const WRONG: &str = "Wrong username or password. With a token, use the token as the password";

/// Both scopes that a pull needs.
const PAIR: [&str; 2] = ["read_registry", "write_registry"];

/// A service in front of a hub that has `alpine:latest`, with the group `team`, its deploy token `ci`,
/// and the member alice.
struct House {
    hub: FakeRegistry,
    service: Service,
    image: Image,
    team: Group,
    ci: Token,
    alice: User,
    client: Client,
}

const ALICES_PASSWORD: &str = "alices-own-password";

impl House {
    async fn new() -> Self {
        Self::with("").await
    }

    /// Starts it with these lines of configuration.
    async fn with(lines: &str) -> Self {
        Self::configured(|config| config.and(lines)).await
    }

    async fn configured(configure: impl FnOnce(Config) -> Config) -> Self {
        let image = Image::single(&[Layer::random(10_000, 1)]);
        let scenario = Scenario::new().image("library/alpine", "latest", &image).configured(configure);
        let Started { hub, service, team, token: ci, client, .. } = scenario.start().await;
        let alice = service.user("alice", ALICES_PASSWORD).await;
        service.add_member(&team, &alice, 10).await;
        Self { hub, service, image, team, ci, alice, client }
    }

    /// Pulls with these credentials, the token first. Returns `200`, or the status, code and message of the refusal.
    async fn pull(&self, username: &str, secret: &str, group: &str) -> (u16, String, String) {
        let token = self.service.token(username, secret, PULL).await;
        if token.status != 200 {
            return said(&token);
        }
        let bearer = format!("Bearer {}", token.json()["token"].as_str().unwrap());
        said(&self.service.stranger().with_authorization(&bearer).manifest(group, "alpine", "latest").await)
    }

    /// Sends an API request as the administrator.
    async fn change(&self, method: &str, path: &str, body: Value) {
        let answer = self.service.api(method, path, body).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text());
    }

    async fn switch_proxy(&self, on: bool) {
        self.change("PUT", "/application/settings", json!({"dependency_proxy_enabled": on})).await;
    }
}

/// Scope that a client adds to a token request for a pull; a login has no scope.
const PULL: &str = "&scope=repository:team/dependency_proxy/containers/alpine:pull";

/// Returns the status, code and message of a response. Checks what holds for all of them: the request id, at the
/// end of the messages of 403 and 5xx only, and that an error is JSON.
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

/// Returns a refusal in the form of [`said`].
fn refusal(status: u16, code: &str, sentence: &str) -> (u16, String, String) {
    (status, code.to_owned(), sentence.to_owned())
}

fn denied(sentence: &str) -> (u16, String, String) {
    refusal(403, "DENIED", sentence)
}

fn served() -> (u16, String, String) {
    refusal(200, "", "")
}

/// Returns the refusal for a caller who may not pull from a group.
fn no_member(group: &str, who: &str) -> (u16, String, String) {
    denied(&format!(
        "Group '{group}' does not exist, or {who} is not a member of it. The group is what stands before /dependency_proxy/"
    ))
}

/// Returns today's date in the form of messages.
fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}
