//! Owners give their groups another name, path, place and visibility, and delete them.

use serde_json::{Value, json};

use super::admin::administrator;
use super::visitor::Page;
use super::*;

async fn group(house: &House, path: &str) -> Value {
    house.started.service.api("GET", &format!("/groups/{}", path.replace('/', "%2F")), Value::Null).await.json()
}

/// Returns a group below `team`.
async fn below_team(house: &House, path: &str) -> Value {
    let fields = json!({"name": path, "path": path, "parent_id": house.started.team.id});
    let made = house.started.service.api("POST", "/groups", fields).await;
    assert_eq!(made.status, 201);
    made.json()
}

#[actix_rt::test]
async fn an_owner_changes_name_description_and_visibility_and_an_administrator_the_path_of_a_group_at_the_top() {
    let house = House::new(with_images(1)).await;
    let (alice, chief) = (house.visitor("alice").await, administrator(&house).await);
    let settings = format!("{TEAM}/settings");
    let page = alice.get(&settings).await;
    page.shows(&["Name and path", "The path can be changed by administrators.", "Delete the group…"]);
    assert!(!page.text.contains(r#"name="path""#), "{}", page.text);
    let fields = [("section", "details"), ("name", "The Team"), ("description", "Builds"), ("visibility", "public")];
    alice.post(&settings, &fields).await.is(200, "Saved.");
    let changed = group(&house, "team").await;
    assert_eq!((&changed["name"], &changed["description"]), (&json!("The Team"), &json!("Builds")));
    assert_eq!((&changed["visibility"], &changed["path"]), (&json!("public"), &json!("team")));
    let path = [("section", "details"), ("name", "The Team"), ("path", "crew"), ("description", "")];
    assert_eq!(alice.post(&settings, &path).await.status, 403);
    let wrong = [("section", "details"), ("name", " "), ("visibility", "secret")];
    alice.post(&settings, &wrong).await.is(400, "The choice of who can pull is none of those that can be chosen.");
    alice.post(&settings, &[("section", "details"), ("name", "")]).await.is(400, "The name can't be blank.");

    chief.get(&settings).await.shows(&[r#"id="path""#]);
    chief.post(&settings, &[("section", "details"), ("path", "a b")]).await.is(400, r#"id="path-error""#);
    let moved = chief.post(&settings, &path).await;
    assert_eq!((moved.status, moved.leads_to.as_str()), (303, "/groups/crew/-/dependency_proxy/settings"));
    chief.get(&moved.leads_to).await.shows(&["Saved. The pages of the group have this address now."]);
    alice.get(TEAM).await.is(404, "There is no group team");
    assert_eq!(house.started.client.manifest("crew", "app", "1").await.status, 200);
}

#[actix_rt::test]
async fn an_owner_of_both_moves_a_group_below_another_one() {
    let house = House::new(Scenario::new()).await;
    let service = &house.started.service;
    let fruit = service.group("fruit").await;
    let ci = below_team(&house, "ci").await;
    let (alice, chief) = (house.visitor("alice").await, administrator(&house).await);
    let settings = format!("/groups/team/ci{}/settings", "/-/dependency_proxy");
    let place = |parent: &'static str| [("section", "place"), ("parent", parent)];
    let page = alice.get(&settings).await;
    page.shows(&["Move the group", r#"<option value="team" selected>team</option>"#]);
    assert!(!page.text.contains(r#"value="fruit""#), "she does not own it: {}", page.text);
    alice.post(&settings, &place("fruit")).await.is(400, "The group above is no group that you own.");
    assert_eq!(alice.post(&settings, &place("")).await.status, 403, "only administrators have groups at the top");
    service.add_member(&fruit, &house.alice, 50).await;
    let moved = alice.post(&settings, &place("fruit")).await;
    assert_eq!((moved.status, moved.leads_to.as_str()), (303, "/groups/fruit/ci/-/dependency_proxy/settings"));
    let at_top = chief.post(&moved.leads_to, &place("")).await;
    assert_eq!(at_top.leads_to, "/groups/ci/-/dependency_proxy/settings");
    assert_eq!(group(&house, "ci").await["id"], ci["id"]);
    let own = chief.post(&at_top.leads_to, &place("ci")).await;
    own.is(400, r#"id="parent-error""#);
}

#[actix_rt::test]
async fn a_group_is_deleted_once_its_path_is_typed_and_what_goes_with_it_was_shown() {
    let house = House::new(with_images(1)).await;
    house.pull(&[("1", &image(1))]).await;
    let service = &house.started.service;
    let ci = below_team(&house, "ci").await;
    service.deploy_token(&house.started.team, "robot").await;
    let (alice, bob, delete) =
        (house.visitor("alice").await, house.visitor("bob").await, format!("{TEAM}/settings/delete"));
    bob.get(&delete).await.is(403, "This page of team is for its owners");
    let page = alice.get(&delete).await;
    page.shows(&["Delete the group team?", "team/ci", "'robot' in team", "bob in team", "1 tag, "]);
    let send = async |page: &Page, path: &str| {
        alice.post(&delete, &[("goes", page.field("goes").as_str()), ("path", path)]).await
    };
    send(&page, "teem").await.is(400, "The path is not that of this group.");
    bob.post(&delete, &[("goes", &page.field("goes")), ("path", "team")]).await.is(403, "");
    below_team(&house, "late").await;
    let refused = send(&page, "team").await;
    refused.is(409, "What goes with it was not confirmed, or has changed since it was shown.");
    refused.is(409, "team/late");
    let deleted = send(&refused, "team").await;
    assert_eq!((deleted.status, deleted.leads_to.as_str()), (303, "/"));
    alice.get("/").await.shows(&["The group team was deleted."]);
    alice.get(TEAM).await.is(404, "There is no group team");
    assert_eq!(service.api("GET", &format!("/groups/{}", ci["id"]), Value::Null).await.status, 404);
    assert_eq!(house.started.client.manifest("team", "app", "1").await.status, 401, "its token is gone, too");
    let events = service.api("GET", "/audit_events", Value::Null).await.text();
    assert!(events.contains("group deleted") && events.contains("alice"), "{events}");
}
