//! Users and their sessions, which administrators manage.

use serde_json::{Value, json};

use super::admin::{ADMIN, administrator};
use super::*;

#[actix_rt::test]
async fn users_are_created_blocked_unblocked_and_deleted() {
    let house = House::new(with_images(1)).await;
    let (service, chief) = (&house.started.service, administrator(&house).await);
    let new = format!("{ADMIN}/users/new");
    for (fields, sentence) in [
        ([("username", "-x"), ("password", "long-enough-1")], "The user name can contain only letters"),
        ([("username", "erin"), ("password", "short")], "The password is too short (minimum is 8 characters)."),
        ([("username", "erin"), ("password", "")], "The password is missing."),
        ([("username", "alice"), ("password", "long-enough-1")], "already been taken"),
    ] {
        let refused = chief.post(&new, &fields).await;
        refused.is(400, sentence);
        assert!(refused.text.contains(&format!(r#"value="{}""#, fields[0].1)) && !refused.text.contains("long-enough"));
    }
    let erin = [("username", "erin"), ("email", "erin@example.com"), ("password", "erin-has-a-password")];
    let list = chief.post(&new, &erin).await.leads_to;
    chief.get(&list).await.shows(&["<b>erin</b>", "Active", "1 to 1 of 1"]);
    let browser = house.visitor("erin").await;
    browser.get("/").await.shows(&["You are in no group yet"]);

    let users = service.api("GET", "/users?username=erin", Value::Null).await.json();
    let of_erin = format!("{ADMIN}/users/{}", users[0]["id"]);
    chief.get(&format!("{of_erin}/block")).await.shows(&["Block erin?", "is signed out"]);
    assert_eq!(chief.post(&format!("{of_erin}/block"), &[]).await.status, 303);
    assert!(browser.get("/").await.leads_to.starts_with("/-/sign-in?"), "the session has ended");
    chief.get(&format!("{ADMIN}/users?show=blocked")).await.shows(&["<b>erin</b>", "Blocked", "1 to 1 of 1"]);
    assert_eq!(chief.post(&format!("{of_erin}/unblock"), &[]).await.status, 303);
    house.visitor("erin").await;

    chief.get(&format!("{of_erin}/delete")).await.shows(&["Delete erin?", "The user erin</dd>"]);
    assert_eq!(chief.post(&format!("{of_erin}/delete"), &[]).await.status, 303);
    chief.get(&format!("{ADMIN}/users?q=erin")).await.shows(&["There is no such user."]);
    chief.get(&format!("{of_erin}/delete")).await.is(404, "There is no page with this address");
}

#[actix_rt::test]
async fn administrators_see_and_end_the_sessions_of_a_user() {
    let house = House::new(Scenario::new()).await;
    let chief = administrator(&house).await;
    let browsers = [house.visitor("bob").await, house.visitor("bob").await, house.visitor("bob").await];
    let page = format!("{ADMIN}/users/{}/sessions", house.bob.id);
    chief.get(&format!("{ADMIN}/users?q=bob")).await.shows(&[&format!(r#"href="{page}""#)]);
    let shown = chief.get(&page).await;
    shown.shows(&["Where bob is signed in", "127.0.0.1", "End all"]);
    assert!(!shown.text.contains("This session"), "{}", shown.text);
    let is_out = async |browser: &Visitor| browser.get("/").await.leads_to.starts_with("/-/sign-in");

    // Bob has used the last browser last, and the first one longest ago.
    let (_, first) = shown.text.rsplit_once(r#"name="session" value=""#).unwrap();
    assert!(first.starts_with("others"), "{first}");
    let ids: Vec<&str> = shown.text.split(r#"name="session" value=""#).skip(1).collect();
    let id = ids[0].split('"').next().unwrap();
    assert_eq!(chief.post(&page, &[("session", id)]).await.leads_to, page);
    chief.get(&page).await.shows(&["That session has ended."]);
    let mut out = 0;
    for browser in &browsers {
        out += u32::from(is_out(browser).await);
    }
    assert_eq!(out, 1);
    chief.post(&page, &[("session", id)]).await.is(400, "That session is over already.");
    assert_eq!(chief.post(&page, &[("session", "others")]).await.status, 303);
    for browser in &browsers {
        assert!(is_out(browser).await);
    }
    chief.get(&page).await.shows(&["bob is not signed in anywhere."]);
    let alice = house.visitor("alice").await;
    alice.get(&page).await.is(403, "This page is for administrators");
    alice.post(&page, &[("session", "others")]).await.is(403, "This page is for administrators");
    assert!(house.started.service.log().contains("ended sessions of the console"));
}

#[actix_rt::test]
async fn nobody_blocks_or_deletes_themselves_and_no_group_loses_its_only_owner() {
    let house = House::new(with_images(1)).await;
    let chief = administrator(&house).await;
    let (alice, service) = (house.visitor("alice").await, &house.started.service);
    let own = service.api("GET", "/users?username=chief", Value::Null).await.json()[0]["id"].clone();
    assert_eq!(chief.post("/-/groups/new", &[("parent", ""), ("path", "hers")]).await.status, 303);
    let owner = json!({"user_id": house.alice.id, "access_level": 50});
    assert_eq!(service.api("POST", "/groups/hers/members", owner).await.status, 201);
    assert_eq!(service.api("DELETE", &format!("/groups/hers/members/{own}"), Value::Null).await.status, 204);
    for (user, action, sentence) in [
        (own.clone(), "block", "Administrators cannot block themselves: another administrator can."),
        (own.clone(), "delete", "Administrators cannot delete themselves: another administrator can."),
        (json!(house.alice.id), "delete", "sole-owner of a group"),
    ] {
        let refused = chief.post(&format!("{ADMIN}/users/{user}/{action}"), &[]).await;
        assert!(refused.status >= 400 && refused.text.contains(sentence), "{}", refused.text);
    }
    chief.get(&format!("{ADMIN}/users/{own}/block")).await.is(403, "Administrators cannot block themselves");
    alice.get("/").await.is(200, "hers");
}
