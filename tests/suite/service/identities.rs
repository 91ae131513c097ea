//! Users, groups and tokens, created by the REST API as an administrator would.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ADMIN_TOKEN, Answer, Service};

/// A created group.
pub struct Group {
    pub id: u64,
    pub path: String,
}

/// A created user.
pub struct User {
    pub id: u64,
    pub username: String,
}

/// A created token.
pub struct Token {
    pub id: u64,
    pub username: String,
    pub secret: String,
}

/// Both scopes that pulling takes.
const PULL: [&str; 2] = ["read_registry", "write_registry"];

impl Service {
    /// Calls the API as the administrator; `body` is JSON, or null for none.
    pub async fn api(&self, method: &str, path: &str, body: Value) -> Answer {
        let client = self.stranger();
        let request = client.request(Method::from_bytes(method.as_bytes()).unwrap(), &format!("/api/v4{path}"));
        let request = request.header("private-token", ADMIN_TOKEN);
        client.send(if body.is_null() { request } else { request.json(&body) }).await
    }

    /// Creates a private group; its parents must exist.
    pub async fn group(&self, path: &str) -> Group {
        let (parent, last) = path.rsplit_once('/').map_or((None, path), |(parent, last)| (Some(parent), last));
        let parent_id = match parent {
            Some(parent) => {
                let parent = self.api("GET", &format!("/groups/{}", parent.replace('/', "%2F")), Value::Null).await;
                parent.json()["id"].clone()
            }
            None => Value::Null,
        };
        let group = json!({"name": last, "path": last, "parent_id": parent_id, "visibility": "private"});
        let answer = self.made(self.api("POST", "/groups", group).await);
        Group { id: answer["id"].as_u64().unwrap(), path: path.to_owned() }
    }

    /// Creates a user who is no administrator.
    pub async fn user(&self, username: &str, password: &str) -> User {
        let email = format!("{username}@example.com");
        let user = json!({"username": username, "name": username, "email": email, "password": password});
        let answer = self.made(self.api("POST", "/users", user).await);
        User { id: answer["id"].as_u64().unwrap(), username: username.to_owned() }
    }

    /// Makes the user a member of the group.
    pub async fn add_member(&self, group: &Group, user: &User, access_level: u8) {
        let member = json!({"user_id": user.id, "access_level": access_level});
        self.made(self.api("POST", &format!("/groups/{}/members", group.id), member).await);
    }

    /// Creates a deploy token of the group that may pull.
    pub async fn deploy_token(&self, group: &Group, name: &str) -> Token {
        self.deploy_token_with(group, json!({"name": name, "scopes": PULL})).await
    }

    /// Creates a deploy token with these fields.
    pub async fn deploy_token_with(&self, group: &Group, fields: Value) -> Token {
        let path = format!("/groups/{}/deploy_tokens", group.id);
        let made = self.made(self.api("POST", &path, fields).await);
        token(&made, made["username"].as_str().unwrap())
    }

    /// Creates a personal access token of the user.
    pub async fn personal_token(&self, user: &User, name: &str, scopes: &[&str]) -> Token {
        let path = format!("/users/{}/personal_access_tokens", user.id);
        let fields = json!({"name": name, "scopes": scopes, "expires_at": "2099-01-01"});
        token(&self.made(self.api("POST", &path, fields).await), &user.username)
    }

    /// Creates a group access token.
    pub async fn group_token(&self, group: &Group, name: &str, scopes: &[&str]) -> Token {
        let path = format!("/groups/{}/access_tokens", group.id);
        let fields = json!({"name": name, "scopes": scopes, "access_level": 10, "expires_at": "2099-01-01"});
        token(&self.made(self.api("POST", &path, fields).await), name)
    }

    fn made(&self, answer: Answer) -> Value {
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }
}

fn token(made: &Value, username: &str) -> Token {
    Token {
        id: made["id"].as_u64().unwrap(),
        username: username.to_owned(),
        secret: made["token"].as_str().unwrap().to_owned(),
    }
}
