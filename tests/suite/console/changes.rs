//! Changes by owners on pages: pins, refreshes, deletions and the whole cache; and refusals for everybody else.

use serde_json::{Value, json};

use super::*;
use crate::service::eventually;

async fn images(house: &House) -> Vec<Value> {
    let path = "/groups/team/dependency_proxy/images";
    house.started.service.api("GET", path, Value::Null).await.json().as_array().unwrap().clone()
}

#[actix_rt::test]
async fn an_owner_pins_refreshes_and_deletes_images() {
    let house = House::new(with_images(3)).await;
    house.pull(&[("1", &image(1)), ("2", &image(2)), ("3", &image(3))]).await;
    let alice = house.visitor("alice").await;
    let one = format!("{TEAM}/images/library/app:1");
    alice.get(TEAM).await.shows(&["library/<wbr><b>app</b><wbr>:1", "Delete the chosen images…"]);
    alice.get(&one).await.shows(&["Pin: keep it", "Refresh: check docker.io now", image(1).digest()]);

    let back = alice.post(&one, &[("do", "pin")]).await;
    assert_eq!((back.status, &back.leads_to), (303, &one));
    assert_eq!(images(&house).await[0]["pinned"], true);
    alice.get(&one).await.shows(&["Pinned", "Unpin"]);
    assert_eq!(alice.post(&one, &[("do", "unpin")]).await.status, 303);
    assert_eq!(images(&house).await[0]["pinned"], false);

    house.started.hub.push_image("library/app", "1", &image(7));
    assert_eq!(alice.post(&one, &[("do", "refresh")]).await.status, 303);
    let moved = alice.get(&one).await;
    moved.shows(&[image(7).digest(), "Tag history", &image(1).digest()[..19], "Incomplete"]);
    alice.post(&one, &[("do", "other")]).await.is(400, "The form does not say what to do.");

    let confirm = alice.get(&format!("{TEAM}/delete?image=library/app:1&image=library/app:2")).await;
    confirm.shows(&["Delete 2 images from the cache of team?", "library/app:1", "library/app:2"]);
    let deleted =
        alice.post(&format!("{TEAM}/delete"), &[("image", "library/app:1"), ("image", "library/app:2")]).await;
    assert_eq!((deleted.status, deleted.leads_to.as_str()), (303, TEAM));
    assert_eq!(images(&house).await.iter().map(|image| image["tag"].clone()).collect::<Vec<_>>(), ["3"]);
    alice.get(&one).await.is(404, "The cache of team has no image library/app:1");
    alice.get(&format!("{TEAM}/delete")).await.is(400, "No image was chosen.");
    assert!(house.started.service.log().contains(r#""what":"image deleted""#));
}

#[actix_rt::test]
async fn of_a_group_whose_path_is_the_number_of_another_nothing_of_the_other_is_changed() {
    let house = House::new(with_images(1)).await;
    house.pull(&[("1", &image(1))]).await;
    let (service, team) = (&house.started.service, house.started.team.id.to_string());
    let namesake = service.group(&team).await;
    service.add_member(&namesake, &house.alice, 50).await;
    let alice = house.visitor("alice").await;
    let pages = format!("/groups/{team}/-/dependency_proxy");
    alice.get(&pages).await.shows(&["Nothing is cached yet"]);
    alice.post(&format!("{pages}/images/library/app:1"), &[("do", "pin")]).await.is(404, "has no image library/app:1");
    assert_eq!(alice.post(&format!("{pages}/clear"), &[("path", &team)]).await.status, 303);
    assert_eq!(alice.post(&format!("{pages}/delete"), &[("image", "library/app:1")]).await.status, 303);
    alice.get(&format!("/groups/{}/-/dependency_proxy", namesake.id)).await.is(404, "There is no group");
    let shown = images(&house).await;
    assert_eq!((shown.len(), &shown[0]["pinned"]), (1, &Value::Bool(false)));
}

#[actix_rt::test]
async fn a_name_that_is_none_keeps_the_other_images_from_being_deleted() {
    let house = House::new(with_images(1)).await;
    house.pull(&[("1", &image(1))]).await;
    let alice = house.visitor("alice").await;
    let delete = format!("{TEAM}/delete");
    alice.post(&delete, &[("image", "library/app:1"), ("image", "BAD")]).await.is(400, "'BAD' is not an image");
    let by_digest = format!("library/app@{}", image(1).digest());
    alice.post(&delete, &[("image", &by_digest)]).await.is(404, "It is cached by its tag: name it library/app:1");
    assert_eq!(images(&house).await.len(), 1);
    let twice = format!("{delete}?image=app:1&image=library/app:1");
    alice.get(&twice).await.shows(&["Delete 1 image from the cache of team?"]);
}

#[actix_rt::test]
async fn an_image_that_is_gone_does_not_keep_the_others_from_being_deleted() {
    let house = House::new(with_images(1)).await;
    house.pull(&[("1", &image(1))]).await;
    let alice = house.visitor("alice").await;
    let both = format!("{TEAM}/delete?image=library/app:1&image=library/app:9");
    alice.get(&both).await.shows(&["Delete 1 image from the cache of team?", "Not cached any more: library/app:9."]);
    let gone = alice.get(&format!("{TEAM}/delete?image=library/app:9")).await;
    assert_eq!(gone.status, 404, "{}", gone.text);
}

#[actix_rt::test]
async fn a_cache_is_cleared_once_the_path_of_its_group_is_typed() {
    let house = House::new(with_images(1)).await;
    house.pull(&[("1", &image(1))]).await;
    let alice = house.visitor("alice").await;
    let clear = format!("{TEAM}/clear");
    alice.get(&clear).await.shows(&["Clear the cache of team?", "1 image, "]);
    alice.post(&clear, &[("path", "teem")]).await.is(400, "The path is not that of this group.");
    assert_eq!(images(&house).await.len(), 1);
    let cleared = alice.post(&clear, &[("path", "team")]).await;
    assert_eq!((cleared.status, cleared.leads_to.as_str()), (303, TEAM));
    eventually("all images are gone", async || images(&house).await.is_empty()).await;
    alice.get(TEAM).await.shows(&["Nothing is cached yet", "Put this before the names of images"]);
}

#[actix_rt::test]
async fn a_clear_keeps_pinned_images_unless_the_form_says_otherwise() {
    let house = House::new(with_images(3)).await;
    house.pull(&[("1", &image(1)), ("2", &image(2)), ("3", &image(3))]).await;
    let service = &house.started.service;
    let pin = json!({"pinned": true});
    assert_eq!(service.api("PUT", "/groups/team/dependency_proxy/images/app:1", pin).await.status, 200);
    let (alice, clear) = (house.visitor("alice").await, format!("{TEAM}/clear"));
    alice.get(&clear).await.shows(&["<b>2 images</b>", "1 pinned image, the members", "The pinned image, too"]);
    let refused = alice.post(&clear, &[("path", "teem"), ("pinned", "too")]).await;
    refused.is(400, r#"value="too" checked"#);
    assert_eq!(alice.post(&clear, &[("path", "team")]).await.status, 303);
    eventually("only the pinned image is there", async || images(&house).await.len() == 1).await;
    assert_eq!(images(&house).await[0]["tag"], "1");
    let events = service.api("GET", "/groups/team/audit_events", Value::Null).await.text();
    assert!(events.contains("cache_cleared") && events.contains("pinned_images"), "{events}");
    assert_eq!(alice.post(&clear, &[("path", "team"), ("pinned", "too")]).await.status, 303);
    eventually("all images are gone", async || images(&house).await.is_empty()).await;
}

#[actix_rt::test]
async fn a_confirmation_says_which_images_cannot_be_fetched_again_now() {
    let house = House::with(with_images(3).settings("[cache]\ntag_freshness = \"0s\"")).await;
    house.pull(&[("1", &image(1)), ("2", &image(2)), ("3", &image(3))]).await;
    let alice = house.visitor("alice").await;
    let (clear, delete) = (format!("{TEAM}/clear"), format!("{TEAM}/delete?image=library/app:1"));
    for address in [&clear, &delete] {
        assert!(!alice.get(address).await.text.contains("cannot be fetched again now"), "{address}");
    }
    house.started.hub.down(fake_registry::Listener::Registry);
    for tag in ["1", "2", "3"] {
        assert_eq!(house.started.client.manifest("team", "app", tag).await.header("x-cache"), "stale");
    }
    alice.get(&clear).await.shows(&[
        "3 of the images cannot be fetched again now: ",
        "library/app:1, library/app:2, library/app:3. ",
        "Pin them to keep them.",
    ]);
    alice.get(&delete).await.shows(&["One of the images cannot be fetched again now: ", "Keep them until then"]);
}

#[actix_rt::test]
async fn a_member_sees_everything_and_changes_nothing() {
    let house = House::new(with_images(1)).await;
    house.pull(&[("1", &image(1))]).await;
    let bob = house.visitor("bob").await;
    let page = bob.get(TEAM).await;
    page.shows(&["library/<wbr><b>app</b>", "Owners of the group can refresh, pin and delete images."]);
    let one = format!("{TEAM}/images/library/app:1");
    for absent in ["Clear the cache", "Delete", "type=\"checkbox\"", "Pin: keep it"] {
        assert!(!page.text.contains(absent) && !bob.get(&one).await.text.contains(absent), "{absent}");
    }
    for (address, fields) in [
        (format!("{TEAM}/clear"), vec![("path", "team")]),
        (format!("{TEAM}/delete"), vec![("image", "library/app:1")]),
        (one.clone(), vec![("do", "pin")]),
    ] {
        bob.post(&address, &fields).await.is(403, "Its owners can change it, or make you an owner: <b>alice, root</b>");
    }
    bob.get(&format!("{TEAM}/clear")).await.is(403, "This page of team is for its owners");
    let shown = images(&house).await;
    assert_eq!((shown.len(), &shown[0]["pinned"]), (1, &Value::Bool(false)));
    house.visitor("dave").await.post(&one, &[("do", "pin")]).await.is(404, "There is no group team");
}

#[actix_rt::test]
async fn a_form_that_is_not_from_a_page_of_this_session_changes_nothing() {
    let house = House::new(with_images(1)).await;
    house.pull(&[("1", &image(1))]).await;
    let [alice, other] = [house.visitor("alice").await, house.visitor("alice").await];
    let one = format!("{TEAM}/images/library/app:1");
    let tokens = [String::new(), "0".repeat(128), other.get("/").await.form_token()];
    let pin = |token: &str| alice.request("POST", &one).form(&[("do", "pin"), ("csrf", token)]);
    for token in &tokens {
        alice.send(pin(token)).await.is(403, "Nothing was changed: this form is not from your present session");
    }
    alice.send(alice.request("POST", &one).form(&[("do", "pin")])).await.is(403, "Nothing was changed");
    let right = alice.get("/").await.form_token();
    for (header, value) in [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "null")] {
        alice.send(pin(&right).header(header, value)).await.is(403, "Nothing was changed");
    }
    assert_eq!(images(&house).await[0]["pinned"], false);
    let own = house.started.service.url();
    for (header, value) in [("sec-fetch-site", "same-origin"), ("origin", own.as_str())] {
        assert_eq!(alice.send(pin(&right).header(header, value)).await.status, 303, "{header}");
    }
    let login = [("username", "alice"), ("password", &password("alice"))];
    let foreign = Visitor::stranger(&house.started.service);
    let foreign =
        foreign.send(foreign.request("POST", "/-/sign-in").header("origin", "https://evil.example").form(&login));
    foreign.await.is(400, "The form was sent from another site.");
}

#[actix_rt::test]
async fn the_page_after_a_form_says_once_what_was_done() {
    let house = House::new(with_images(1)).await;
    house.pull(&[("1", &image(1))]).await;
    let [alice, bob] = [house.visitor("alice").await, house.visitor("bob").await];
    let page = format!("{TEAM}/images/library/app:1");
    assert_eq!(alice.post(&page, &[("do", "pin")]).await.status, 303);
    let done = "Pinned: the image is kept, whatever is evicted.";
    assert!(!bob.get(&page).await.text.contains(done), "another session");
    alice.get(&page).await.shows(&[r#"role="status""#, done]);
    assert!(!alice.get(&page).await.text.contains(done));
    let image = [("image", "library/app:1")];
    assert_eq!(alice.post(&format!("{TEAM}/delete"), &image).await.status, 303);
    alice.get(TEAM).await.shows(&["Deleted: 1 image."]);
    assert_eq!(alice.post(&format!("{TEAM}/delete"), &image).await.status, 303);
    alice.get(TEAM).await.shows(&["Not cached any more: 1 image."]);
}

#[actix_rt::test]
async fn a_form_with_a_choice_that_its_page_does_not_offer_changes_nothing() {
    let house = House::new(Scenario::new()).await;
    let (alice, service) = (house.visitor("alice").await, &house.started.service);
    let settings = format!("{TEAM}/settings");
    alice.post(&settings, &[("section", "proxy"), ("proxy", "off")]).await.is(200, "Saved.");
    let of_team = async || service.api("GET", "/groups/team", Value::Null).await.json();
    for fields in [&[("section", "proxy"), ("proxy", "of")][..], &[("section", "proxy")]] {
        alice.post(&settings, fields).await.is(400, "The switch is none of those that can be chosen.");
    }
    for fields in [&[("section", "other"), ("proxy", "on")][..], &[("proxy", "on")]] {
        alice.post(&settings, fields).await.is(400, "The form does not say what to save.");
    }
    assert_eq!(of_team().await["dependency_proxy_enabled"], false);
    alice.post(&settings, &[("section", "limits"), ("quota", "50")]).await.is(200, "Saved.");
    alice.post(&settings, &[("section", "limits"), ("days", "90")]).await.is(200, "Saved.");
    assert_eq!(of_team().await["dependency_proxy_max_bytes"], 50_000_000_000_u64, "it stays without its field");

    let group = [("parent", "team"), ("path", "ci"), ("visibility", "secret")];
    alice.post("/-/groups/new", &group).await.is(400, "The choice of who can pull is none of those");
    let tokens = format!("{TEAM}/tokens/new");
    let kind = [("kind", "other"), ("name", "robot"), ("scopes", "pull")];
    alice.post(&tokens, &kind).await.is(400, "The kind of token is none of those that can be chosen.");
    let scopes = [("kind", "deploy"), ("name", "robot"), ("scopes", "pull"), ("scopes", "sudo")];
    alice.post(&tokens, &scopes).await.is(400, "The choice of scopes has one that cannot be chosen.");
    let token = service.deploy_token_with(&house.started.team, serde_json::json!({"name": "robot", "scopes": ["read_registry", "write_registry"], "expires_at": "2099-01-31"})).await;
    alice.post(&format!("{TEAM}/tokens/{}/extend", token.id), &[]).await.is(400, "is missing");
    alice.get(&format!("{TEAM}/tokens")).await.shows(&["2099-01-31"]);
    let member = format!("{TEAM}/members/{}/change", house.bob.id);
    alice.post(&member, &[("access_level", "50")]).await.is(400, "is missing");
}
