//! Tokens, members and passwords on pages: new ones can pull, and revoked or removed ones cannot any more.

use serde_json::Value;

use super::*;

const TOKENS: &str = "/groups/team/-/dependency_proxy/tokens";
const MEMBERS: &str = "/groups/team/-/dependency_proxy/members";

/// Returns the text of the element with this id.
fn text_of(page: &str, id: &str) -> String {
    let (_, rest) = page.split_once(&format!(r#"id="{id}">"#)).unwrap_or_else(|| panic!("{id} is not in {page}"));
    rest.split('<').next().unwrap().to_owned()
}

/// Returns the number of the token or member in the first address that ends in this word.
fn number_before(page: &str, word: &str) -> String {
    let (before, _) = page.split_once(&format!(r#"/{word}""#)).unwrap();
    before.rsplit('/').next().unwrap().to_owned()
}

async fn pulls(house: &House, username: &str, secret: &str) -> u16 {
    let client = house.started.service.stranger().with_basic(username, secret);
    client.manifest("team", "app", "1").await.status
}

#[actix_rt::test]
async fn a_deploy_token_is_made_pulls_is_rotated_and_revoked() {
    let house = House::new(with_images(1)).await;
    let alice = house.visitor("alice").await;
    alice.get(&format!("{TOKENS}/new")).await.shows(&[r#"value="pull" checked"#, r#"value="deploy" checked"#]);
    let fields =
        [("kind", "deploy"), ("name", "k8s"), ("username", "k8s-staging"), ("scopes", "pull"), ("expires_at", "")];
    let made = alice.post(&format!("{TOKENS}/new"), &fields).await;
    made.shows(&["The token k8s was made", "It is shown this once.", "docker login"]);
    assert_eq!(made.header("cache-control"), "no-store");
    let (username, secret) = (text_of(&made.text, "secret-username"), text_of(&made.text, "secret-text"));
    assert_eq!((username.as_str(), pulls(&house, &username, &secret).await), ("k8s-staging", 200));

    let list = alice.get(TOKENS).await;
    list.shows(&["<b>k8s</b>", "<code>k8s-staging</code>", "Pull", "Never"]);
    assert!(!list.text.contains(&secret));
    let number = number_before(&list.text[list.text.find("k8s-staging").unwrap()..], "rotate");
    alice.get(&format!("{TOKENS}/{number}/rotate")).await.shows(&["Give the token k8s a new secret?"]);
    let rotate = format!("{TOKENS}/{number}/rotate");
    let present = async || alice.get(&rotate).await.field("present");
    let rotated = alice.post(&rotate, &[("overlap", "24h"), ("present", &present().await)]).await;
    rotated.shows(&["The token k8s has a new secret", "is valid until"]);
    let new = text_of(&rotated.text, "secret-text");
    assert_eq!([pulls(&house, &username, &secret).await, pulls(&house, &username, &new).await], [200, 200]);
    let opened = present().await;
    alice.get(&rotate).await.shows(&["The secret before the present one is valid until"]);
    alice
        .post(&rotate, &[("overlap", "soon"), ("present", &opened)])
        .await
        .is(400, "is not a length of time such as 24h");
    let again = alice.post(&rotate, &[("overlap", "0"), ("present", &opened)]).await;
    let newest = text_of(&again.text, "secret-text");
    let statuses = [pulls(&house, &username, &new).await, pulls(&house, &username, &newest).await];
    assert_eq!(statuses, [403, 200], "the old secret ends at once");
    let twice = alice.post(&rotate, &[("overlap", "0"), ("present", &opened)]).await;
    twice.is(409, "The token was rotated since this page was opened");
    assert_eq!(pulls(&house, &username, &newest).await, 200, "the same form sent twice rotates once");

    let extended = alice.post(&format!("{TOKENS}/{number}/extend"), &[("expires_at", "2099-01-31")]).await;
    assert_eq!((extended.status, extended.leads_to.as_str()), (303, TOKENS));
    alice.get(TOKENS).await.shows(&["2099-01-31"]);
    alice
        .post(&format!("{TOKENS}/{number}/extend"), &[("expires_at", "2001-01-31")])
        .await
        .is(400, "The end must be in the future.");

    alice.get(&format!("{TOKENS}/{number}/revoke")).await.shows(&["Revoke the token k8s?", "cannot be brought back"]);
    assert_eq!(alice.post(&format!("{TOKENS}/{number}/revoke"), &[]).await.status, 303);
    assert_eq!(pulls(&house, &username, &newest).await, 403);
    assert!(!alice.get(TOKENS).await.text.contains("k8s-staging"));
    alice.get(&format!("{TOKENS}/{number}/rotate")).await.is(404, "There is no such token, or not any more");
    assert!([&secret, &new, &newest].iter().all(|secret| !house.started.service.log().contains(secret.as_str())));
}

#[actix_rt::test]
async fn a_form_that_is_refused_keeps_what_was_typed_and_says_what_is_wrong() {
    let house = House::new(Scenario::new()).await;
    let alice = house.visitor("alice").await;
    let new = format!("{TOKENS}/new");
    let none = [("kind", "group"), ("name", "robot"), ("access_level", "30"), ("expires_at", "2099-01-31")];
    let refused = alice.post(&new, &none).await;
    refused.is(400, "The choice of scopes is empty: choose at least one.");
    for kept in [r#"value="robot""#, r#"value="group" checked"#, r#"value="30" selected"#, r#"value="2099-01-31""#] {
        assert!(refused.text.contains(kept), "{kept}");
    }
    let with =
        |fields: [(&'static str, &'static str); 2]| [("name", "robot"), ("scopes", "pull"), fields[0], fields[1]];
    let day = with([("kind", "deploy"), ("expires_at", "tomorrow")]);
    alice.post(&new, &day).await.is(400, "The end is not a day such as 2027-02-26.");
    let blank = [("kind", "deploy"), ("name", ""), ("scopes", "pull")];
    alice.post(&new, &blank).await.is(400, r#"id="name-error""#);
    let level = with([("kind", "group"), ("access_level", "31")]);
    alice.post(&new, &level).await.is(400, "The role is unknown.");
    let api = [("kind", "deploy"), ("name", "robot"), ("scopes", "api")];
    alice.post(&new, &api).await.is(400, "The choice of scopes ");
    assert!(!alice.get(TOKENS).await.text.contains("robot"));
}

#[actix_rt::test]
async fn group_access_tokens_and_personal_tokens_are_made_for_their_owners_alone() {
    let house = House::new(with_images(1)).await;
    let [alice, bob] = [house.visitor("alice").await, house.visitor("bob").await];
    let bot = [("kind", "group"), ("name", "bot"), ("access_level", "30"), ("scopes", "pull"), ("scopes", "read_api")];
    let made = alice.post(&format!("{TOKENS}/new"), &bot).await;
    assert_eq!(pulls(&house, "any", &text_of(&made.text, "secret-text")).await, 200);
    alice.get(TOKENS).await.shows(&["Group access token, Developer", "Pull, and read over the API"]);
    let members = house.started.service.api("GET", "/groups/team/members", Value::Null).await.json();
    let robot =
        members.as_array().unwrap().iter().find(|one| one["username"].as_str().unwrap().contains("bot")).unwrap();
    alice.get(&format!("{MEMBERS}/{}/change", robot["id"])).await.is(404, "There is no page with this address");
    bob.get(TOKENS).await.is(403, "This page of team is for its owners");
    bob.post(&format!("{TOKENS}/new"), &bot).await.is(403, "This page of team is for its owners");

    let own = [("name", "laptop"), ("scopes", "pull"), ("expires_at", "2099-01-31")];
    let made = bob.post("/-/account/tokens/new", &own).await;
    let secret = text_of(&made.text, "secret-text");
    assert_eq!((made.status, pulls(&house, "bob", &secret).await), (200, 200));
    let account = bob.get("/-/account").await;
    account.shows(&["laptop", "2099-01-31"]);
    let number = number_before(&account.text, "revoke");
    alice.post(&format!("/-/account/tokens/{number}/revoke"), &[]).await.is(404, "There is no such token");
    alice.post(&format!("{TOKENS}/{number}/revoke"), &[]).await.is(404, "There is no such token");
    assert_eq!(pulls(&house, "bob", &secret).await, 200);
    let revoked = bob.post(&format!("/-/account/tokens/{number}/revoke"), &[]).await;
    assert_eq!((revoked.status, pulls(&house, "bob", &secret).await), (303, 403));
}

#[actix_rt::test]
async fn a_form_that_is_sent_twice_makes_one_token() {
    let house = House::new(with_images(1)).await;
    let alice = house.visitor("alice").await;
    let number = |text: &str| {
        let (_, rest) = text.split_once(r#"name="last_token" value=""#).unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    for (page, kind) in [
        (format!("{TOKENS}/new"), "deploy"),
        (format!("{TOKENS}/new"), "group"),
        ("/-/account/tokens/new".to_owned(), ""),
    ] {
        let send = async |last: &str| {
            let fields =
                [("name", "twice"), ("kind", kind), ("access_level", "10"), ("scopes", "pull"), ("last_token", last)];
            alice.post(&page, &fields).await
        };
        let first = number(&alice.get(&page).await.text);
        assert_eq!(send(&first).await.status, 200);
        send(&first).await.is(400, "A token of this name was made since this form was shown");
        let again = number(&alice.get(&page).await.text);
        assert_eq!(send(&again).await.status, 200, "another one is wanted");
    }
}

#[actix_rt::test]
async fn of_a_group_whose_path_is_the_number_of_another_only_its_own_tokens_are_shown_and_made() {
    let house = House::new(with_images(1)).await;
    let service = &house.started.service;
    let namesake = service.group(&house.started.team.id.to_string()).await;
    service.add_member(&namesake, &house.alice, 50).await;
    service.deploy_token(&house.started.team, "of-team").await;
    let alice = house.visitor("alice").await;
    let tokens = format!("/groups/{}/-/dependency_proxy/tokens", namesake.path);
    let page = alice.get(&tokens).await;
    page.shows(&[&format!("Tokens that belong to {}", namesake.path), "There is none yet."]);
    for kind in ["deploy", "group"] {
        let fields = [("kind", kind), ("name", kind), ("access_level", "10"), ("scopes", "pull")];
        let made = alice.post(&format!("{tokens}/new"), &fields).await;
        let (username, secret) = (text_of(&made.text, "secret-username"), text_of(&made.text, "secret-text"));
        assert_eq!(pulls(&house, &username, &secret).await, 403, "a token of the namesake pulls nothing of team");
        alice.get(&tokens).await.shows(&[&format!("<b>{kind}</b>")]);
        assert!(!alice.get(TOKENS).await.text.contains(&format!("<b>{kind}</b>")));
    }
    let number = number_before(&alice.get(&tokens).await.text, "revoke");
    assert_eq!(alice.post(&format!("{tokens}/{number}/revoke"), &[]).await.status, 303);
    alice.get(TOKENS).await.shows(&["<b>of-team</b>"]);
}

#[actix_rt::test]
async fn members_are_added_changed_and_removed_by_owners() {
    let house = House::new(with_images(1)).await;
    let [alice, bob] = [house.visitor("alice").await, house.visitor("bob").await];
    alice.get(MEMBERS).await.shows(&["Add a member", "<b>bob</b>", "Developer", "<b>alice</b>"]);
    let shown = bob.get(MEMBERS).await;
    shown.shows(&["<b>bob</b>", "Owners of the group can add and remove members."]);
    assert!(!shown.text.contains("Add a member"));

    let unknown = alice.post(MEMBERS, &[("username", "nobody"), ("access_level", "10")]).await;
    unknown.is(400, "The user name belongs to nobody here.");
    alice.post(MEMBERS, &[("username", "bob"), ("access_level", "10")]).await.is(400, "Member already exists.");
    let added =
        alice.post(MEMBERS, &[("username", "dave"), ("access_level", "10"), ("expires_at", "2099-01-31")]).await;
    assert_eq!((added.status, added.leads_to.as_str()), (303, MEMBERS));
    let dave = house.visitor("dave").await;
    dave.get(TEAM).await.shows(&["<h1>team "]);
    let list = alice.get(MEMBERS).await;
    list.shows(&["<b>dave</b>", "2099-01-31"]);
    let number = number_before(&list.text[list.text.find("<b>dave</b>").unwrap()..], "change");
    let change = format!("{MEMBERS}/{number}/change");
    alice.get(&change).await.shows(&["Role of dave in team", r#"value="10" selected"#]);
    assert_eq!(alice.post(&change, &[("access_level", "50"), ("expires_at", "")]).await.status, 303);
    dave.get(TOKENS).await.shows(&["Tokens that belong to team"]);
    alice.get(&format!("{MEMBERS}/{number}/remove")).await.shows(&["Remove dave from team?"]);
    for page in ["change", "remove"] {
        bob.get(&format!("{MEMBERS}/{number}/{page}")).await.is(403, "This page of team is for its owners");
    }
    bob.post(&format!("{MEMBERS}/{number}/remove"), &[]).await.is(403, "This page of team is for its owners");
    assert_eq!(alice.post(&format!("{MEMBERS}/{number}/remove"), &[]).await.status, 303);
    dave.get(TEAM).await.is(404, "There is no group team");
    let me = number_before(&alice.get(MEMBERS).await.text, "change");
    assert_eq!(me, house.alice.id.to_string());
    let root = house.started.service.api("DELETE", "/groups/team/members/1", Value::Null).await;
    assert_eq!(root.status, 204, "{}", root.text());
    alice.post(&format!("{MEMBERS}/{me}/remove"), &[]).await.is(400, "owner");
}

#[actix_rt::test]
async fn people_change_their_own_password_and_sign_in_again() {
    let house = House::new(Scenario::new()).await;
    let [bob, other] = [house.visitor("bob").await, house.visitor("bob").await];
    let with = |current: &str, new: &str| [("current_password", current.to_owned()), ("password", new.to_owned())];
    let change = async |visitor: &Visitor, fields: [(&'static str, String); 2]| {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        visitor.post("/-/account", &fields).await
    };
    change(&bob, with("not-it", "another-password")).await.is(400, "The present password is wrong.");
    change(&bob, with(&password("bob"), "short")).await.is(400, "The password is too short");
    let changed = change(&bob, with(&password("bob"), "another-password")).await;
    assert_eq!((changed.status, changed.leads_to.starts_with("/-/sign-in")), (303, true));
    bob.get(&changed.leads_to).await.shows(&["Your password was changed.", "sign in with the new one"]);
    for visitor in [&bob, &other] {
        assert!(visitor.get("/").await.leads_to.starts_with("/-/sign-in"), "all sessions have ended");
    }
    Visitor::signed_in(&house.started.service, "bob", "another-password").await;
}
