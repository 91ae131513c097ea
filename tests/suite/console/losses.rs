//! Losses: what is removed with a user or a token is named before, and is removed only if that was confirmed.

use reqwest::Method;
use serde_json::{Value, json};

use super::admin::administrator;
use super::*;
use crate::service::Token;

/// A house in which dave, an owner of `team`, has made a deploy token of it with a personal token.
struct Made {
    house: House,
    dave: String,
    /// The number of the personal token.
    laptop: String,
    robot: Token,
}

impl Made {
    async fn new() -> Self {
        let house = House::new(with_images(1)).await;
        let service = &house.started.service;
        let dave = service.api("GET", "/users?username=dave", Value::Null).await.json()[0]["id"].clone();
        let owner = json!({"user_id": dave, "access_level": 50});
        assert_eq!(service.api("POST", "/groups/team/members", owner).await.status, 201);
        let laptop = json!({"name": "laptop", "scopes": ["api"], "expires_at": "2099-12-31"});
        let laptop = service.api("POST", &format!("/users/{dave}/personal_access_tokens"), laptop).await.json();
        let client = service.stranger();
        let request = client.request(Method::POST, "/api/v4/groups/team/deploy_tokens");
        let request = request.header("private-token", laptop["token"].as_str().unwrap());
        let fields = json!({"name": "robot", "scopes": ["read_registry", "write_registry"]});
        let robot = client.send(request.json(&fields)).await;
        assert_eq!(robot.status, 201, "{}", robot.text());
        let robot = robot.json();
        let text = |field: &str| robot[field].as_str().unwrap().to_owned();
        let robot = Token { id: robot["id"].as_u64().unwrap(), username: text("username"), secret: text("token") };
        Self { dave: dave.to_string(), laptop: laptop["id"].to_string(), robot, house }
    }

    async fn pulls(&self) -> u16 {
        let client = self.house.started.service.stranger().with_basic(&self.robot.username, &self.robot.secret);
        client.manifest("team", "app", "1").await.status
    }
}

#[actix_rt::test]
async fn what_goes_with_a_user_is_named_and_goes_only_if_it_was_confirmed() {
    let made = Made::new().await;
    let chief = administrator(&made.house).await;
    let page = format!("/-/admin/users/{}/delete", made.dave);
    let shown = chief.get(&page).await;
    shown.shows(&["2 tokens", "'laptop' of dave", "'robot' in team", "1 membership", "dave in team"]);
    chief.post(&page, &[]).await.is(409, "What goes with it was not confirmed, or has changed since it was shown.");
    chief.post(&page, &[("goes", "other")]).await.is(409, "'robot' in team");
    assert_eq!(made.pulls().await, 200);
    let later = json!({"name": "later", "scopes": ["read_api"]});
    let tokens = format!("/users/{}/personal_access_tokens", made.dave);
    assert_eq!(made.house.started.service.api("POST", &tokens, later).await.status, 201);
    chief.post(&page, &[("goes", &shown.field("goes"))]).await.is(409, "'later' of dave");
    let shown = chief.get(&page).await.field("goes");
    assert_eq!(chief.post(&page, &[("goes", &shown)]).await.status, 303);
    assert_eq!(made.pulls().await, 403);
}

#[actix_rt::test]
async fn what_was_made_with_a_token_is_named_before_it_is_revoked() {
    let made = Made::new().await;
    let dave = made.house.visitor("dave").await;
    let page = format!("/-/account/tokens/{}/revoke", made.laptop);
    let shown = dave.get(&page).await;
    shown.shows(&["These end with it", "1 token", "'robot' in team"]);
    dave.post(&page, &[]).await.is(409, "was not confirmed");
    assert_eq!(made.pulls().await, 200);
    assert_eq!(dave.post(&page, &[("goes", &shown.field("goes"))]).await.status, 303);
    assert_eq!(made.pulls().await, 403);
}

#[actix_rt::test]
async fn an_earlier_end_of_a_token_that_brings_others_forward_is_confirmed_first() {
    let made = Made::new().await;
    let [dave, alice] = [made.house.visitor("dave").await, made.house.visitor("alice").await];
    let tokens = format!("{TEAM}/tokens");
    alice.get(&tokens).await.shows(&["robot", "2099-12-31"]);
    let page = format!("/-/account/tokens/{}/extend", made.laptop);
    let confirmation = dave.post(&page, &[("expires_at", "2099-01-31")]).await;
    confirmation.shows(&["These end on that day, too", "'robot' in team", "End all of them on 2099-01-31"]);
    alice.get(&tokens).await.shows(&["2099-12-31"]);
    let goes = confirmation.field("goes");
    assert_eq!(dave.post(&page, &[("expires_at", "2099-01-31"), ("goes", &goes)]).await.status, 303);
    dave.get("/-/account").await.shows(&["It is now also that of 1 token ('robot' in team)."]);
    alice.get(&tokens).await.shows(&["2099-01-31"]);
    let later = dave.post(&page, &[("expires_at", "2099-02-28")]).await;
    assert_eq!(later.status, 303, "a later end brings nothing forward");
}

#[actix_rt::test]
async fn the_groups_that_keep_their_only_owner_from_being_deleted_are_named() {
    let made = Made::new().await;
    let chief = administrator(&made.house).await;
    let service = &made.house.started.service;
    let api = async |method: &str, path: String| service.api(method, &path, Value::Null).await.status;
    assert_eq!(api("DELETE", format!("/groups/team/members/{}", made.house.alice.id)).await, 204);
    assert_eq!(api("DELETE", "/groups/team/members/1".to_owned()).await, 204);
    let page = format!("/-/admin/users/{}/delete", made.dave);
    let members = format!(r#"<a href="{TEAM}/members">team</a>"#);
    chief.get(&page).await.shows(&["dave cannot be deleted yet: these groups have no other owner.", &members]);
    let refused = chief.post(&page, &[]).await;
    refused.is(409, "sole-owner of a group");
    refused.is(409, &members);
}
