//! Accounts at upstreams are reserved for groups by their paths: only an administrator can create or move a group
//! to such a path, by any route.

use fake_registry::FakeRegistry;
use serde_json::{Value, json};

use crate::service::{Config, Group, Service, Token};

const ACCOUNTS: &str = "username = \"robot\"\npassword = \"a-password\"\ngroups = [\"team/ci\", \"org/team/ci\", \"crew\"]\n\
    [upstreams.\"docker.io\".accounts.secret]\nusername = \"other\"\npassword = \"a-password\"\ngroups = [\"crew/secret\"]";

/// Sends an API request with this token.
async fn call(service: &Service, token: &str, method: &str, path: &str, body: Value) -> u16 {
    let client = service.stranger();
    let request = client.request(method.parse().unwrap(), &format!("/api/v4{path}"));
    client.send(request.header("private-token", token).json(&body)).await.status
}

/// Returns a personal token of a user who owns these groups.
async fn owner(service: &Service, name: &str, groups: &[&Group]) -> Token {
    let user = service.user(name, "an-owners-password").await;
    for group in groups {
        service.add_member(group, &user, 50).await;
    }
    service.personal_token(&user, "api", &["api"]).await
}

async fn exists(service: &Service, path: &str) -> bool {
    service.api("GET", &format!("/groups/{}", path.replace('/', "%2F")), Value::Null).await.status == 200
}

#[actix_rt::test]
async fn a_path_that_an_account_is_kept_for_is_taken_by_administrators_only() {
    let hub = FakeRegistry::start();
    let service = Config::docker_hub(&hub).and(ACCOUNTS).start();
    let (team, sub) = (service.group("team").await, service.group("team/sub").await);
    let org = service.group("org").await;
    let (team2, _) = (service.group("org/team2").await, service.group("org/team2/ci").await);
    let (top2, _) = (service.group("team2").await, service.group("team2/ci").await);
    let outer = owner(&service, "outer", &[&team, &org, &top2]).await.secret;
    let inner = owner(&service, "inner", &[&sub]).await.secret;
    let bot = json!({"name": "bot", "scopes": ["api"], "access_level": 50});
    let bot = service.api("POST", &format!("/groups/{}/access_tokens", team.id), bot).await.json();
    let bot = bot["token"].as_str().unwrap();
    let group = |group: &Group| format!("/groups/{}", group.id);
    let child = |parent: &Group, path: &str| json!({"name": "n", "path": path, "parent_id": parent.id});
    let ways = [
        ("made", outer.as_str(), "POST", "/groups".to_owned(), child(&team, "ci")),
        ("made, in capitals", &outer, "POST", "/groups".to_owned(), child(&team, "CI")),
        ("made by a group access token", bot, "POST", "/groups".to_owned(), child(&team, "ci")),
        ("renamed by its owner", &inner, "PUT", group(&sub), json!({"path": "ci"})),
        ("renamed by the owner above", &outer, "PUT", group(&sub), json!({"path": "Ci"})),
        ("renamed by a group access token", bot, "PUT", group(&sub), json!({"path": "ci"})),
        ("moved along with the group above", &outer, "PUT", group(&team2), json!({"path": "team"})),
        ("moved along at the top", &outer, "PUT", group(&top2), json!({"path": "elsewhere"})),
        ("at the top", &outer, "POST", "/groups".to_owned(), json!({"name": "n", "path": "crew"})),
        ("at the top, renamed", &outer, "PUT", group(&top2), json!({"path": "crew"})),
    ];
    for (way, token, method, path, body) in &ways {
        assert_eq!(call(&service, token, method, path, body.clone()).await, 403, "{way}");
    }
    for path in ["team/ci", "org/team", "crew", "elsewhere"] {
        assert!(!exists(&service, path).await, "{path}");
    }

    let ci = service.group("team/ci").await;
    service.api("DELETE", &group(&ci), Value::Null).await;
    assert_eq!(call(&service, &outer, "POST", "/groups", child(&team, "ci")).await, 403, "free again, and still kept");
    let renamed = service.api("PUT", &group(&sub), json!({"path": "ci"})).await;
    assert_eq!(renamed.status, 200, "an administrator gives it: {}", renamed.text());
    let moved = service.api("PUT", &group(&team2), json!({"path": "team"})).await;
    assert_eq!(moved.status, 200, "also to what moves along: {}", moved.text());
    assert!(exists(&service, "org/team/ci").await);
}

#[actix_rt::test]
async fn below_a_group_that_has_an_account_its_owners_make_and_rename_groups_unless_that_gives_another_account() {
    let hub = FakeRegistry::start();
    let service = Config::docker_hub(&hub).and(ACCOUNTS).start();
    let crew = service.group("crew").await;
    let token = owner(&service, "owner", &[&crew]).await.secret;
    let below = |path: &str| json!({"name": "n", "path": path, "parent_id": crew.id});
    assert_eq!(call(&service, &token, "POST", "/groups", below("one")).await, 201);
    assert_eq!(call(&service, &token, "PUT", "/groups/crew%2Fone", json!({"path": "two"})).await, 200);
    assert_eq!(call(&service, &token, "POST", "/groups", below("secret")).await, 403);
    assert_eq!(call(&service, &token, "PUT", "/groups/crew%2Ftwo", json!({"path": "secret"})).await, 403);
}
