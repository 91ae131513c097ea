//! The requests of Terraform's GitLab provider for users, groups, memberships and tokens, as the provider sends them:
//! it creates resources, reads them at the next run and finds no difference, changes them, moves a group, and deletes
//! them.

use fake_registry::FakeRegistry;
use serde_json::{Value, json};

use crate::service::{Answer, Config, Service};

/// Returns the settings of groups that the provider sends, whether or not its file has them.
fn of_every_group() -> Value {
    json!({
        "require_two_factor_authentication": false, "two_factor_grace_period": 48, "project_creation_level": "maintainer",
        "auto_devops_enabled": false, "subgroup_creation_level": "owner", "emails_disabled": false,
        "mentions_disabled": false, "lfs_enabled": true, "default_branch_protection": 2, "request_access_enabled": false,
    })
}

fn with(mut object: Value, fields: &Value) -> Value {
    object.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    object
}

struct Provider {
    service: Service,
}

impl Provider {
    fn start() -> Self {
        Self { service: Config::docker_hub(&FakeRegistry::start()).start() }
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        self.service.api(method, path, body).await
    }

    /// Sends a request that has to succeed with this status.
    async fn does(&self, status: u16, method: &str, path: &str, body: Value) -> Value {
        let answer = self.call(method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    async fn reads(&self, path: &str) -> Value {
        self.does(200, "GET", path, Value::Null).await
    }

    /// Creates a group as the provider does: it then sets what `POST` does not accept in GitLab, and reads it.
    async fn group(&self, fields: &Value) -> Value {
        let made = self.does(201, "POST", "/groups", with(of_every_group(), fields)).await;
        let path = format!("/groups/{}", made["id"]);
        self.does(200, "PUT", &path, json!({"prevent_forking_outside_group": false})).await;
        self.reads(&path).await
    }

    /// Reads an object until there is none, as the provider does after a deletion.
    async fn is_gone(&self, path: &str) {
        crate::service::eventually("a deleted object is gone", async || {
            self.call("GET", path, Value::Null).await.status == 404
        })
        .await;
    }
}

/// Asserts that an object has these fields, so that the next run finds no difference.
fn assert_has(object: &Value, fields: &Value) {
    for (name, value) in fields.as_object().unwrap() {
        assert_eq!(&object[name], value, "{name} of {object}");
    }
}

#[actix_rt::test]
async fn groups_are_created_read_without_a_difference_changed_moved_and_deleted() {
    let provider = Provider::start();
    assert!(provider.reads("/user").await["id"].is_u64());
    let team = json!({"name": "Team", "path": "team", "description": "the team", "visibility": "private"});
    let team = provider.group(&team).await;
    let ci = json!({"name": "CI", "path": "ci", "parent_id": team["id"]});
    let ci = provider.group(&ci).await;
    assert_has(&team, &json!({"name": "Team", "path": "team", "description": "the team", "full_path": "team"}));
    assert_has(
        &ci,
        &json!({"full_path": "team/ci", "full_name": "Team / CI", "parent_id": team["id"], "description": ""}),
    );
    for name in ["default_branch_protection", "lfs_enabled", "project_creation_level", "two_factor_grace_period"] {
        assert_has(&ci, &json!({ name: of_every_group()[name] }));
    }

    let path = format!("/groups/{}", ci["id"]);
    let change = json!({"description": "changed", "visibility": "private", "two_factor_grace_period": 48});
    provider.does(200, "PUT", &path, change).await;
    let other = provider.group(&json!({"name": "Other", "path": "other"})).await;
    provider.does(201, "POST", &format!("{path}/transfer"), json!({"group_id": other["id"]})).await;
    let moved = provider.reads(&path).await;
    assert_has(&moved, &json!({"description": "changed", "full_path": "other/ci", "parent_id": other["id"]}));
    provider.does(201, "POST", &format!("{path}/transfer"), json!({})).await;
    assert_has(&provider.reads(&path).await, &json!({"full_path": "ci", "parent_id": null}));

    provider.does(202, "DELETE", &path, Value::Null).await;
    provider.is_gone(&path).await;
}

#[actix_rt::test]
async fn users_and_their_memberships_and_tokens_are_created_read_changed_and_deleted() {
    let provider = Provider::start();
    let team = provider.group(&json!({"name": "Team", "path": "team"})).await;
    let fields = json!({"email": "alice@example.com", "username": "alice", "name": "Alice"});
    let more = json!({
        "password": "a long password 1", "reset_password": false, "projects_limit": 0, "admin": false,
        "can_create_group": false, "skip_confirmation": true, "external": false, "note": "",
    });
    let alice = provider.does(201, "POST", "/users", with(more, &fields)).await;
    let path = format!("/users/{}", alice["id"]);
    assert_has(&provider.reads(&path).await, &with(json!({"state": "active", "is_admin": false}), &fields));

    let members = format!("/groups/{}/members", team["id"]);
    let member = json!({"user_id": alice["id"], "access_level": 30, "expires_at": ""});
    provider.does(201, "POST", &members, member).await;
    let member = format!("{members}/{}", alice["id"]);
    assert_has(&provider.reads(&member).await, &json!({"access_level": 30, "expires_at": null, "id": alice["id"]}));
    provider.does(200, "PUT", &member, json!({"access_level": 50, "expires_at": ""})).await;
    assert_has(&provider.reads(&member).await, &json!({"access_level": 50}));

    let token = json!({"name": "laptop", "expires_at": "2999-06-01", "scopes": ["api"]});
    let token = provider.does(201, "POST", &format!("{path}/personal_access_tokens"), token).await;
    assert!(token["token"].is_string());
    let listed = provider.reads(&format!("/personal_access_tokens?page=1&per_page=100&user_id={}", alice["id"])).await;
    let known =
        json!({"name": "laptop", "expires_at": "2999-06-01", "scopes": ["api"], "active": true, "revoked": false});
    assert_has(&listed[0], &known);
    provider.does(204, "DELETE", &format!("/personal_access_tokens/{}", token["id"]), Value::Null).await;

    provider.does(200, "PUT", &path, json!({"name": "Alice B"})).await;
    assert_has(&provider.reads(&path).await, &json!({"name": "Alice B"}));
    provider.does(201, "POST", &format!("{path}/block"), json!({})).await;
    assert_has(&provider.reads(&path).await, &json!({"state": "blocked"}));
    provider.does(201, "POST", &format!("{path}/unblock"), json!({})).await;
    provider
        .does(204, "DELETE", &format!("{member}?skip_subresources=false&unassign_issuables=false"), Value::Null)
        .await;
    provider.does(204, "DELETE", &path, Value::Null).await;
    provider.is_gone(&path).await;
}

#[actix_rt::test]
async fn tokens_of_a_group_are_created_read_and_deleted() {
    let provider = Provider::start();
    let team = provider.group(&json!({"name": "Team", "path": "team"})).await;
    let scopes = json!(["read_registry", "write_registry"]);
    let bots = format!("/groups/{}/access_tokens", team["id"]);
    let bot = json!({"name": "bot", "scopes": scopes, "access_level": 20, "expires_at": "2999-06-01"});
    let made = provider.does(201, "POST", &bots, bot.clone()).await;
    let path = format!("{bots}/{}", made["id"]);
    assert_has(&provider.reads(&path).await, &bot);
    provider.does(204, "DELETE", &path, Value::Null).await;
    provider.is_gone(&path).await;

    let tokens = format!("/groups/{}/deploy_tokens", team["id"]);
    let token = json!({"name": "runner", "username": "", "scopes": scopes});
    let made = provider.does(201, "POST", &tokens, token).await;
    assert!(made["token"].is_string());
    let listed = provider.reads(&format!("{tokens}?page=1&per_page=20")).await;
    assert_has(
        &listed[0],
        &json!({"id": made["id"], "name": "runner", "username": made["username"], "scopes": scopes}),
    );
    assert_has(&listed[0], &json!({"expires_at": null}));
    provider.does(204, "DELETE", &format!("{tokens}/{}", made["id"]), Value::Null).await;
    assert_eq!(provider.reads(&format!("{tokens}?page=1&per_page=20")).await, json!([]));
}
