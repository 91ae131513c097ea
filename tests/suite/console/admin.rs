//! The pages for administrators, and the form for new groups.

use fake_registry::Kind;
use serde_json::{Value, json};

use super::*;
use crate::service::eventually;

/// Address of the pages for administrators.
pub(super) const ADMIN: &str = "/-/admin";

/// Returns the browser of an administrator.
pub(super) async fn administrator(house: &House) -> Visitor {
    let root = json!({"username": "chief", "name": "Chief", "password": password("chief"), "admin": true});
    assert_eq!(house.started.service.api("POST", "/users", root).await.status, 201);
    house.visitor("chief").await
}

#[actix_rt::test]
async fn only_administrators_see_the_pages_for_administrators() {
    let house = House::new(with_images(1)).await;
    let [alice, chief] = [house.visitor("alice").await, administrator(&house).await];
    for page in ["", "/groups", "/users", "/users/new"] {
        let address = format!("{ADMIN}{page}");
        chief.get(&address).await.shows(&["Overview"]);
        alice.get(&address).await.is(403, "This page is for administrators");
        assert!(Visitor::stranger(&house.started.service).get(&address).await.leads_to.starts_with("/-/sign-in?"));
    }
    let block = format!("{ADMIN}/users/{}/block", house.bob.id);
    alice.post(&block, &[]).await.is(403, "This page is for administrators");
    chief.get(&format!("{ADMIN}/nothing")).await.is(404, "There is no page with this address");
    chief.get("/").await.shows(&[r#"href="/-/admin""#]);
    assert!(!alice.get("/").await.text.contains(ADMIN));
}

#[actix_rt::test]
async fn the_overview_shows_traffic_the_store_downloads_and_registries() {
    let layer = Layer::random(3 << 20, 9);
    let large = Image::single(std::slice::from_ref(&layer));
    let house = House::new(with_images(1).image("library/large", "1", &large)).await;
    house.pull(&[("1", &image(1))]).await;
    let chief = administrator(&house).await;
    chief.get(ADMIN).await.shows(&["Nothing needs attention.", "Nothing is being downloaded", "docker.io", "Works"]);
    let counted = async || chief.get(ADMIN).await.text.contains("0.0 %</span> of 1 pull<");
    eventually("the pull is counted", counted).await;

    let hub = &house.started.hub;
    hub.on(Kind::BlobDownload).hold_after(1 << 20);
    assert_eq!(house.started.client.manifest("team", "large", "1").await.status, 200);
    let (client, digest) = (house.started.client.clone(), layer.digest().to_owned());
    let pulling = actix_rt::spawn(async move { client.blob("team", "large", &digest).await });
    let is_shown = async || chief.get(ADMIN).await.text.contains("of 3.15 MB");
    eventually("the download is shown", is_shown).await;
    // The download stands still at half of its length.
    let stands = async || chief.get(ADMIN).await.text.contains(r#"data-label="Speed">waiting<"#);
    eventually("the speed is shown", stands).await;
    let page = chief.get(&format!("{ADMIN}?reload=5")).await;
    page.shows(&["library/large", "<progress", "Stop reloading", r#"data-label="Left">unknown<"#]);
    page.shows(&["Queues to registries", r#"data-label="Downloads">1 of 64<"#, r#"data-label="Waiting">0 of 1,024"#]);
    assert_eq!((page.header("refresh"), chief.get(ADMIN).await.header("refresh")), ("5", ""));
    hub.release();
    assert_eq!(pulling.await.unwrap().status, 200);

    hub.down(fake_registry::Listener::Registry);
    // The registry is tried again some seconds after a failure, and is shown as such then.
    let is_shown = async || {
        assert_ne!(house.started.client.manifest("team", "app", "none").await.status, 200);
        let page = chief.get(ADMIN).await;
        page.text.contains("docker.io does not work:") && page.text.contains("Fails")
    };
    eventually("the failure is shown", is_shown).await;
}

#[actix_rt::test]
async fn the_overview_says_what_was_not_used_yet_is_switched_off_or_ends_soon() {
    let house = House::new(with_images(1)).await;
    let (service, chief) = (&house.started.service, administrator(&house).await);
    chief.get(ADMIN).await.shows(&["Nothing needs attention.", "Not used yet"]);
    let states = service.api("GET", "/dependency_proxy/upstreams", Value::Null).await.json();
    assert_eq!(states[0]["state"], "unused");
    house.pull(&[("1", &image(1))]).await;
    chief.get(ADMIN).await.shows(&["Works"]);
    let end = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(72)).to_string();
    let fields = json!({"name": "renovate", "expires_at": end, "scopes": ["read_registry", "write_registry"]});
    service.deploy_token_with(&house.started.team, fields).await;
    chief.get(ADMIN).await.shows(&["1 token expires within 7 days: renovate of team, on "]);
    let off = json!({"dependency_proxy_enabled": false});
    assert_eq!(service.api("PUT", "/application/settings", off).await.status, 200);
    chief.get(ADMIN).await.shows(&["Pulls are switched off for the whole service"]);
}

#[actix_rt::test]
async fn a_failure_of_long_ago_is_shown_with_its_time() {
    let house = House::new(with_images(1)).await;
    let chief = administrator(&house).await;
    house.started.hub.down(fake_registry::Listener::Registry);
    assert_ne!(house.started.client.manifest("team", "app", "1").await.status, 200);
    let is_over = async || {
        let text = chief.get(ADMIN).await.text;
        text.contains("The last request to docker.io failed ") && text.contains("the next pull tries it again")
    };
    eventually("the pause is over", is_over).await;
    assert!(!chief.get(ADMIN).await.text.contains("in 0 s"));
}

#[actix_rt::test]
async fn the_overview_shows_the_speed_of_a_download_and_the_time_that_is_left() {
    let layer = Layer::random(8 << 20, 9);
    let large = Image::single(std::slice::from_ref(&layer));
    let house = House::new(Scenario::new().image("library/large", "1", &large)).await;
    let chief = administrator(&house).await;
    house.started.hub.on(Kind::BlobDownload).slow(1 << 20);
    assert_eq!(house.started.client.manifest("team", "large", "1").await.status, 200);
    let (client, digest) = (house.started.client.clone(), layer.digest().to_owned());
    let pulling = actix_rt::spawn(async move { client.blob("team", "large", &digest).await });
    let is_shown = async || {
        let text = chief.get(ADMIN).await.text;
        text.contains("B/s</td>") && text.contains(r#"data-label="Left">"#) && text.contains(" s</td>")
    };
    eventually("speed and time are shown", is_shown).await;
    house.started.hub.behave();
    pulling.abort();
}

#[actix_rt::test]
async fn requests_that_wait_for_a_registry_are_shown_with_the_groups_that_take_turns() {
    let layers: Vec<_> = (1..=3).map(|seed| Layer::random(2 << 20, seed)).collect();
    let images: Vec<_> = layers.iter().map(|layer| Image::single(std::slice::from_ref(layer))).collect();
    let scenario = images
        .iter()
        .enumerate()
        .fold(Scenario::new(), |scenario, (number, image)| scenario.image("library/large", &number.to_string(), image));
    let house = House::new(scenario.settings("[upstream_defaults]\nmax_concurrent = 1")).await;
    let chief = administrator(&house).await;
    let hub = &house.started.hub;
    hub.on(Kind::BlobDownload).hold_after(1 << 20);
    let mut pulls = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        assert_eq!(house.started.client.manifest("team", "large", &number.to_string()).await.status, 200);
        let (client, digest) = (house.started.client.clone(), layer.digest().to_owned());
        pulls.push(actix_rt::spawn(async move { client.blob("team", "large", &digest).await }));
    }
    let wait = async || {
        let text = chief.get(ADMIN).await.text;
        text.contains(r#"data-label="Downloads">1 of 1<"#) && text.contains("2 of 1,024, in turns of 1 group")
    };
    eventually("two downloads wait", wait).await;
    hub.behave();
    hub.release();
    for pull in pulls {
        assert_eq!(pull.await.unwrap().status, 200);
    }
}

#[actix_rt::test]
async fn groups_are_listed_by_size_and_found_by_their_path() {
    let house = House::new(with_images(1)).await;
    house.pull(&[("1", &image(1))]).await;
    let service = &house.started.service;
    for path in ["aaa", "zzz"] {
        service.group(path).await;
    }
    let chief = administrator(&house).await;
    let groups = chief.get(&format!("{ADMIN}/groups")).await;
    let all = service.api("GET", "/groups", Value::Null).await.json().as_array().unwrap().len();
    groups.shows(&[&format!("1 to {all} of {all}"), r#"aria-sort="descending""#, &format!(r#"href="{TEAM}""#)]);
    groups.shows(&["Last pull", "none in 30 days", "<b>team</b>", r#"aria-current="true">Admin</a>"#]);
    let at = |page: &str, path: &str| page.find(&format!(r#"href="/groups/{path}/-"#)).unwrap();
    assert!(at(&groups.text, "team") < at(&groups.text, "aaa") && at(&groups.text, "aaa") < at(&groups.text, "zzz"));
    let by_name = chief.get(&format!("{ADMIN}/groups?sort=name")).await;
    assert!(at(&by_name.text, "aaa") < at(&by_name.text, "team"));
    let found = chief.get(&format!("{ADMIN}/groups?q=zz")).await;
    found.shows(&["1 to 1 of 1"]);
    assert!(!found.text.contains(TEAM));
    chief.get(&format!("{ADMIN}/groups?q=%3Cb%3E")).await.shows(&["There is no such group.", r#"value="&lt;b&gt;""#]);
}

#[actix_rt::test]
async fn owners_make_groups_below_theirs_and_administrators_everywhere() {
    let house = House::new(with_images(1)).await;
    let [alice, bob, chief] = [house.visitor("alice").await, house.visitor("bob").await, administrator(&house).await];
    let new = "/-/groups/new";
    alice.get("/").await.shows(&[&format!(r#"href="{new}""#)]);
    assert!(!bob.get("/").await.text.contains(new));
    bob.get(new).await.is(404, "There is no page with this address");
    bob.post(new, &[("parent", "team"), ("path", "ci")]).await.is(404, "There is no page with this address");
    let form = alice.get(&format!("{new}?parent=team")).await;
    form.shows(&[r#"<option value="team" selected>"#]);
    assert!(!form.text.contains("No other group"));
    let made = alice.post(new, &[("parent", "team"), ("path", "ci"), ("description", "Jobs")]).await;
    assert_eq!((made.status, made.leads_to.as_str()), (303, "/groups/team/ci/-/dependency_proxy"), "{}", made.text);
    alice.get(&made.leads_to).await.shows(&["Nothing is cached yet", "Jobs"]);
    for (fields, sentence) in [
        ([("parent", "team"), ("path", "ci")], "taken"),
        ([("parent", "team"), ("path", "Not A Path")], "The path "),
        ([("parent", "team"), ("path", "")], "The path is missing."),
        ([("parent", "elsewhere"), ("path", "x")], "The group above is no group that you own."),
    ] {
        let refused = alice.post(new, &fields).await;
        refused.is(400, sentence);
        assert!(refused.text.contains(&format!(r#"value="{}""#, fields[1].1)), "{}", refused.text);
    }
    alice.post(new, &[("parent", ""), ("path", "top")]).await.is(403, "not possible");
    assert_eq!(chief.post(new, &[("parent", ""), ("path", "top"), ("visibility", "public")]).await.status, 303);
    let top = house.started.service.api("GET", "/groups/top", Value::Null).await.json();
    assert_eq!((&top["visibility"], &top["name"]), (&json!("public"), &json!("top")));
}

#[actix_rt::test]
async fn owners_see_on_a_page_whether_somebody_may_pull_and_why() {
    let house = House::new(with_images(1)).await;
    let [alice, bob] = [house.visitor("alice").await, house.visitor("bob").await];
    let page = format!("{TEAM}/explain");
    alice.get(&format!("{TEAM}/members")).await.shows(&[&format!(r#"href="{page}""#)]);
    let answer = alice.get(&format!("{page}?user=bob&image=app:1")).await;
    answer.shows(&["bob may pull from team", "bob is a Developer of team.", "library/app:1", "without an account"]);
    let unknown = alice.get(&format!("{page}?user=dave")).await;
    unknown.is(400, "belongs neither to a member nor to a token of this group");
    unknown.is(400, r#"value="dave" aria-invalid="true""#);
    alice.get(&format!("{page}?user=bob&image=%2F%2F")).await.is(400, "The image is not one:");
    bob.get(&page).await.is(403, "This page of team is for its owners");
}

#[actix_rt::test]
async fn owners_see_the_audit_trail_of_their_group_and_administrators_all_of_it() {
    let house = House::new(with_images(1)).await;
    let [alice, bob, chief] = [house.visitor("alice").await, house.visitor("bob").await, administrator(&house).await];
    let limits = [("section", "limits"), ("quota", "50"), ("days", "<b>")];
    alice.post(&format!("{TEAM}/settings"), &limits).await.is(400, "is not a number of days");
    let limits = [("section", "limits"), ("quota", "50"), ("days", "90")];
    alice.post(&format!("{TEAM}/settings"), &limits).await.is(200, "Saved.");
    let page = format!("{TEAM}/audit");
    let shown = alice.get(&page).await;
    shown.shows(&[
        "<b>alice</b>",
        "group updated: <b>team</b>",
        "127.0.0.1",
        "quota: <ins>50.0 GB</ins>",
        "role: <ins>Owner</ins>",
    ]);
    assert!(!shown.text.contains("user created"), "that belongs to no group: {}", shown.text);
    chief.get(&format!("{ADMIN}/audit")).await.shows(&["user created: <b>chief</b>"]);
    let hers = chief.get(&format!("{ADMIN}/audit?who=ALICE")).await;
    hers.shows(&["group updated"]);
    assert!(!hers.text.contains("user created"), "{}", hers.text);
    // Each has two events: that of its first owner, too.
    for number in 0..10 {
        house.started.service.group(&format!("later-{number}")).await;
    }
    let newest = chief.get(&format!("{ADMIN}/audit")).await;
    assert!(!newest.text.contains("user created"), "{}", newest.text);
    let (_, older) = newest.text.split_once("?before=").unwrap();
    let older = format!("{ADMIN}/audit?before={}", older.split('"').next().unwrap());
    chief.get(&older).await.shows(&["user created: <b>chief</b>", "Newest"]);
    let long = chief.get(&format!("{ADMIN}/audit?who={}", "a".repeat(256))).await;
    let nothing = chief.get(&format!("{ADMIN}/audit?before=x")).await;
    let of_team = chief.get(&format!("{ADMIN}/audit?group=team&what=people")).await;
    of_team.shows(&["member created: <b>alice</b>", r#"value="people" selected"#, r#"value="team""#]);
    assert!(!of_team.text.contains("group updated") && !of_team.text.contains("user created"), "{}", of_team.text);
    chief.get(&format!("{ADMIN}/audit?to=2020-01-01")).await.shows(&["Nothing is recorded that fits."]);
    for (query, sentence) in [
        ("group=nowhere", "The group is none of this service."),
        ("what=other", "The kind of events is none of those that can be chosen."),
        ("from=soon", "The first day is not a day such as 2027-02-26."),
    ] {
        chief.get(&format!("{ADMIN}/audit?{query}")).await.is(400, sentence);
    }
    long.is(400, "The user name cannot be longer than 255 bytes.");
    nothing.is(400, "The address names no event before which others would be.");
    assert!([long, nothing].iter().all(|page| !page.text.contains("user created") && !page.text.contains("<table")));
    chief.get(&format!("{ADMIN}/audit?who=%3Cb%3E&before=1")).await.shows(&["Nothing is recorded", "&lt;b&gt;"]);
    bob.get(&page).await.is(403, "This page of team is for its owners");
    alice.get(&format!("{ADMIN}/audit")).await.is(403, "This page is for administrators");
}
