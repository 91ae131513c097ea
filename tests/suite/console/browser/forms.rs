//! Forms in a real browser: with several faults, of two tabs, after the end of a session, and the deletion of a group.

use serde_json::json;

use super::super::*;
use super::Chromium;

/// The button of the form with this section of the settings.
fn button_of(section: &str) -> String {
    format!("form:has(input[value={section}]) button")
}

async fn sign_in(browser: &Chromium) {
    browser.fill("#username", "alice").await;
    browser.fill("#password", &password("alice")).await;
    browser.click("main button.primary").await;
}

#[actix_rt::test]
async fn a_form_keeps_what_was_typed_through_faults_another_tab_and_the_end_of_a_session() {
    let house = House::new(Scenario::new()).await;
    let (settings, save) = (format!("{TEAM}/settings"), button_of("limits"));
    let (other, browser) = (house.visitor("alice").await, Chromium::start(&house.started.service).await);
    browser.open(&settings).await;
    sign_in(&browser).await;
    browser.fill("#quota", "many").await;
    browser.fill("#days", "soon").await;
    browser.click(&save).await;
    browser.shows("The number of days is not a number of days.").await;
    assert_eq!(browser.focused().await, json!("quota"));
    browser.check_present_with_axe("several faults").await;

    let fields = [("section", "limits"), ("quota", "50"), ("days", "")];
    other.post(&settings, &fields).await.is(200, "Saved.");
    browser.fill("#quota", "20").await;
    browser.fill("#days", "90").await;
    browser.click(&save).await;
    browser.shows("The quota is “50” now; this page showed empty.").await;
    browser.check_present_with_axe("another tab").await;
    browser.click(&save).await;
    browser.shows("Saved.").await;

    browser.fill("#days", "30").await;
    let ended = other.post("/-/account/sessions", &[("session", "others")]).await;
    assert_eq!(ended.status, 303);
    browser.click(&save).await;
    browser.shows("Your session has ended, so nothing was saved.").await;
    browser.check_present_with_axe("sign in again").await;
    sign_in(&browser).await;
    browser.shows("Your form was not sent yet").await;
    browser.check_present_with_axe("open the form again").await;
    browser.click("main button.primary").await;
    browser.shows("This is what you typed before your session ended.").await;
    browser.click("#days[value='30']").await;
    browser.check_present_with_axe("the form again").await;
    browser.click(&save).await;
    browser.shows("Saved.").await;
    let group = house.started.service.api("GET", "/groups/team", serde_json::Value::Null).await.json();
    assert_eq!(group["dependency_proxy_unpulled_days"], 30);
    browser.end().await;
}

#[actix_rt::test]
async fn an_owner_renames_and_deletes_a_group_with_the_keyboard_and_the_mouse() {
    let house = House::new(Scenario::new()).await;
    let service = &house.started.service;
    let below = json!({"name": "ci", "path": "ci", "parent_id": house.started.team.id});
    assert_eq!(service.api("POST", "/groups", below).await.status, 201);
    let browser = Chromium::start(service).await;
    browser.open("/groups/team/ci/-/dependency_proxy/settings").await;
    sign_in(&browser).await;
    browser.fill("#path", "builds").await;
    browser.click(&button_of("details")).await;
    browser.shows("Saved. The pages of the group have this address now.").await;
    browser.click("a.danger").await;
    browser.shows("Delete the group team/builds?").await;
    browser.fill("#path", "team/build").await;
    browser.press("#path").await;
    browser.shows("The path is not that of this group.").await;
    assert_eq!(browser.focused().await, json!("path"));
    browser.check_present_with_axe("a wrong path").await;
    browser.fill("#path", "team/builds").await;
    browser.click("button.danger").await;
    browser.shows("The group team/builds was deleted.").await;
    browser.end().await;
}
