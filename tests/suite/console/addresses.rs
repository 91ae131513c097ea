//! Addresses that people get or type lead to pages, and every link and form of a page can be used.

use serde_json::{Value, json};

use super::admin::administrator;
use super::*;
use crate::service::Config;

#[actix_rt::test]
async fn the_address_of_a_user_leads_to_the_own_account_and_administrators_to_the_user() {
    let house = House::new(Scenario::new()).await;
    let (service, chief) = (&house.started.service, administrator(&house).await);
    let [alice, bob] = [house.visitor("alice").await, house.visitor("bob").await];
    let user = service.api("GET", "/users?username=alice", Value::Null).await.json()[0].clone();
    let address = user["web_url"].as_str().unwrap().strip_prefix(&service.url()).unwrap();
    assert_eq!(alice.get(address).await.leads_to, "/-/account");
    chief.get(&chief.get(address).await.leads_to).await.shows(&["<b>alice</b>", "1 to 1 of 1"]);
    bob.get(address).await.is(403, "This page is for administrators");
    chief.get("/-/users/nobody").await.is(404, "There is no page with this address");
}

#[actix_rt::test]
async fn addresses_with_a_slash_too_many_and_those_above_pages_lead_to_what_is_meant() {
    let house = House::new(Scenario::new()).await;
    let alice = house.visitor("alice").await;
    for (address, page) in [
        ("/groups", "/"),
        ("/groups/", "/"),
        ("/groups/team/", "/groups/team"),
        ("/groups/team/-/dependency_proxy/members/?q=b", "/groups/team/-/dependency_proxy/members?q=b"),
        ("/-/account/", "/-/account"),
        ("/-/account//", "/-/account"),
    ] {
        let found = alice.get(address).await;
        assert_eq!((found.status, found.leads_to.as_str()), (303, page), "{address}");
    }
    alice.get("/-/nothing").await.is(404, "There is no page with this address");
    alice.post("/-/nothing", &[]).await.is(404, "There is no page with this address");
    alice.get("/-/sign-out").await.shows(&["<h1>Sign out?</h1>", r#"method="post" action="/-/sign-out""#]);
    assert_eq!(Visitor::stranger(&house.started.service).get("/-/sign-out").await.leads_to, "/-/sign-in");
}

#[actix_rt::test]
async fn a_request_with_another_method_gets_a_page_that_says_so() {
    let house = House::new(Scenario::new()).await;
    let [alice, stranger] = [house.visitor("alice").await, Visitor::stranger(&house.started.service)];
    for (method, address, allowed) in [
        ("POST", "/", "GET, HEAD"),
        ("DELETE", TEAM, "GET, HEAD, POST"),
        ("PUT", "/-/account", "GET, HEAD, POST"),
        ("DELETE", "/-/sign-out", "GET, HEAD, POST"),
        ("POST", "/-/users/alice", "GET, HEAD"),
    ] {
        for visitor in [&alice, &stranger] {
            let page = visitor.send(visitor.request(method, address)).await;
            page.is(405, "<h1>This address is not for such a request</h1>");
            assert_eq!(page.header("allow"), allowed, "{method} {address}");
        }
    }
}

#[actix_rt::test]
async fn pages_of_tokens_tell_only_what_can_be_done() {
    let house = House::new(Scenario::new()).await;
    let alice = house.visitor("alice").await;
    let new = format!("{TEAM}/tokens/new");
    let reads = [("kind", "group"), ("name", "reads"), ("access_level", "10"), ("scopes", "read_api")];
    let page = alice.post(&new, &reads).await;
    page.shows(&["The token reads was made", "PRIVATE-TOKEN", "/api/v4/groups"]);
    assert!(!page.text.contains("docker login") && !page.text.contains("dependency-proxy check"), "{}", page.text);
    let pulls = [("kind", "deploy"), ("name", "pulls"), ("username", "a$b"), ("scopes", "pull")];
    alice.post(&new, &pulls).await.is(400, "The user name cannot contain “$”.");
    assert!(!alice.get("/-/groups/new").await.text.contains("changed later"));
}

#[actix_rt::test]
async fn a_public_group_is_shown_to_who_may_pull_from_it_without_what_it_has_cached() {
    for (setting, is_shown) in [("members", false), ("signed_in", true)] {
        let configured = |config: Config| config.variable("DEPENDENCY_PROXY__AUTH__PUBLIC_GROUPS", setting);
        let house = House::new(with_images(1).configured(configured)).await;
        let public = json!({"visibility": "public", "description": "For all of us"});
        let service = &house.started.service;
        assert_eq!(service.api("PUT", "/groups/team", public).await.status, 200);
        house.pull(&[("1", &image(1))]).await;
        let dave = house.visitor("dave").await;
        let page = dave.get(TEAM).await;
        if is_shown {
            page.shows(&["For all of us", "You are not a member of this group", "team/dependency_proxy/containers/"]);
            assert!(!page.text.contains("Cached images") && !page.text.contains("library/app"), "{}", page.text);
            assert_eq!(dave.get("/groups/team").await.leads_to, TEAM);
        } else {
            page.is(404, "There is no group team, or you are not a member of it");
        }
        for rest in ["members", "settings", "tokens", "images/library/app:1"] {
            dave.get(&format!("{TEAM}/{rest}")).await.is(404, "There is no group team");
        }
    }
}
