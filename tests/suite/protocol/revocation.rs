//! Revocations take effect at the next request, also for clients that have a bearer token.

use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use super::{ALICES_PASSWORD, House, PAIR, PULL, WRONG, denied, no_member, refusal, said, served, today};
use crate::service::{Answer, Client, eventually};

/// Status, code and sentence of a response.
type Refusal = (u16, String, String);

/// Checks that this client gets a 401 that newer clients take as a request for a new token.
fn turned_away(answer: &Answer, case: &str) {
    let sentence = "The token presented is not valid here, or no longer. Log in again";
    assert_eq!(said(answer), refusal(401, "UNAUTHORIZED", sentence), "{case}");
    assert!(answer.header("www-authenticate").ends_with(",error=\"invalid_token\""), "{case}");
}

/// Checks that this client gets manifests and blobs.
async fn pulls(client: &Client, house: &House, case: &str) {
    let digest = house.image.layers()[0].digest();
    assert_eq!(client.manifest("team", "alpine", "latest").await.status, 200, "{case}");
    assert_eq!(client.blob("team", "alpine", digest).await.status, 200, "{case}");
}

/// Checks that it gets neither, although all is cached.
async fn is_shut_out(client: &Client, house: &House, case: &str) {
    turned_away(&client.manifest("team", "alpine", "latest").await, case);
    let head = client.manifest_head("team", "alpine", "latest").await;
    assert!(head.status == 401 && head.header("www-authenticate").ends_with(",error=\"invalid_token\""), "{case}");
    turned_away(&client.blob("team", "alpine", house.image.layers()[0].digest()).await, case);
    turned_away(&client.get("/v2/").await, case);
}

#[actix_rt::test]
async fn a_bearer_token_ends_with_its_credential() {
    let house = House::new().await;
    let personal = house.service.personal_token(&house.alice, "mine", &PAIR).await;
    let group = house.service.group_token(&house.team, "bot", &PAIR).await;
    let group_path = format!("/groups/{}", house.team.id);
    let revoked = |name: &str| denied(&format!("Token '{name}' was revoked on {}", today()));
    let ends = async |case: &str, login: (&str, &str), change: (&str, String, Value), told: Refusal| {
        let ((user, secret), (method, path, body)) = (login, change);
        let client = house.service.log_in(user, secret).await;
        pulls(&client, &house, case).await;
        house.change(method, &path, body).await;
        is_shut_out(&client, &house, case).await;
        assert_eq!(said(&house.service.token(user, secret, PULL).await), told, "{case}");
    };
    let change = ("DELETE", format!("/personal_access_tokens/{}", personal.id), json!(null));
    ends("personal token revoked", ("alice", &personal.secret), change, revoked("mine")).await;
    let change = ("DELETE", format!("{group_path}/access_tokens/{}", group.id), json!(null));
    ends("group token revoked", ("bot", &group.secret), change, revoked("bot")).await;
    let change = ("DELETE", format!("{group_path}/deploy_tokens/{}", house.ci.id), json!(null));
    ends("deploy token deleted", (&house.ci.username, &house.ci.secret), change, revoked("ci")).await;
    let change = ("PUT", format!("/users/{}", house.alice.id), json!({"password": "another-password"}));
    ends("new password", ("alice", ALICES_PASSWORD), change, denied(WRONG)).await;
    let change = ("POST", format!("/users/{}/block", house.alice.id), json!(null));
    let told = denied("User alice is blocked. An administrator can unblock it");
    ends("user blocked", ("alice", "another-password"), change, told).await;
    house.change("POST", &format!("/users/{}/unblock", house.alice.id), json!(null)).await;
    let client = house.service.log_in("alice", "another-password").await;
    pulls(&client, &house, "unblocked").await;
    house.change("DELETE", &format!("/users/{}", house.alice.id), json!(null)).await;
    is_shut_out(&client, &house, "user deleted").await;
    assert_eq!(house.pull("alice", "another-password", "team").await, denied(WRONG));
}

#[actix_rt::test]
async fn a_rotated_token_ends_and_the_new_one_pulls() {
    let house = House::new().await;
    let old = house.service.group_token(&house.team, "bot", &PAIR).await;
    let client = house.service.log_in("bot", &old.secret).await;
    pulls(&client, &house, "before").await;
    let path = format!("/groups/{}/access_tokens/{}/rotate", house.team.id, old.id);
    let rotated = house.service.api("POST", &path, json!({})).await.json();
    is_shut_out(&client, &house, "rotated").await;
    let sentence = format!("Token 'bot' was rotated, and its old secret ended on {}. Use the new secret", today());
    assert_eq!(house.pull("bot", &old.secret, "team").await, denied(&sentence));
    assert_eq!(house.pull("bot", rotated["token"].as_str().unwrap(), "team").await, served());
}

#[actix_rt::test]
async fn a_token_expires_in_the_hands_of_its_user() {
    let house = House::new().await;
    let end = Timestamp::now() + 3.seconds();
    let fields = json!({"name": "brief", "scopes": PAIR, "expires_at": end.to_string()});
    let brief = house.service.deploy_token_with(&house.team, fields).await;
    let client = house.service.log_in_with(&brief).await;
    pulls(&client, &house, "before").await;
    eventually("the token expires", async || client.get("/v2/").await.status != 200).await;
    assert!(Timestamp::now() >= end, "not before its time");
    is_shut_out(&client, &house, "expired").await;
    let day = end.strftime("%Y-%m-%d");
    let told = denied(&format!("Token 'brief' expired on {day}. An owner of 'team' can rotate it"));
    assert_eq!(house.pull(&brief.username, &brief.secret, "team").await, told);
    assert_eq!(said(&house.service.token(&brief.username, &brief.secret, "").await), told);
    let direct = house.service.stranger().with_basic(&brief.username, &brief.secret);
    assert_eq!(said(&direct.manifest("team", "alpine", "latest").await), told);
}

#[actix_rt::test]
async fn a_member_who_is_removed_pulls_no_more() {
    let house = House::new().await;
    let personal = house.service.personal_token(&house.alice, "mine", &["api"]).await;
    let clients = [
        house.service.log_in("alice", ALICES_PASSWORD).await,
        house.service.log_in("alice", &personal.secret).await,
        house.service.stranger().with_basic("alice", &personal.secret),
    ];
    for client in &clients {
        pulls(client, &house, "a member").await;
    }
    house.change("DELETE", &format!("/groups/{}/members/{}", house.team.id, house.alice.id), json!(null)).await;
    let digest = house.image.layers()[0].digest();
    for client in &clients {
        assert_eq!(said(&client.manifest("team", "alpine", "latest").await), no_member("team", "alice"));
        assert_eq!(said(&client.blob("team", "alpine", digest).await), no_member("team", "alice"));
        assert_eq!(said(&client.get("/v2/").await), served(), "the login itself is still good");
    }
    house.service.add_member(&house.team, &house.alice, 10).await;
    pulls(&clients[0], &house, "a member again").await;
}

#[actix_rt::test]
async fn a_group_that_is_deleted_takes_its_tokens_along() {
    let house = House::new().await;
    let client = house.client.clone();
    pulls(&client, &house, "before").await;
    house.change("DELETE", &format!("/groups/{}", house.team.id), json!(null)).await;
    is_shut_out(&client, &house, "after").await;
    let told = denied(&format!("Token 'ci' was revoked on {}", today()));
    assert_eq!(house.pull(&house.ci.username, &house.ci.secret, "team").await, told);
    assert_eq!(house.pull("alice", ALICES_PASSWORD, "team").await, no_member("team", "alice"));
}

#[actix_rt::test]
async fn the_proxy_is_switched_off_and_on_as_a_whole() {
    let house = House::new().await;
    let client = house.client.clone();
    pulls(&client, &house, "on").await;
    house.switch_proxy(false).await;
    let off = denied("The dependency proxy is switched off here. An administrator can switch it on");
    assert_eq!(said(&house.service.stranger().get("/v2/").await), off);
    assert_eq!(said(&client.get("/v2/").await), off);
    assert_eq!(said(&client.manifest("team", "alpine", "latest").await), off);
    assert_eq!(said(&client.blob("team", "alpine", house.image.layers()[0].digest()).await), off);
    for scope in ["", PULL] {
        assert_eq!(said(&house.service.token(&house.ci.username, &house.ci.secret, scope).await), off);
    }
    house.switch_proxy(true).await;
    pulls(&client, &house, "on again").await;
}

#[actix_rt::test]
async fn the_proxy_is_switched_off_for_a_group_and_those_below_it() {
    let house = House::new().await;
    let sub = house.service.group("team/sub").await;
    let client = house.client.clone();
    let manifest = async |group: &str| said(&client.manifest(group, "alpine", "latest").await);
    let switch = async |id: u64, to: Value| {
        house.change("PUT", &format!("/groups/{id}"), json!({"dependency_proxy_enabled": to})).await;
    };
    assert_eq!((manifest("team").await, manifest("team/sub").await), (served(), served()));
    let off = |group: &str| {
        let sentence = "The dependency proxy is switched off for group";
        denied(&format!("{sentence} '{group}'. An owner of the group can switch it on"))
    };
    switch(house.team.id, json!(false)).await;
    assert_eq!((manifest("team").await, manifest("team/sub").await), (off("team"), off("team/sub")));
    let root = house.service.log_in("root", "a-root-password").await;
    assert_eq!(said(&root.manifest("team", "alpine", "latest").await), off("team"), "for everybody who may see it");
    assert_eq!(house.pull("alice", ALICES_PASSWORD, "team/sub").await, off("team/sub"));
    assert_eq!(said(&client.blob("team", "alpine", house.image.layers()[0].digest()).await), off("team"));
    house.service.user("mallory", "mallorys-own-password").await;
    let other = house.service.group("other").await;
    let others = house.service.deploy_token(&other, "theirs").await;
    for (user, secret, who) in
        [("mallory", "mallorys-own-password", "mallory"), (&others.username, &others.secret, "deploy token 'theirs'")]
    {
        for group in ["team", "team/sub", "none"] {
            let told = house.pull(user, secret, group).await;
            assert_eq!(told, no_member(group, who), "no stranger is told that there is {group}");
        }
    }
    switch(sub.id, json!(true)).await;
    assert_eq!((manifest("team").await, manifest("team/sub").await), (off("team"), served()));
    switch(house.team.id, json!(true)).await;
    switch(sub.id, json!(false)).await;
    assert_eq!((manifest("team").await, manifest("team/sub").await), (served(), off("team/sub")));
}
