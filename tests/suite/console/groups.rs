//! Groups: who sees which, their addresses, and their lists where there are many.

use serde_json::{Value, json};

use super::*;
use crate::service::eventually;

#[actix_rt::test]
async fn pages_of_a_group_show_who_sees_it_and_how_much_is_behind_each_tab() {
    let house = House::new(with_images(2)).await;
    house.pull(&[("1", &image(1)), ("2", &image(2))]).await;
    let service = &house.started.service;
    let change = json!({"description": "Jobs and runners", "visibility": "internal"});
    assert_eq!(service.api("PUT", "/groups/team", change).await.status, 200);
    let alice = house.visitor("alice").await;
    let tabs = [
        r#"Images <span class="count">2</span>"#,
        r#"Tokens <span class="count">1</span>"#,
        r#"Members <span class="count">"#,
        r#"<span class="badge">Internal</span>"#,
        "Jobs and runners",
        r#"<a href="/" aria-current="true">Groups</a>"#,
    ];
    for page in ["", "/tokens", "/members", "/settings", "/audit"] {
        alice.get(&format!("{TEAM}{page}")).await.shows(&tabs);
    }
    alice.get(TEAM).await.shows(&[r#"All <span class="count">2</span>"#, r#"Going <span class="count">0</span>"#]);
    alice.get(&format!("{TEAM}/tokens/new")).await.shows(&[&format!(r#"<a href="{TEAM}/tokens">Tokens</a>"#)]);
    let member = format!("{TEAM}/members/{}/change", house.bob.id);
    alice.get(&member).await.shows(&[&format!(r#"<a href="{TEAM}/members">Members</a>"#)]);
    let own = alice.get("/-/account").await.text;
    assert!(!own.contains(r#"aria-current="true">Groups"#), "the account is no page of a group");
}

#[actix_rt::test]
async fn the_list_of_groups_shows_their_pulls_and_a_note_names_tokens_that_end_soon() {
    let house = House::new(with_images(1)).await;
    house.pull(&[("1", &image(1))]).await;
    let service = &house.started.service;
    let [alice, bob] = [house.visitor("alice").await, house.visitor("bob").await];
    let is_counted = async || alice.get("/").await.text.contains(r#"data-label="Pulls, 24 h">1<"#);
    eventually("the pull is counted", is_counted).await;
    let text = alice.get("/").await.text;
    let (_, stored) = text.split_once(r#"data-label="Stored">"#).unwrap();
    let stored: f64 = stored.split_once(" kB").unwrap().0.parse().unwrap();
    let limit = json!({"dependency_proxy_max_bytes": (stored * 1_050.0) as u64});
    assert_eq!(service.api("PUT", "/groups/team", limit).await.status, 200);
    alice.get("/").await.shows(&[
        "within the hour",
        "<b>team</b>",
        r#"<rect class="warn""#,
        r#"data-label="Hits, 24 h""#,
    ]);
    assert!(!alice.get("/").await.text.contains("within 7 days"));
    let end =
        (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(72)).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let fields = json!({"name": "renovate", "expires_at": end, "scopes": ["read_registry", "write_registry"]});
    service.deploy_token_with(&house.started.team, fields).await;
    alice.get("/").await.shows(&[
        "1 token of yours or of your groups expires within 7 days.",
        &format!(r#"<a href="{TEAM}/tokens">renovate</a> of team"#),
    ]);
    let of_bob = bob.get("/").await.text;
    assert!(!of_bob.contains("renovate") && of_bob.contains("within the hour"), "{of_bob}");
}

#[actix_rt::test]
async fn the_address_of_a_group_in_the_api_leads_to_its_page() {
    let house = House::new(with_images(1)).await;
    let service = &house.started.service;
    let group = service.api("GET", "/groups/team", Value::Null).await.json();
    let address = group["web_url"].as_str().unwrap().strip_prefix(&service.url()).unwrap().to_owned();
    let alice = house.visitor("alice").await;
    assert_eq!(alice.get(&address).await.leads_to, TEAM);
    alice.get("/groups/a%0d%0aX:y").await.is(404, "There is no page with this address");
    alice.get("/groups/nowhere").await.is(404, "There is no group nowhere");
    for address in [
        "/-/other",
        "/groups/team/-/other",
        "/groups/team/-/dependency_proxy/other",
        "/groups/team/-/dependency_proxyx",
    ] {
        alice.get(address).await.is(404, "There is no page with this address");
    }
}

#[actix_rt::test]
async fn an_administrator_sees_every_group_and_is_told_why() {
    let house = House::new(with_images(1)).await;
    let service = &house.started.service;
    let admin = json!({"username": "olga", "name": "olga", "email": "o@example.com", "password": password("olga"), "admin": true});
    assert_eq!(service.api("POST", "/users", admin).await.status, 201);
    house.pull(&[("1", &image(1))]).await;
    let olga = house.visitor("olga").await;
    olga.get(TEAM).await.shows(&["You see this as an administrator.", "Clear the cache…"]);
    olga.get("/").await.shows(&["All groups", "Administrator"]);
}

#[actix_rt::test]
async fn long_lists_of_groups_and_members_have_pages_and_a_search() {
    let house = House::new(Scenario::new()).await;
    let (service, alice) = (&house.started.service, house.visitor("alice").await);
    let members = format!("{TEAM}/members");
    for address in ["/", &members] {
        assert!(!alice.get(address).await.text.contains(r#"role="search""#), "a short list needs none");
    }
    for number in 10..35 {
        service.group(&format!("team/sub-{number}")).await;
        let name = format!("user-{number}");
        let user = json!({"username": name, "name": name, "force_random_password": true});
        let user = service.api("POST", "/users", user).await.json()["id"].clone();
        let member = json!({"user_id": user, "access_level": 30});
        assert_eq!(service.api("POST", "/groups/team/members", member).await.status, 201);
    }
    let first = alice.get("/").await;
    first.shows(&["1 to 20 of 26", "sub-10", r#"href="/?page=2""#]);
    assert!(!first.text.contains("sub-34"));
    alice.get("/?page=2").await.shows(&["21 to 26 of 26", "sub-34"]);
    let found = alice.get("/?q=SUB-34").await;
    found.shows(&["sub-34", r#"value="sub-34""#]);
    assert!(!found.text.contains("sub-10") && !found.text.contains("1 to"));
    alice.get("/?q=none").await.shows(&["None of the groups has", "Show all groups"]);

    let first = alice.get(&members).await;
    first.shows(&["<b>alice</b>", "<b>user-10</b>", &format!(r#"href="{members}?page=2""#)]);
    assert!(!first.text.contains("<b>user-34</b>"));
    alice.get(&format!("{members}?page=2")).await.shows(&["<b>user-34</b>"]);
    let found = alice.get(&format!("{members}?q=user-34")).await;
    found.shows(&["<b>user-34</b>"]);
    assert!(!found.text.contains("<b>user-10</b>"));
    alice
        .get(&format!("{members}?q=%3Cnone%3E"))
        .await
        .shows(&["No member has <b>&lt;none&gt;</b>", "Show all members"]);

    let tokens = format!("{TEAM}/tokens");
    for number in 10..35 {
        service.deploy_token(&house.started.team, &format!("token-{number}")).await;
    }
    let first = alice.get(&tokens).await;
    first.shows(&["<b>token-10</b>", "1 to 20 of 26", &format!(r#"href="{tokens}?page=2""#)]);
    assert!(!first.text.contains("token-34"));
    alice.get(&format!("{tokens}?page=2")).await.shows(&["<b>token-34</b>"]);
    let found = alice.get(&format!("{tokens}?q=TOKEN-34")).await;
    assert!(found.text.contains("<b>token-34</b>") && !found.text.contains("<b>token-10</b>"), "{}", found.text);
}

#[actix_rt::test]
async fn of_many_groups_the_path_of_the_one_above_is_typed() {
    let house = House::new(Scenario::new()).await;
    let (service, alice) = (&house.started.service, house.visitor("alice").await);
    alice.get("/-/groups/new").await.shows(&[r#"<option value="team">"#]);
    for number in 0..100 {
        service.group(&format!("team/sub-{number}")).await;
    }
    let form = alice.get("/-/groups/new?parent=team/sub-7").await;
    form.shows(&[r#"name="parent""#, r#"value="team/sub-7""#]);
    assert!(!form.text.contains("<option"));
    let made = alice.post("/-/groups/new", &[("parent", "team/sub-7"), ("path", "ci")]).await;
    assert_eq!((made.status, made.leads_to.as_str()), (303, "/groups/team/sub-7/ci/-/dependency_proxy"));
}
