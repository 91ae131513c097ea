//! Credentials and scopes that are sufficient for a pull, and the messages for others.

use serde_json::json;

use super::{ALICES_PASSWORD, House, PAIR, WRONG, denied, said, served, today};
use crate::service::Config;

const VIRTUAL: [&str; 2] = ["read_virtual_registry", "write_virtual_registry"];

fn too_few(scopes: &[&str]) -> (u16, String, String) {
    let noun = if scopes.len() == 1 { "scope" } else { "scopes" };
    let scopes = scopes.join(" and ");
    denied(&format!("Token 't' has the {noun} {scopes}; pulling needs read_registry and write_registry, or api"))
}

#[actix_rt::test]
async fn tokens_pull_with_api_or_with_both_scopes_of_a_pair() {
    let house = House::new().await;
    let service = &house.service;
    for (scopes, enough) in [
        (&["api"][..], true),
        (&PAIR, true),
        (&VIRTUAL, true),
        (&["read_api", "read_registry", "write_registry"], true),
        (&["read_api"], false),
        (&["read_registry"], false),
        (&["write_registry"], false),
        (&["read_virtual_registry"], false),
        (&["read_registry", "write_virtual_registry"], false),
    ] {
        let expected = if enough { served() } else { too_few(scopes) };
        let personal = service.personal_token(&house.alice, "t", scopes).await;
        assert_eq!(house.pull("anything", &personal.secret, "team").await, expected, "personal, {scopes:?}");
        let group = service.group_token(&house.team, "t", scopes).await;
        assert_eq!(house.pull("anything", &group.secret, "team").await, expected, "group, {scopes:?}");
        let direct =
            service.stranger().with_basic("anything", &group.secret).manifest("team", "alpine", "latest").await;
        assert_eq!(said(&direct), expected, "without a bearer token, {scopes:?}");
        if scopes.iter().all(|scope| !scope.ends_with("api")) {
            let deploy = service.deploy_token_with(&house.team, json!({"name": "t", "scopes": scopes})).await;
            assert_eq!(house.pull(&deploy.username, &deploy.secret, "team").await, expected, "deploy, {scopes:?}");
            let login = service.token(&deploy.username, &deploy.secret, "").await;
            assert_eq!(said(&login), expected, "403 for a login too: the secret is right");
        }
    }
}

#[actix_rt::test]
async fn user_names_count_for_passwords_and_deploy_tokens_only() {
    let house = House::new().await;
    let personal = house.service.personal_token(&house.alice, "mine", &PAIR).await;
    let group = house.service.group_token(&house.team, "bot", &PAIR).await;
    for name in ["alice", "nobody", "oauth2", "gitlab-ci-token", "", "a b/c%ü"] {
        assert_eq!(house.pull(name, &personal.secret, "team").await, served(), "{name}");
        assert_eq!(house.pull(name, &group.secret, "team").await, served(), "{name}");
    }
    assert_eq!(house.pull("ALICE", ALICES_PASSWORD, "team").await, served(), "names are compared without case");
    assert_eq!(house.pull("bob", ALICES_PASSWORD, "team").await, denied(WRONG));
    let named = json!({"name": "ci2", "username": "fleet", "scopes": PAIR});
    let named = house.service.deploy_token_with(&house.team, named).await;
    assert_eq!(house.pull("fleet", &named.secret, "team").await, served());
    let other = house.pull("fleet2", &named.secret, "team").await;
    assert_eq!(other, denied("Wrong username: deploy token 'ci2' needs the username fleet"));
}

#[actix_rt::test]
async fn a_secret_that_was_brought_along_works_whatever_it_looks_like() {
    let house = House::new().await;
    let brought = json!({"name": "old", "username": "fleet", "scopes": PAIR, "token": "gldt-0123456789abcdefghij"});
    let brought = house.service.deploy_token_with(&house.team, brought).await;
    assert_eq!(house.pull("fleet", &brought.secret, "team").await, served());
}

#[actix_rt::test]
async fn a_token_of_another_instance_is_told_from_a_wrong_password() {
    let house = House::new().await;
    let other = Config::docker_hub(&house.hub).start();
    let elsewhere = other.group("team").await;
    let foreign = other.deploy_token(&elsewhere, "ci").await;
    let sentence = "This token was made by another instance, or after the backup that this one was restored from";
    for scope in ["", super::PULL] {
        let answer = house.service.token(&foreign.username, &foreign.secret, scope).await;
        assert_eq!(said(&answer), denied(sentence));
    }
}

#[actix_rt::test]
async fn what_is_no_longer_good_is_told_why_and_since_when() {
    let house = House::new().await;
    let service = &house.service;
    let revoked = |name: &str| denied(&format!("Token '{name}' was revoked on {}", today()));
    let personal = service.personal_token(&house.alice, "mine", &PAIR).await;
    house.change("DELETE", &format!("/personal_access_tokens/{}", personal.id), json!(null)).await;
    assert_eq!(house.pull("alice", &personal.secret, "team").await, revoked("mine"));
    let group = service.group_token(&house.team, "bot", &PAIR).await;
    house.change("DELETE", &format!("/groups/{}/access_tokens/{}", house.team.id, group.id), json!(null)).await;
    assert_eq!(house.pull("bot", &group.secret, "team").await, revoked("bot"));
    house.change("DELETE", &format!("/groups/{}/deploy_tokens/{}", house.team.id, house.ci.id), json!(null)).await;
    assert_eq!(house.pull(&house.ci.username, &house.ci.secret, "team").await, revoked("ci"));
    let login = service.token(&house.ci.username, &house.ci.secret, "").await;
    assert_eq!(said(&login), revoked("ci"), "403 for a login too: the secret is right");
    let second = service.personal_token(&house.alice, "second", &PAIR).await;
    house.change("POST", &format!("/users/{}/block", house.alice.id), json!(null)).await;
    let blocked = denied("User alice is blocked. An administrator can unblock it");
    assert_eq!(house.pull("alice", ALICES_PASSWORD, "team").await, blocked);
    assert_eq!(house.pull("alice", &second.secret, "team").await, blocked);
    assert_eq!(house.pull("alice", "not-her-password", "team").await, denied(WRONG), "only those who know it are told");
    house.change("POST", &format!("/users/{}/unblock", house.alice.id), json!(null)).await;
    assert_eq!(house.pull("alice", ALICES_PASSWORD, "team").await, served());
}
