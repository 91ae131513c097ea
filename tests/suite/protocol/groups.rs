//! The right to pull from a group: it is that of members of it and of the groups above it, of its own tokens, and of
//! administrators.

use serde_json::json;

use super::{ALICES_PASSWORD, House, PAIR, no_member, served};

#[actix_rt::test]
async fn access_comes_from_the_group_or_one_above_it_and_never_from_below() {
    let house = House::new().await;
    let service = &house.service;
    service.group("team/sub").await;
    let deep = service.group("team/sub/deep").await;
    let sibling = service.group("team/other").await;
    service.group("tea").await;
    service.group("teams").await;
    let bob = service.user("bob", "bobs-own-password").await;
    service.add_member(&deep, &bob, 10).await;
    let alices = service.personal_token(&house.alice, "mine", &["api"]).await;
    let bot = service.group_token(&deep, "bot", &PAIR).await;
    let below = service.deploy_token(&deep, "below").await;
    let all = ["team", "team/sub", "team/sub/deep", "team/other", "tea", "teams", "missing", "team/missing"];
    for (user, secret, who, allowed) in [
        ("alice", ALICES_PASSWORD, "alice", &all[..4]),
        ("alice", &alices.secret, "alice", &all[..4]),
        (&house.ci.username, &house.ci.secret, "deploy token 'ci'", &all[..4]),
        ("bob", "bobs-own-password", "bob", &all[2..3]),
        ("bot", &bot.secret, "group token 'bot'", &all[2..3]),
        (&below.username, &below.secret, "deploy token 'below'", &all[2..3]),
        ("root", "a-root-password", "root", &all[..6]),
    ] {
        for group in all {
            let expected = if allowed.contains(&group) { served() } else { no_member(group, who) };
            assert_eq!(house.pull(user, secret, group).await, expected, "{who} in {group}");
        }
    }
    assert_eq!(sibling.path, "team/other");
}

#[actix_rt::test]
async fn every_level_of_membership_pulls_and_visibility_changes_nothing() {
    let house = House::new().await;
    for level in [10, 15, 20, 30, 40, 50] {
        let path = format!("/groups/{}/members/{}", house.team.id, house.alice.id);
        house.change("PUT", &path, json!({"access_level": level})).await;
        assert_eq!(house.pull("alice", ALICES_PASSWORD, "team").await, served(), "{level}");
    }
    house.service.user("mallory", "mallorys-own-password").await;
    for visibility in ["private", "internal", "public"] {
        house.change("PUT", &format!("/groups/{}", house.team.id), json!({"visibility": visibility})).await;
        assert_eq!(house.pull("alice", ALICES_PASSWORD, "team").await, served(), "{visibility}");
        let stranger = house.pull("mallory", "mallorys-own-password", "team").await;
        assert_eq!(stranger, no_member("team", "mallory"), "{visibility}");
    }
}

#[actix_rt::test]
async fn the_wrong_group_is_named_as_it_was_written_in_lower_case() {
    let house = House::new().await;
    let mistyped = house.pull("alice", ALICES_PASSWORD, "team/cl").await;
    assert_eq!(mistyped, no_member("team/cl", "alice"));
    assert_eq!(house.pull("alice", ALICES_PASSWORD, "TEAM").await, served(), "groups are compared without case");
    house.change("PUT", &format!("/users/{}", house.alice.id), json!({"admin": true})).await;
    house.service.group("foreign").await;
    assert_eq!(house.pull("alice", ALICES_PASSWORD, "foreign").await, served(), "an administrator may");
}
