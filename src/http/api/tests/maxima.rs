//! Limits: the lengths of texts, and the numbers of tokens, members and groups that callers may create.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::num::NonZeroUsize;

use serde_json::{Value, json};

use super::company::{Body, Company, records};
use crate::domain::id::{GroupId, TokenId, UserId};
use crate::domain::limits::Limits;
use crate::domain::policy::PublicGroups;
use crate::domain::token::TokenOwner;

/// Calls as the owner of `team`, or as an administrator where the route requires one.
async fn call(company: &Company, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let caller = if path.starts_with("/users") && !path.ends_with("tokens") { "admin" } else { "owner" };
    let response = company.call(caller, method, path, Body::Json(&body.to_string())).await;
    (response.status.as_u16(), response.body)
}

#[actix_web::test]
async fn a_text_is_as_long_as_in_gitlab_at_most() {
    let pull = json!(["read_registry", "write_registry"]);
    let token = json!({"name": "t", "scopes": pull});
    let group = json!({"name": "n", "path": "p", "parent_id": 1});
    let user = json!({"name": "n", "username": "n", "password": "long enough"});
    for (method, path, body, field, max) in [
        ("POST", "/users/2/personal_access_tokens", &token, "name", 255),
        ("POST", "/users/2/personal_access_tokens", &token, "description", 255),
        ("POST", "/groups/1/access_tokens", &token, "name", 255),
        ("POST", "/groups/1/access_tokens", &token, "description", 255),
        ("POST", "/groups/1/deploy_tokens", &token, "name", 255),
        ("POST", "/groups/1/deploy_tokens", &token, "username", 255),
        ("POST", "/groups", &group, "name", 255),
        ("POST", "/groups", &group, "description", 500),
        ("PUT", "/groups/2", &json!({}), "name", 255),
        ("PUT", "/groups/2", &json!({}), "description", 500),
        ("POST", "/users", &user, "name", 255),
        ("POST", "/users", &user, "username", 255),
        ("POST", "/users", &user, "email", 255),
        ("PUT", "/users/4", &json!({}), "name", 255),
        ("PUT", "/users/4", &json!({}), "username", 255),
        ("PUT", "/users/4", &json!({}), "email", 255),
    ] {
        let company = Company::open(&records());
        let with = |chars: usize| {
            let mut body = body.clone();
            let end = if field == "email" { "@b" } else { "" };
            body[field] = json!("x".repeat(chars - end.len()) + end);
            body
        };
        for chars in [max + 1, 60_000] {
            let refused = call(&company, method, path, &with(chars)).await;
            let reason = format!("is too long (maximum is {max} characters)");
            assert_eq!(refused, (400, json!({"message": {field: [reason]}})), "{method} {path} {field} {chars}");
        }
        let (status, response) = call(&company, method, path, &with(max)).await;
        assert!((200..300).contains(&status), "{method} {path} {field}: {response}");
    }
    let company = Company::open(&records());
    let long = json!({"path": "x".repeat(256)});
    let reason = "is too long (maximum is 255 characters)";
    assert_eq!(call(&company, "PUT", "/groups/2", &long).await, (400, json!({"message": {"path": [reason]}})));
    let many: Vec<&str> = std::iter::repeat_n("api", 1000).collect();
    let token = json!({"name": "t", "scopes": many});
    let (_, made) = call(&company, "POST", "/users/2/personal_access_tokens", &token).await;
    assert_eq!(made["scopes"], json!(["api"]), "each scope is there once");
}

fn company(limits: Limits) -> Company {
    Company::open_with(&records(), PublicGroups::Members, limits)
}

fn most(number: usize) -> NonZeroUsize {
    number.try_into().unwrap()
}

fn exceeded(things: &str, max: usize) -> (u16, Value) {
    (400, json!({"message": {"base": [format!("Maximum number of {things} ({max}) exceeded")]}}))
}

/// The owner has two personal tokens, `team` has one group access token and one deploy token.
#[actix_web::test]
async fn there_are_as_many_active_tokens_as_the_settings_say_and_rotating_needs_no_more() {
    let company = company(Limits {
        max_personal_tokens: most(3),
        max_group_tokens: most(2),
        max_deploy_tokens: most(2),
        ..Limits::NONE
    });
    let token = json!({"name": "t", "scopes": ["read_registry", "write_registry"]});
    for (path, things, max) in [
        ("/users/2/personal_access_tokens", "personal access tokens", 3),
        ("/groups/1/access_tokens", "group access tokens", 2),
        ("/groups/1/deploy_tokens", "deploy tokens", 2),
    ] {
        let (status, made) = call(&company, "POST", path, &token).await;
        assert_eq!(status, 201, "{path}: {made}");
        assert_eq!(call(&company, "POST", path, &token).await, exceeded(things, max), "{path}");
        let admin = company.call("admin", "POST", path, Body::Json(&token.to_string())).await;
        assert_eq!(admin.status.as_u16(), 400, "{path}: administrators, too");
        let one = format!("{}/{}", path.trim_start_matches("/users/2"), made["id"]);
        let (status, rotated) = call(&company, "POST", &format!("{one}/rotate"), &json!({})).await;
        assert_eq!(status, 200, "{path}: {rotated}");
        assert_eq!(call(&company, "POST", path, &token).await, exceeded(things, max), "{path}");
        let one = format!("{}/{}", path.trim_start_matches("/users/2"), rotated["id"]);
        assert_eq!(call(&company, "DELETE", &one, &json!({})).await.0, 204);
        assert_eq!(call(&company, "POST", path, &token).await.0, 201, "{path}: there is room again");
    }
}

#[actix_web::test]
async fn of_tokens_that_ended_the_oldest_are_forgotten_and_what_is_kept_is_bounded() {
    let company = company(Limits { max_personal_tokens: most(3), max_group_tokens: most(3), ..Limits::NONE });
    let token = json!({"name": "t", "scopes": ["api"]});
    let mut last = 0;
    for _ in 0..20 {
        let (_, made) = call(&company, "POST", "/users/2/personal_access_tokens", &token).await;
        last = made["id"].as_u64().unwrap();
        call(&company, "DELETE", &format!("/personal_access_tokens/{last}"), &json!({})).await;
        company.call("bot", "GET", "/user", Body::Nothing).await;
    }
    let (_, robot) = call(&company, "POST", "/groups/1/access_tokens", &token).await;
    let mut robot = robot["id"].clone();
    for _ in 0..20 {
        let rotated = call(&company, "POST", &format!("/groups/1/access_tokens/{robot}/rotate"), &json!({})).await;
        robot = rotated.1["id"].clone();
    }
    let directory = company.directory();
    let of = |owner: TokenOwner| directory.tokens().filter(move |token| token.owner.is_same(&owner)).count();
    assert!(of(TokenOwner::Personal { user: UserId(2) }) <= 6);
    assert!(of(TokenOwner::Group { group: GroupId(1), bot: UserId(6) }) <= 6);
    assert!(directory.token(TokenId(last)).unwrap().revoked_at.is_some(), "the last one is still listed");
    assert_eq!(directory.users().filter(|user| user.bot_of.is_some()).count(), 2, "no bot is lost, and none left over");
}

#[actix_web::test]
async fn there_are_as_many_members_and_groups_as_the_settings_say() {
    let company =
        company(Limits { max_members: most(4), max_subgroups: most(2), max_group_depth: most(3), ..Limits::NONE });
    let member = |user: u64| json!({"user_id": user, "access_level": 10});
    assert_eq!(call(&company, "POST", "/groups/1/members", &member(5)).await, exceeded("members", 4));
    assert_eq!(call(&company, "POST", "/groups/2/members", &member(5)).await.0, 201, "another group");

    let below = |parent: u64, path: &str| json!({"name": "n", "path": path, "parent_id": parent});
    let (_, deep) = call(&company, "POST", "/groups", &below(2, "deep")).await;
    let deep = deep["id"].as_u64().unwrap();
    let nested = json!({"message": {"parent_id": ["has too deep level of nesting"]}});
    assert_eq!(call(&company, "POST", "/groups", &below(deep, "deeper")).await, (400, nested));
    assert_eq!(call(&company, "POST", "/groups", &below(1, "third")).await, exceeded("subgroups", 2));
    let other = company.call("admin", "POST", "/groups", Body::Json(&below(3, "first").to_string())).await;
    assert_eq!(other.status.as_u16(), 201, "below another group at the top");
}
