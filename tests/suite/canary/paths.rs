//! The ways of secrets through the service: every route that accepts one, with right and wrong values.

mod logins;

use fake_registry::Image;
use reqwest::Method;
use serde_json::{Value, json};

use crate::service::{ADMIN_TOKEN, Answer, Client, Group, Service, Token, User, eventually};

const PULL: [&str; 2] = ["read_registry", "write_registry"];

/// Secrets that were sent, and responses.
pub(super) struct Walk {
    /// Kind and value of each secret.
    pub(super) secrets: Vec<(String, String)>,
    pub(super) refusals: Vec<Refusal>,
    stranger: Client,
    team: Option<Group>,
    tokens: Vec<Token>,
}

/// A response that was no success, with its headers.
pub(super) struct Refusal {
    pub(super) request: String,
    pub(super) answer: String,
}

impl Walk {
    pub(super) fn new(service: &Service) -> Self {
        let stranger = service.stranger();
        Self { secrets: Vec::new(), refusals: Vec::new(), stranger, team: None, tokens: Vec::new() }
    }

    pub(super) fn secret(&mut self, kind: &str, secret: &str) {
        self.secrets.push((kind.to_owned(), secret.to_owned()));
    }

    /// Creates and rotates users, members and tokens of every kind, correctly and with errors.
    pub(super) async fn identities(&mut self, service: &Service) {
        let (team, user) = (service.group("team").await, service.user("person", "canary+pass/word of a person").await);
        self.secret("a user's password", "canary+pass/word of a person");
        service.add_member(&team, &user, 30).await;
        let personal = service.personal_token(&user, "laptop", &PULL).await;
        let api = service.personal_token(&user, "script", &["api"]).await;
        let bot = service.group_token(&team, "ci", &PULL).await;
        let deploy = service.deploy_token(&team, "fleet").await;
        let brought = "canary-brought-along-from-elsewhere";
        let fields = json!({"name": "old", "username": "old-fleet", "scopes": PULL, "token": brought});
        let brought = service.deploy_token_with(&team, fields.clone()).await;
        self.note(service.api("POST", &format!("/groups/{}/deploy_tokens", team.id), fields).await, "brought twice");
        self.rotations(service, &user, &team).await;
        for (kind, token) in [
            ("a personal token", personal),
            ("an API token", api),
            ("a group token", bot),
            ("a deploy token", deploy),
            ("a token that was brought along", brought),
        ] {
            self.secret(kind, &token.secret);
            self.tokens.push(token);
        }
        self.wrong_bodies(service, &user, &team).await;
        self.accounts(service).await;
        self.team = Some(team);
    }

    async fn rotations(&mut self, service: &Service, user: &User, team: &Group) {
        let personal = service.personal_token(user, "rotated", &PULL).await;
        let bot = service.group_token(team, "rotated", &PULL).await;
        let paths = [
            format!("/personal_access_tokens/{}/rotate", personal.id),
            format!("/groups/{}/access_tokens/{}/rotate", team.id, bot.id),
        ];
        for (path, old) in paths.iter().zip([personal, bot]) {
            self.secret("a rotated token", &old.secret);
            let answer = service.api("POST", path, json!({})).await;
            self.secret("a rotated token's successor", answer.json()["token"].as_str().unwrap());
            self.note(answer, path);
            self.basic(service, "/jwt/auth?service=dependency_proxy", &old.username, &old.secret).await;
        }
        let deploy = service.deploy_token(team, "rotated").await;
        self.secret("a deploy token's old secret", &deploy.secret);
        let path = format!("/groups/{}/deploy_tokens/{}/rotate", team.id, deploy.id);
        let answer = service.api("POST", &path, json!({"overlap": "1h"})).await;
        self.secret("a deploy token's new secret", answer.json()["token"].as_str().unwrap());
        self.basic(service, "/jwt/auth?service=dependency_proxy", &deploy.username, &deploy.secret).await;
        self.own_passwords(service).await;
        let path = format!("/users/{}", user.id);
        let password = "canary%20changed+password/of them";
        self.note(service.api("PUT", &path, json!({"password": password})).await, &path);
        self.secret("a changed password", password);
    }

    /// Sets accounts of a group at an upstream, correctly and with errors, tests them and removes one.
    async fn accounts(&mut self, service: &Service) {
        let (kept, replaced) = ("canary+kept account/pass word", "canary+replaced account/pass word");
        let long = "canary-of-an-account-that-is-too-long".repeat(300);
        for (kind, secret) in [("an account's password", kept), ("an account's replaced password", replaced)] {
            self.secret(kind, secret);
        }
        self.secret("an account's password that is too long", &long);
        let group = service.group("accounts").await;
        let path = format!("/groups/{}/dependency_proxy/upstream_accounts/docker.io", group.id);
        for (identity, secret) in [("robot", replaced), ("a:b", replaced), ("robot", long.as_str()), ("robot", kept)] {
            let answer = service.api("PUT", &path, json!({"identity": identity, "secret": secret})).await;
            self.note(answer, &path);
            let test = service.api("POST", &format!("{path}/test"), json!({})).await;
            self.note(test, "a test of an account");
        }
        let gone = format!("/groups/{}/dependency_proxy/upstream_accounts/quay.io", group.id);
        self.note(service.api("PUT", &gone, json!({"identity": "robot", "secret": replaced})).await, &gone);
        self.note(service.api("DELETE", &gone, json!({})).await, &gone);
    }

    /// Lets a user change the own password, correctly and with errors.
    async fn own_passwords(&mut self, service: &Service) {
        let (first, second) = ("canary+first own/pass word", "canary+second own/pass word");
        let (wrong, long) = ("canary+guessed own/pass word", "canary-that-is-too-long".repeat(9));
        for (kind, secret) in [("a first own password", first), ("a second own password", second)] {
            self.secret(kind, secret);
        }
        self.secret("a guessed own password", wrong);
        self.secret("an own password that is too long", &long);
        service.user("changer", first).await;
        let client = service.stranger().with_basic("changer", first);
        for (current, new) in [(wrong, second), (first, long.as_str()), (first, second), (first, second)] {
            let request = client.request(Method::PUT, "/api/v4/user");
            self.send(request.json(&json!({"current_password": current, "password": new})), "own password").await;
        }
    }

    /// Sends bodies that cannot be parsed, with secrets in them.
    async fn wrong_bodies(&mut self, service: &Service, user: &User, team: &Group) {
        let secret = "canary-in-a-body-that-cannot-be-read";
        self.secret("a secret in a bad body", secret);
        let paths = [
            "/users".to_owned(),
            format!("/users/{}/personal_access_tokens", user.id),
            format!("/groups/{}/deploy_tokens", team.id),
            format!("/groups/{}/access_tokens", team.id),
            format!("/groups/{}/members", team.id),
        ];
        for path in &paths {
            for body in [
                format!("{{\"username\": \"a\", \"password\": \"{secret}\", \"token\": \"{secret}\""),
                json!({"username": 1, "name": [], "password": [secret], "token": {"a": secret}}).to_string(),
                json!({"username": "person", "name": "x", "email": "x", "password": secret, "token": secret})
                    .to_string(),
                format!("\"{secret}\""),
            ] {
                let request = self.admin(Method::POST, path).header("content-type", "application/json").body(body);
                self.send(request, path).await;
            }
            let form = format!("username=%zz&name=&password={secret}&token={secret}&scopes[]=x");
            let request = self.admin(Method::POST, path);
            let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
            self.send(request, path).await;
        }
        self.note(service.api("PUT", &format!("/users/{}", user.id), json!({"password": "short"})).await, "short");
    }

    /// Pulls with each token, with the secret itself and with a bearer token.
    pub(super) async fn pulls(&mut self, service: &Service, image: &Image) {
        for at in [0, 2, 3, 4] {
            let (username, secret) = (self.tokens[at].username.clone(), self.tokens[at].secret.clone());
            let answer = service.token(&username, &secret, "").await;
            let jwt = answer.json()["token"].as_str().unwrap().to_owned();
            self.secret("our bearer token", &jwt);
            let bearer = self.stranger.with_authorization(&format!("Bearer {jwt}"));
            for client in [self.stranger.with_basic(&username, &secret), bearer] {
                let manifest = client.manifest("team", "acme/private", "latest").await;
                assert_eq!(manifest.status, 200, "{}", manifest.text());
                let blob = client.blob("team", "acme/private", image.layers()[0].digest()).await;
                assert_eq!(blob.body, image.layers()[0].bytes());
                self.note(client.manifest("example", "acme/private", "latest").await, "a foreign group");
                self.note(client.manifest("team", "acme/private", "nothing").await, "an unknown tag");
                self.note(client.manifest("team", "ghost.example.com/x", "latest").await, "an unknown upstream");
            }
        }
    }

    /// Pulls everything after the group's cache was purged, so that upstream is requested for all of it.
    pub(super) async fn fresh_pull(&mut self, service: &Service, name: &str, image: &Image) {
        let team = self.team.as_ref().unwrap().id;
        let purge = format!("/groups/{team}/dependency_proxy/cache");
        let folder = service.data().join("cache/groups").join(team.to_string());
        // Again if a blob whose last byte was sent before is stored after it.
        eventually("the group's cache is purged", async || {
            assert_eq!(service.api("DELETE", &purge, Value::Null).await.status, 202);
            for _ in 0..20 {
                if !folder.exists() {
                    return true;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            false
        })
        .await;
        let client = self.stranger.with_basic(&self.tokens[3].username, &self.tokens[3].secret);
        self.note(client.manifest_head("team", "acme/private", "other").await, name);
        self.note(client.manifest("team", "acme/private", "third").await, name);
        self.note(client.blob("team", "acme/private", image.layers()[0].digest()).await, name);
        self.note(client.get("/v2/team/dependency_proxy/containers/acme/private/tags/list").await, name);
    }

    /// Revokes, blocks and deletes everything, and then uses it again.
    pub(super) async fn endings(&mut self, service: &Service) {
        let team = self.team.as_ref().unwrap().id;
        let person = service.api("GET", "/users?username=person", Value::Null).await.json()[0]["id"].clone();
        let ends = [
            ("DELETE", format!("/groups/{team}/deploy_tokens/{}", self.tokens[3].id)),
            ("DELETE", format!("/groups/{team}/access_tokens/{}", self.tokens[2].id)),
            ("DELETE", format!("/personal_access_tokens/{}", self.tokens[0].id)),
            ("POST", format!("/users/{person}/block")),
            ("DELETE", format!("/groups/{team}")),
            ("DELETE", format!("/users/{person}")),
        ];
        for (method, path) in ends {
            self.note(service.api(method, &path, Value::Null).await, &path);
            self.logins(service).await;
        }
    }

    async fn basic(&mut self, service: &Service, path: &str, username: &str, secret: &str) {
        let answer = service.stranger().with_basic(username, secret).get(path).await;
        if answer.status == 200
            && path.starts_with("/jwt")
            && let Some(token) = answer.json()["token"].as_str()
        {
            self.secret("our bearer token", token);
        }
        self.note(answer, path);
    }

    fn admin(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.stranger.request(method, &format!("/api/v4{path}")).header("private-token", ADMIN_TOKEN)
    }

    async fn send(&mut self, request: reqwest::RequestBuilder, name: &str) {
        let answer = self.stranger.send(request).await;
        self.note(answer, name);
    }

    fn note(&mut self, answer: Answer, request: &str) {
        if answer.status >= 400 {
            let answer = format!("{} {:?} {}", answer.status, answer.headers, answer.text());
            self.refusals.push(Refusal { request: format!("the refusal of {request}"), answer });
        }
    }
}
