//! Values of a form whose session has ended: they come back after signing in, and the form is not carried out by itself.

use serde_json::{Value, json};

use super::visitor::Page;
use super::*;

/// Returns the hidden fields of the form that is sent to this address, as a browser sends them.
fn hidden(page: &Page, action: &str) -> Vec<(String, String)> {
    let (_, form) = page.text.split_once(&format!(r#"action="{action}""#)).expect(&page.text);
    let inputs = form.split("</form>").next().unwrap().split("<input ").skip(1);
    let attribute = |input: &str, name: &str| {
        let value = input.split_once(&format!(r#"{name}=""#)).map(|(_, rest)| rest.split('"').next().unwrap());
        value
            .unwrap_or_default()
            .replace("&quot;", "\"")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&")
    };
    let is_hidden = |input: &&str| input.contains(r#"type="hidden""#);
    inputs.filter(is_hidden).map(|input| (attribute(input, "name"), attribute(input, "value"))).collect()
}

/// Ends the sessions of a visitor, whose browser keeps its cookie, and sends a form. Signs in
/// again from the page that comes, and opens the form again.
async fn reopened(
    house: &House,
    visitor: &mut Visitor,
    username: &str,
    address: &str,
    fields: &[(&str, &str)],
) -> Page {
    let token = visitor.get("/").await.form_token();
    let other = house.visitor(username).await;
    other.post("/-/account/sessions", &[("session", "others")]).await;
    let fields: Vec<_> = fields.iter().copied().chain([("csrf", token.as_str()), ("typed", "yes")]).collect();
    let page = visitor.send(visitor.request("POST", address).form(&fields)).await;
    page.is(403, "Your session has ended, so nothing was saved. Sign in again: the form follows");
    let mut login = hidden(&page, "/-/sign-in");
    login.extend([("username".to_owned(), username.to_owned()), ("password".to_owned(), "wrong-password".to_owned())]);
    let wrong = visitor.send(visitor.request("POST", "/-/sign-in").form(&login)).await;
    wrong.is(403, "No user has this name and this password");
    let mut login = hidden(&wrong, "/-/sign-in");
    login.extend([("username".to_owned(), username.to_owned()), ("password".to_owned(), password(username))]);
    let signed_in = visitor.send(visitor.request("POST", "/-/sign-in").form(&login)).await;
    signed_in.shows(&["Your form was not sent yet", &format!("Signed in as {username}")]);
    visitor.cookie = signed_in.header("set-cookie").split(';').next().map(str::to_owned);
    visitor.send(visitor.request("POST", address).form(&hidden(&signed_in, address))).await
}

const NOTE: &str = "This is what you typed before your session ended. Nothing was saved yet";

#[actix_rt::test]
async fn a_form_opens_again_with_what_was_typed_and_is_saved_only_when_it_is_sent() {
    let house = House::new(Scenario::new()).await;
    let mut alice = house.visitor("alice").await;
    let settings = format!("{TEAM}/settings");
    let fields = [("section", "limits"), ("quota", "50"), ("days", "90")];
    let page = reopened(&house, &mut alice, "alice", &settings, &fields).await;
    page.shows(&[NOTE, r#"name="quota" inputmode="decimal" value="50""#, r#"value="90""#]);
    let quota = async || {
        let group = house.started.service.api("GET", "/groups/team", Value::Null).await.json();
        group["dependency_proxy_max_bytes"].clone()
    };
    assert_eq!(quota().await, Value::Null);
    alice.post(&settings, &fields).await.is(200, "Saved.");
    assert_eq!(quota().await, 50_000_000_000_u64);
}

#[actix_rt::test]
async fn every_form_with_something_to_type_opens_again_without_passwords() {
    let house = House::new(Scenario::new()).await;
    let service = &house.started.service;
    let admin = json!({"admin": true});
    assert_eq!(service.api("PUT", &format!("/users/{}", house.alice.id), admin).await.status, 200);
    let token = service.deploy_token(&house.started.team, "robot").await;
    let member = format!("{TEAM}/members/{}/change", house.bob.id);
    let extension = format!("{TEAM}/tokens/{}/extend", token.id);
    let settings = format!("{TEAM}/settings");
    let secret = "a-password-of-nobody";
    for (address, fields, text) in [
        ("/-/groups/new", vec![("path", "fruit\"<b>")], r#"value="fruit&quot;&lt;b&gt;""#),
        ("/-/admin/users/new", vec![("username", "erin"), ("password", secret)], r#"value="erin""#),
        (&format!("{TEAM}/members"), vec![("username", "dave"), ("access_level", "30")], r#"value="dave""#),
        (&member, vec![("access_level", "40"), ("expires_at", "2099-01-31")], r#"value="2099-01-31""#),
        (&extension, vec![("expires_at", "2098-01-31")], r#"value="2098-01-31""#),
        (&format!("{TEAM}/tokens/new"), vec![("kind", "deploy"), ("name", "ci"), ("scopes", "pull")], r#"value="ci""#),
        (
            &settings,
            vec![("section", "account"), ("upstream", "docker.io"), ("identity", "robot"), ("secret", secret)],
            r#"value="robot""#,
        ),
        (&settings, vec![("section", "proxy"), ("proxy", "off")], r#"id="proxy-off" value="off" checked"#),
    ] {
        let mut alice = house.visitor("alice").await;
        let page = reopened(&house, &mut alice, "alice", address, &fields).await;
        assert!(page.text.contains(text) && !page.text.contains(secret), "{address}: {}", page.text);
        assert!(page.status == 200 && page.text.contains(NOTE) || page.status == 400, "{address}: {}", page.text);
    }
    let users = service.api("GET", "/users?username=erin", Value::Null).await.json();
    let group = service.api("GET", "/groups/team", Value::Null).await.json();
    assert_eq!((users.as_array().unwrap().len(), &group["dependency_proxy_enabled"]), (0, &Value::Null));
    assert_eq!(service.api("GET", "/groups/team/deploy_tokens", Value::Null).await.json().as_array().unwrap().len(), 2);
}

#[actix_rt::test]
async fn only_a_form_of_a_page_of_the_ended_session_is_kept() {
    let house = House::new(Scenario::new()).await;
    let alice = house.visitor("alice").await;
    let (token, other) = (alice.get("/").await.form_token(), house.visitor("alice").await);
    let foreign = other.get("/").await.form_token();
    other.post("/-/account/sessions", &[("session", "others")]).await;
    let send = async |token: &str, typed: &str, header: (&'static str, &'static str)| {
        let fields = [("csrf", token), (typed, "yes"), ("path", "fruit")];
        let request = alice.request("POST", "/-/groups/new").header(header.0, header.1);
        alice.send(request.form(&fields)).await
    };
    let own = ("sec-fetch-site", "same-origin");
    send(&token, "typed", own).await.is(403, "the form follows with what you typed");
    for page in [
        send(&foreign, "typed", own).await,
        send(&token, "other", own).await,
        send(&token, "typed", ("sec-fetch-site", "cross-site")).await,
    ] {
        assert_eq!((page.status, page.leads_to.as_str()), (303, "/-/sign-in?return=%2F-%2Fgroups%2Fnew&why=form"));
    }
}

#[actix_rt::test]
async fn a_form_of_an_earlier_session_opens_again_if_a_page_of_this_site_has_sent_it() {
    let house = House::new(Scenario::new()).await;
    let token = house.visitor("alice").await.get("/").await.form_token();
    let alice = house.visitor("alice").await;
    let address = &format!("{TEAM}/settings");
    let fields = [("csrf", token.as_str()), ("typed", "yes"), ("section", "limits"), ("quota", "50"), ("days", "91")];
    let send = async |header: (&'static str, &'static str)| {
        alice.send(alice.request("POST", address).header(header.0, header.1).form(&fields)).await
    };
    let kept = send(("sec-fetch-site", "same-origin")).await;
    kept.is(403, "You have signed out and in again since its page was opened");
    let opened = alice.send(alice.request("POST", address).form(&hidden(&kept, address))).await;
    opened.shows(&[NOTE, r#"value="91""#]);
    for header in [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "none"), ("x-other", "1")] {
        let refused = send(header).await;
        refused.is(403, "this form is not from your present session");
        assert!(!refused.text.contains(r#"value="91""#), "{}", refused.text);
    }
    let group = house.started.service.api("GET", "/groups/team", Value::Null).await.json();
    assert_eq!(group["dependency_proxy_max_bytes"], Value::Null);
}
