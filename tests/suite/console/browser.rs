//! The console in a real browser, headless Chromium: the steps of a person on its pages, and a check of each by
//! axe-core.

mod chromium;
mod forms;

use std::process::Command;

use fantoccini::Locator;
use serde_json::{Value, json};

use self::chromium::Chromium;
use super::*;
use crate::service::eventually;

/// Pulls an image with skopeo. Returns its output if it fails.
fn skopeo_pull(service: &Service, username: &str, secret: &str, image: &str) -> Result<(), String> {
    let host = service.url().split_once("://").unwrap().1.to_owned();
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("skopeo")
        .args(["copy", "--src-tls-verify=false", "--src-creds", &format!("{username}:{secret}")])
        .arg(format!("docker://{host}/team/dependency_proxy/containers/{image}"))
        .arg(format!("dir:{}", folder.path().display()))
        .output()
        .unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[actix_rt::test]
async fn a_person_sees_a_pulled_image_makes_rotates_and_revokes_a_token_and_deletes_and_clears() {
    let house = House::new(with_images(2)).await;
    let (service, browser) = (&house.started.service, Chromium::start(&house.started.service).await);
    browser.open(TEAM).await;
    browser.fill("#username", "alice").await;
    browser.fill("#password", &password("alice")).await;
    browser.click("button.primary").await;
    browser.shows("Nothing is cached yet").await;
    skopeo_pull(service, "alice", &password("alice"), "app:1").unwrap();
    skopeo_pull(service, "alice", &password("alice"), "app:2").unwrap();
    browser.open(TEAM).await;
    browser.shows("library/app:1").await;

    browser.click("nav.tabs a[href$='/tokens']").await;
    browser.click("a[href$='/tokens/new']").await;
    browser.fill("#name", "ci").await;
    browser.fill("#username", "ci-runners").await;
    browser.click("main button.primary").await;
    let secret = browser.text_of("#secret-text").await;
    skopeo_pull(service, "ci-runners", &secret, "app:1").unwrap();
    browser.click("a.button[href$='/tokens']").await;
    browser.open_menu_of("ci-runners").await;
    browser.click("div.menu:popover-open a[href$='/rotate']").await;
    browser.click("main button.primary").await;
    let new = browser.text_of("#secret-text").await;
    assert_ne!(secret, new);
    skopeo_pull(service, "ci-runners", &new, "app:1").unwrap();
    browser.click("a.button[href$='/tokens']").await;
    browser.open_menu_of("ci-runners").await;
    browser.click("div.menu:popover-open a[href$='/revoke']").await;
    browser.click("button.danger").await;
    browser.shows("The token was revoked.").await;
    let refused = skopeo_pull(service, "ci-runners", &new, "app:1").unwrap_err();
    assert!(refused.contains("403 (Forbidden)"), "{refused}");

    browser.open(TEAM).await;
    browser.click("input[name=image][value='library/app:1']").await;
    browser.click("button[form=selection]").await;
    browser.shows("Delete 1 image from the cache of team?").await;
    browser.click("button.danger").await;
    browser.shows_no("library/app:1").await;
    browser.click("a[href$='/clear']").await;
    browser.fill("#path", "team").await;
    browser.click("button.danger").await;
    eventually("the cache is empty", async || {
        browser.open(TEAM).await;
        browser.text().await.contains("Nothing is cached yet")
    })
    .await;
    browser.end().await;
}

#[actix_rt::test]
async fn the_quota_of_a_group_evicts_and_a_stranger_sees_nothing() {
    let house = House::new(with_images(2)).await;
    house.pull(&[("1", &image(1)), ("2", &image(2))]).await;
    let (service, browser) = (&house.started.service, Chromium::start(&house.started.service).await);
    browser.open("/").await;
    browser.fill("#username", "dave").await;
    browser.fill("#password", &password("dave")).await;
    browser.click("button.primary").await;
    browser.shows("You are in no group yet").await;
    browser.open(TEAM).await;
    let text = browser.text().await;
    assert!(text.contains("There is no group team, or you are not a member of it") && !text.contains("library/app"));
    browser.click("button[popovertarget=menu-you]").await;
    browser.click("#menu-you button").await;
    browser.fill("#username", "bob").await;
    browser.fill("#password", &password("bob")).await;
    browser.click("button.primary").await;
    let limit = json!({"dependency_proxy_max_bytes": 4_000});
    assert_eq!(service.api("PUT", "/groups/team", limit).await.status, 200);
    eventually("an image is incomplete", async || {
        browser.open(TEAM).await;
        browser.text().await.contains("Incomplete")
    })
    .await;
    browser.end().await;
}

#[actix_rt::test]
async fn axe_finds_nothing_on_any_page() {
    let house = House::new(with_images(3)).await;
    house.pull(&[("1", &image(1)), ("2", &image(2))]).await;
    assert_eq!(house.started.client.manifest("team", "app", "3").await.status, 200);
    let service = &house.started.service;
    let pin = json!({"pinned": true});
    let pinned = service.api("PUT", "/groups/team/dependency_proxy/images/app:1", pin).await;
    assert_eq!(pinned.status, 200);
    service.group("empty").await;
    service.api("POST", "/groups/empty/members", json!({"user_id": house.alice.id, "access_level": 50})).await;
    let account = json!({"identity": "robot-of-team", "secret": "a-password-elsewhere"});
    let path = "/groups/team/dependency_proxy/upstream_accounts/docker.io";
    assert_eq!(service.api("PUT", path, account).await.status, 200);
    let list = service.api("GET", "/groups/team/deploy_tokens", Value::Null).await.json();
    let token = format!("{TEAM}/tokens/{}", list[0]["id"]);
    let member = format!("{TEAM}/members/{}", house.bob.id);
    let browser = Chromium::start(service).await;
    browser.check_with_axe("/-/api").await;
    browser.check_with_axe("/-/sign-in").await;
    browser.fill("#username", "alice").await;
    browser.fill("#password", &password("alice")).await;
    browser.click("button.primary").await;
    for address in addresses_of_owners(&token, &member) {
        browser.check_with_axe(&address).await;
    }
    let users = format!("/users/{}", house.alice.id);
    let admin = json!({"admin": true});
    assert_eq!(service.api("PUT", &users, admin).await.status, 200);
    for page in [
        "",
        "/groups",
        "/users",
        "/users/new",
        "/audit",
        &format!("/users/{}/block", house.bob.id),
        &format!("/users/{}/sessions", house.alice.id),
    ] {
        browser.check_with_axe(&format!("/-/admin{page}")).await;
    }
    browser.end().await;
}

/// Returns the addresses of pages for an owner, with those of a token and of a member.
fn addresses_of_owners(token: &str, member: &str) -> Vec<String> {
    let of_team = |rest: &str| format!("{TEAM}{rest}");
    let of_team = [
        "",
        "?q=nothing",
        "/images/library/app:1",
        "/delete?image=library/app:1",
        "/clear",
        "/tokens",
        "/tokens/new",
        "/members",
        "/settings",
        "/settings/delete",
        "/audit",
        "/explain",
        "/explain?user=bob&image=app:1",
        "?show=stale",
        "?show=pinned&q=app",
        "/other",
    ]
    .map(of_team);
    let of_token = ["/rotate", "/extend", "/revoke"].map(|rest| format!("{token}{rest}"));
    let of_member = ["/change", "/remove"].map(|rest| format!("{member}{rest}"));
    let others = [
        "/",
        "/groups/empty/-/dependency_proxy",
        "/-/account",
        "/-/account/tokens/new",
        "/groups/nowhere/-/dependency_proxy",
        "/-/groups/new",
    ];
    of_team.into_iter().chain(of_token).chain(of_member).chain(others.map(str::to_owned)).collect()
}

#[actix_rt::test]
async fn the_longest_names_break_on_every_page_and_none_is_wider_than_its_window() {
    let house = House::new(with_images(1)).await;
    let service = &house.started.service;
    let (path, username, name) = ("g".repeat(200), "u".repeat(200), "t".repeat(200));
    let secret = password("owner");
    let (group, owner) = (service.group(&path).await, service.user(&username, &secret).await);
    service.add_member(&group, &owner, 50).await;
    let settings = json!({"description": "d".repeat(200), "dependency_proxy_max_bytes": 10_000});
    assert_eq!(service.api("PUT", &format!("/groups/{}", group.id), settings).await.status, 200);
    let token = service.deploy_token(&group, &name).await;
    let client = service.log_in_with(&token).await;
    assert_eq!(client.manifest(&path, "app", "1").await.status, 200);
    let base = format!("/groups/{path}/-/dependency_proxy");
    let list = service.api("GET", &format!("/groups/{}/deploy_tokens", group.id), Value::Null).await.json();
    let browser = Chromium::start(service).await;
    browser.open("/").await;
    browser.fill("#username", &username).await;
    browser.fill("#password", &secret).await;
    browser.click("button.primary").await;
    browser.check_with_axe("/").await;
    for page in [
        "",
        "/images/library/app:1",
        "/clear",
        "/tokens",
        &format!("/tokens/{}/revoke", list[0]["id"]),
        "/members",
        &format!("/members/{}/remove", owner.id),
        "/settings",
        "/settings/delete",
        "/audit",
        &format!("/explain?user={username}&image=app:1"),
    ] {
        browser.check_with_axe(&format!("{base}{page}")).await;
    }
    browser.end().await;
}

#[actix_rt::test]
async fn a_person_ends_another_session_and_filters_the_list_with_the_keyboard() {
    let house = House::new(with_images(2)).await;
    house.pull(&[("1", &image(1)), ("2", &image(2))]).await;
    let service = &house.started.service;
    let pin = json!({"pinned": true});
    assert_eq!(service.api("PUT", "/groups/team/dependency_proxy/images/app:1", pin).await.status, 200);
    let other = house.visitor("alice").await;
    let browser = Chromium::start(service).await;
    browser.open("/-/account").await;
    browser.fill("#username", "alice").await;
    browser.fill("#password", &password("alice")).await;
    browser.click("button.primary").await;
    browser.shows("Chrome without a window on Linux").await;
    browser.shows("This session").await;
    browser.press("button[name=session]").await;
    browser.shows("That session has ended.").await;
    assert!(other.get("/").await.leads_to.starts_with("/-/sign-in?"));
    browser.open(TEAM).await;
    browser.press("ul.filters a[href$='show=pinned']").await;
    browser.shows_no("library/app:2").await;
    browser.shows("1 to 1 of 1").await;
    browser.end().await;
}

/// Finds elements by a CSS selector.
fn css(selector: &str) -> Locator<'_> {
    Locator::Css(selector)
}
