//! Sessions: they begin with a password, and end when they should.

use std::time::Duration;

use serde_json::{Value, json};

use super::admin::administrator;
use super::*;
use crate::service::{ADMIN_TOKEN, Config, eventually};

#[actix_rt::test]
async fn who_is_not_signed_in_is_led_to_the_form_and_back() {
    let house = House::new(Scenario::new()).await;
    let mut visitor = Visitor::stranger(&house.started.service);
    for address in ["/", TEAM, "/groups/nowhere/-/dependency_proxy", "/groups/team/-/dependency_proxy/clear"] {
        let page = visitor.get(address).await;
        let encoded = address.replace('/', "%2F");
        assert_eq!((page.status, page.leads_to), (303, format!("/-/sign-in?return={encoded}")), "{address}");
    }
    let form = visitor.get(&format!("/-/sign-in?return={TEAM}")).await;
    form.shows(&["<h1>Sign in</h1>", &format!(r#"name="return" value="{TEAM}""#)]);
    let page = visitor.sign_in("alice", &password("alice"), TEAM).await;
    assert_eq!((page.status, page.leads_to.as_str()), (303, TEAM));
    visitor.get(TEAM).await.shows(&["<h1>team ", "Signed in as alice"]);
    let again = visitor.get("/-/sign-in").await;
    assert_eq!((again.status, again.leads_to.as_str()), (303, "/"), "who is signed in is led on");
}

#[actix_rt::test]
async fn nobody_is_led_to_another_site() {
    let house = House::new(Scenario::new()).await;
    let long = format!("/{}", "a".repeat(3000));
    let foreign =
        ["https://evil.example/", "//evil.example/", "/\\evil.example", "/\t/evil.example", "/\0", "evil", "", &long];
    for back in foreign {
        let page = Visitor::stranger(&house.started.service).sign_in("alice", &password("alice"), back).await;
        assert_eq!((page.status, page.leads_to.as_str()), (303, "/"), "{back}");
    }
}

#[actix_rt::test]
async fn every_wrong_login_gets_the_same_page_and_is_a_failed_login() {
    let house = House::new(Scenario::new()).await;
    let service = &house.started.service;
    let block = format!("/users/{}/block", house.bob.id);
    assert_eq!(service.api("POST", &block, Value::Null).await.status, 201);
    let mut visitor = Visitor::stranger(service);
    for (username, password) in
        [("alice", "a-wrong-password".to_owned()), ("nobody", "a-wrong-password".to_owned()), ("bob", password("bob"))]
    {
        let page = visitor.sign_in(username, &password, "/").await;
        page.is(403, "No user has this name and this password, or the user is blocked.");
        assert!(page.text.contains(&format!(r#"value="{username}""#)), "what was typed stays");
        assert!(!page.text.contains(&password) && visitor.cookie.is_none());
    }
    let token = visitor.sign_in("root", ADMIN_TOKEN, "/").await;
    assert_eq!(token.status, 403, "tokens open no page");
    visitor.sign_in("alice", "", "/").await.is(400, "The password is missing.");
    let log = service.log();
    assert!(log.contains(r#""reason":"wrong_secret""#) && !log.contains(&password("bob")), "{log}");
}

#[actix_rt::test]
async fn a_session_ends_by_signing_out_a_new_password_and_a_block() {
    let house = House::new(Scenario::new()).await;
    let service = &house.started.service;
    let is_out = async |visitor: &Visitor| visitor.get(TEAM).await.leads_to.starts_with("/-/sign-in");

    let [first, second] = [house.visitor("alice").await, house.visitor("alice").await];
    assert_ne!(first.cookie, second.cookie);
    let signed_out = first.post("/-/sign-out", &[]).await;
    assert_eq!((signed_out.status, signed_out.leads_to.as_str()), (303, "/-/sign-in"));
    assert!(signed_out.header("set-cookie").contains("Max-Age=0"), "{}", signed_out.header("set-cookie"));
    assert!(is_out(&first).await && !is_out(&second).await);

    let new = json!({"password": "another-password"});
    assert_eq!(service.api("PUT", &format!("/users/{}", house.alice.id), new).await.status, 200);
    assert!(is_out(&second).await, "the password has changed");

    let bob = house.visitor("bob").await;
    assert!(!is_out(&bob).await);
    assert_eq!(service.api("POST", &format!("/users/{}/block", house.bob.id), Value::Null).await.status, 201);
    assert!(is_out(&bob).await);
    assert_eq!(service.api("POST", &format!("/users/{}/unblock", house.bob.id), Value::Null).await.status, 201);
    assert!(is_out(&bob).await, "a session that has ended stays so");
    let bob = house.visitor("bob").await;
    for change in ["block", "unblock"] {
        assert_eq!(service.api("POST", &format!("/users/{}/{change}", house.bob.id), Value::Null).await.status, 201);
    }
    assert!(is_out(&bob).await, "also if there was no request in between");
}

#[actix_rt::test]
async fn people_see_where_they_are_signed_in_and_end_other_sessions() {
    let house = House::new(Scenario::new()).await;
    let [first, second, third] =
        [house.visitor("alice").await, house.visitor("alice").await, house.visitor("alice").await];
    let bob = house.visitor("bob").await;
    let is_out = async |visitor: &Visitor| visitor.get(TEAM).await.leads_to.starts_with("/-/sign-in");
    second.get("/").await;
    let page = first.get("/-/account").await;
    page.shows(&["Where you are signed in", "A program without a name", "This session", "127.0.0.1", "End all others"]);
    let rows: Vec<&str> = page.text.split("<tr").filter(|row| row.contains(r#"name="session""#)).collect();
    assert_eq!(rows.len(), 2, "the present one cannot be ended here: {}", page.text);
    // The one that was used last stands first.
    let id = rows[0].split(r#"name="session" value=""#).nth(1).unwrap().split('"').next().unwrap();
    let sessions = "/-/account/sessions";
    bob.post(sessions, &[("session", id)]).await.is(400, "That session is over already.");
    let ended = first.post(sessions, &[("session", id)]).await;
    assert_eq!((ended.status, ended.leads_to.as_str()), (303, "/-/account"));
    first.get("/-/account").await.shows(&["That session has ended."]);
    assert!(is_out(&second).await && !is_out(&third).await);
    assert_eq!(first.post(sessions, &[("session", "others")]).await.status, 303);
    assert!(is_out(&third).await && !is_out(&first).await && !is_out(&bob).await);
    first.post(sessions, &[("session", "x")]).await.is(400, "That session is over already.");
}

#[actix_rt::test]
async fn a_member_who_is_removed_sees_at_once_what_a_stranger_sees() {
    let house = House::new(Scenario::new()).await;
    let service = &house.started.service;
    let (bob, dave) = (house.visitor("bob").await, house.visitor("dave").await);
    bob.get(TEAM).await.shows(&["<h1>team "]);
    let member = format!("/groups/team/members/{}", house.bob.id);
    assert_eq!(service.api("DELETE", &member, Value::Null).await.status, 204);
    bob.get(TEAM).await.is(404, "There is no group team, or you are not a member of it");
    let plain = |text: String, path: &str| {
        let from = text.find("<main").unwrap();
        text[from..text.find("<footer").unwrap()].replace(path, "PATH")
    };
    let existing = dave.get(TEAM).await;
    let missing = dave.get("/groups/nowhere/-/dependency_proxy").await;
    assert_eq!((existing.status, missing.status), (404, 404));
    assert_eq!(plain(existing.text, "team"), plain(missing.text, "nowhere"), "the same page to the byte");
    dave.get("/").await.shows(&["You are in no group yet", "dave"]);
}

#[actix_rt::test]
async fn pages_load_nothing_but_the_consoles_own_files_and_have_no_script_or_style_in_them() {
    let house = House::new(with_images(2)).await;
    house.pull(&[("1", &image(1)), ("2", &image(2))]).await;
    let alice = house.visitor("alice").await;
    let one = format!("{TEAM}/images/library/app:1");
    let delete = format!("{TEAM}/delete?image=library/app:1");
    let clear = format!("{TEAM}/clear");
    for address in ["/", TEAM, one.as_str(), delete.as_str(), clear.as_str(), "/groups/none/-/dependency_proxy"] {
        let page = alice.get(address).await;
        assert!(
            page.header("content-security-policy").starts_with("default-src 'none'; style-src 'self'"),
            "{address}"
        );
        assert_eq!((page.header("cache-control"), page.header("x-frame-options")), ("no-store", "DENY"));
        for forbidden in [" style=", "<style", "<script>", " onclick", "javascript:", "http://", "https://"] {
            let text = page.text.replace(&house.started.service.url(), "");
            assert!(!text.contains(forbidden), "{forbidden} is in {address}");
        }
        for file in page.text.split(['"']).filter(|part| part.starts_with("/-/assets/")) {
            let asset = alice.get(file).await;
            assert!(asset.status == 200 && asset.header("cache-control").contains("immutable"), "{file}");
        }
    }
    let old = alice.get("/-/assets/000000000000-console.css").await;
    assert_eq!(
        (old.status, old.header("cache-control")),
        (200, "no-cache"),
        "a page of another version finds its style"
    );
    assert_eq!(alice.get("/-/assets/other").await.status, 404);
}

#[actix_rt::test]
async fn the_cookie_is_for_this_host_alone_and_behind_tls_for_tls_alone() {
    let secure = Scenario::new()
        .configured(|config| config.variable("DEPENDENCY_PROXY__SERVER__EXTERNAL_URL", "https://images.example"));
    for (scenario, name, is_secure) in
        [(Scenario::new(), "dependency-proxy-session=", false), (secure, "__Host-dependency-proxy-session=", true)]
    {
        let started = scenario.start().await;
        user(&started.service, "alice").await;
        let page = Visitor::stranger(&started.service).sign_in("alice", &password("alice"), "/").await;
        let cookie = page.header("set-cookie");
        assert!(cookie.starts_with(name) && cookie.contains("; Secure") == is_secure, "{cookie}");
        assert!(["; HttpOnly", "; SameSite=Lax", "; Path=/"].iter().all(|part| cookie.contains(part)), "{cookie}");
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
}

#[actix_rt::test]
async fn a_session_ends_without_requests_after_the_time_in_the_settings() {
    let idle = |config: Config| config.variable("DEPENDENCY_PROXY__CONSOLE__SESSION_IDLE", "1s");
    let house = House::new(with_images(1).configured(idle)).await;
    let alice = house.visitor("alice").await;
    alice.get("/").await.is(200, "Your groups");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(alice.get("/").await.leads_to.starts_with("/-/sign-in?"));
}

#[actix_rt::test]
async fn a_console_that_is_switched_off_has_no_pages() {
    let off = |config: Config| config.variable("DEPENDENCY_PROXY__CONSOLE__ENABLED", "false");
    let started = with_images(1).configured(off).start().await;
    let stranger = Visitor::stranger(&started.service);
    for address in ["/", "/-/sign-in", "/-/admin", TEAM, "/-/assets/console.css"] {
        assert_eq!(stranger.get(address).await.status, 404, "{address}");
    }
    assert_eq!(started.client.manifest("team", "app", "1").await.status, 200);
}

#[actix_rt::test]
async fn a_cookie_of_the_same_name_from_elsewhere_does_not_hide_the_session() {
    let house = House::new(with_images(1)).await;
    let mut alice = house.visitor("alice").await;
    let (own, name) = (alice.cookie.clone().unwrap(), alice.cookie.clone().unwrap());
    let foreign = format!("{}=0123", name.split('=').next().unwrap());
    alice.cookie = Some(format!("{foreign}; {own}"));
    alice.get("/").await.is(200, "Your groups");
    alice.cookie = Some(foreign);
    assert!(alice.get("/").await.leads_to.starts_with("/-/sign-in?"));
}

#[actix_rt::test]
async fn a_form_that_was_sent_after_the_session_had_ended_leads_back_to_its_page_and_says_that_nothing_was_saved() {
    let house = House::new(with_images(1)).await;
    let service = &house.started.service;
    let mut stranger = Visitor::stranger(service);
    let send = async |address: &str, referer: Option<String>| {
        let request = stranger.request("POST", address).form(&[("name", "x")]);
        let request = referer.into_iter().fold(request, |request, page| request.header("referer", page));
        stranger.send(request).await.leads_to
    };
    let settings = format!("{TEAM}/settings");
    let to_settings = format!("/-/sign-in?return={}&why=form", settings.replace('/', "%2F"));
    assert_eq!(send(&settings, None).await, to_settings);
    assert_eq!(send(&settings, Some("https://other.example/page".to_owned())).await, to_settings);
    let confirmation = format!("{}{TEAM}/delete?image=app:1", service.url());
    assert!(send(&format!("{TEAM}/delete"), Some(confirmation)).await.contains("delete%3Fimage%3Dapp%3A1&why=form"));
    assert_eq!(send("/-/sign-out", None).await, "/-/sign-in?return=%2F");

    let form = stranger.get(&to_settings).await;
    form.shows(&["Your session has ended, so nothing was saved."]);
    assert_eq!(stranger.sign_in("alice", &password("alice"), &form.field("return")).await.leads_to, settings);
    assert!(!Visitor::stranger(service).get("/-/sign-in?why=other").await.text.contains("nothing was saved"));
}

#[actix_rt::test]
async fn a_page_that_reloads_itself_does_not_keep_a_session() {
    let idle = |config: Config| config.variable("DEPENDENCY_PROXY__CONSOLE__SESSION_IDLE", "1s");
    let house = House::new(Scenario::new().configured(idle)).await;
    let chief = administrator(&house).await;
    let has_ended = async || chief.get("/-/admin?reload=5").await.leads_to.starts_with("/-/sign-in");
    eventually("the session has ended", has_ended).await;
}
