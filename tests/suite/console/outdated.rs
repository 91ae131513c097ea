//! Two people, or two tabs, change the same thing: the second change is refused with what has changed, and undoes
//! nothing.

use futures::future::join_all;
use serde_json::{Value, json};

use super::*;

/// Returns what a form of the page has shown: the hidden field after this text.
fn seen(page: &str, after: &str) -> String {
    let (_, rest) = page.split_once(after).unwrap();
    let (_, value) = rest.split_once(r#"name="seen" value=""#).unwrap();
    value.split('"').next().unwrap().replace("&amp;", "&")
}

/// Returns the group as the API has it.
async fn team(house: &House) -> Value {
    house.started.service.api("GET", "/groups/team", Value::Null).await.json()
}

#[actix_rt::test]
async fn the_second_of_two_owners_is_told_what_the_first_one_has_changed_and_can_replace_it() {
    let house = House::new(Scenario::new()).await;
    let (alice, settings) = (house.visitor("alice").await, format!("{TEAM}/settings"));
    let section = r#"name="section" value="limits""#;
    let opened = seen(&alice.get(&settings).await.text, section);
    let send = async |seen: &str, quota: &str, days: &str| {
        let fields = [("section", "limits"), ("seen", seen), ("quota", quota), ("days", days)];
        alice.post(&settings, &fields).await
    };
    send(&opened, "50", "").await.is(200, "Saved.");
    let second = send(&opened, "20", "90").await;
    second.is(409, "Nothing was saved: what this page is about was changed since it was opened, by somebody else");
    second.is(409, "The quota is “50” now; this page showed empty.");
    second.is(409, r#"value="20""#);
    second.is(409, r#"value="90""#);
    assert!(!second.text.contains("The number of days is"), "nobody else has changed it: {}", second.text);
    assert_eq!(team(&house).await["dependency_proxy_max_bytes"], 50_000_000_000_u64);
    let again = seen(&second.text, section);
    send(&again, "20", "90").await.is(200, "Saved.");
    let group = team(&house).await;
    assert_eq!(group["dependency_proxy_max_bytes"], 20_000_000_000_u64);
    assert_eq!(group["dependency_proxy_unpulled_days"], 90);
    send(&again, "20", "90").await.is(200, "Saved.");
    send(&again, "20", "30").await.is(409, "The number of days is “90” now; this page showed empty.");
}

#[actix_rt::test]
async fn of_forms_that_are_sent_at_once_one_is_saved() {
    let house = House::new(Scenario::new()).await;
    let (alice, settings) = (house.visitor("alice").await, format!("{TEAM}/settings"));
    let page = alice.get(&settings).await;
    let (token, opened) = (page.form_token(), seen(&page.text, r#"name="section" value="freshness""#));
    let send = async |seconds: u32| {
        let seconds = seconds.to_string();
        let fields =
            [("csrf", token.as_str()), ("section", "freshness"), ("seen", &opened), ("freshness", seconds.as_str())];
        alice.send(alice.request("POST", &settings).form(&fields)).await.status
    };
    let mut statuses = join_all((1..=4).map(send)).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409]);
}

#[actix_rt::test]
async fn every_form_about_something_that_is_there_is_refused_if_that_was_changed_meanwhile() {
    let house = House::new(Scenario::new()).await;
    let service = &house.started.service;
    let token = json!({"name": "robot", "scopes": ["read_registry", "write_registry"], "expires_at": "2099-01-31"});
    let token = service.deploy_token_with(&house.started.team, token).await;
    let (settings, member) = (format!("{TEAM}/settings"), format!("{TEAM}/members/{}/change", house.bob.id));
    let extension = format!("{TEAM}/tokens/{}/extend", token.id);
    let section = |section: &str| format!(r#"name="section" value="{section}""#);
    let alice = house.visitor("alice").await;
    let mut forms = Vec::new();
    for (address, after, fields) in [
        (&settings, section("proxy"), vec![("section", "proxy"), ("proxy", "off")]),
        (&settings, section("freshness"), vec![("section", "freshness"), ("freshness", "60")]),
        (
            &settings,
            section("account"),
            vec![("section", "account"), ("upstream", "docker.io"), ("identity", "second"), ("secret", "another")],
        ),
        (&member, "<form".to_owned(), vec![("access_level", "40"), ("expires_at", "")]),
        (&extension, "<h1>".to_owned(), vec![("expires_at", "2098-01-31")]),
    ] {
        forms.push((address, seen(&alice.get(address).await.text, &after), fields));
    }
    let api = async |method: &str, path: &str, body: Value| {
        let status = service.api(method, path, body).await.status;
        assert_eq!(status, 200, "{path}");
    };
    api(
        "PUT",
        "/groups/team",
        json!({"dependency_proxy_enabled": true, "dependency_proxy_tag_freshness_seconds": 600}),
    )
    .await;
    let account = "/groups/team/dependency_proxy/upstream_accounts/docker.io";
    api("PUT", account, json!({"identity": "first", "secret": "a-password-elsewhere"})).await;
    api("PUT", &format!("/groups/team/members/{}", house.bob.id), json!({"access_level": 20})).await;
    alice.post(&extension, &[("expires_at", "2099-06-30")]).await;
    for ((address, seen, fields), sentence) in forms.iter().zip([
        "The switch is “On” now; this page showed “As in the group above, or the service”.",
        "The number of seconds is “600” now; this page showed empty.",
        "The user name is “first, with a password of ",
        "The role is “Reporter” now; this page showed “Developer”.",
        "The end is “2099-06-30” now; this page showed “2099-01-31”.",
    ]) {
        let sent: Vec<_> = fields.iter().copied().chain([("seen", seen.as_str())]).collect();
        alice.post(address, &sent).await.is(409, sentence);
    }
    let page = alice.get(&settings).await;
    let removal = seen(&page.text, &section("account-removal"));
    api("PUT", account, json!({"identity": "third", "secret": "a-password-elsewhere"})).await;
    let removal = [("section", "account-removal"), ("upstream", "docker.io"), ("seen", &removal)];
    alice.post(&settings, &removal).await.is(409, "The user name is “third, with a password of ");
    let accounts = service.api("GET", "/groups/team/dependency_proxy/upstream_accounts", Value::Null).await.json();
    assert_eq!(accounts[0]["identity"], "third");
    assert_eq!(team(&house).await["dependency_proxy_enabled"], true);
}
