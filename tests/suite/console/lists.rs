//! Content of pages: lists with search, order and pages; figures; texts of people, which are never markup.

use serde_json::{Value, json};

use super::*;
use crate::service::eventually;

fn position(text: &str, of: &str) -> usize {
    text.find(of).unwrap_or_else(|| panic!("{of} is not in {text}"))
}

#[actix_rt::test]
async fn the_list_is_searched_sorted_and_has_pages() {
    let house = House::new(with_images(23)).await;
    let numbers: Vec<_> = (1..=23).map(|number| (number.to_string(), image(number))).collect();
    let images: Vec<_> = numbers.iter().map(|(tag, image)| (tag.as_str(), image)).collect();
    house.pull(&images).await;
    let alice = house.visitor("alice").await;
    let first = alice.get(TEAM).await;
    first.shows(&["1 to 20 of 23", &format!(r#"href="{TEAM}?page=2" rel="next""#), "<span class=\"figure\">23</span>"]);
    alice.get(&format!("{TEAM}?page=2")).await.shows(&["21 to 23 of 23", &format!(r#"href="{TEAM}" rel="prev""#)]);
    alice.get(&format!("{TEAM}?page=9")).await.shows(&["Nothing is here any more; there are 23 images"]);
    let found = alice.get(&format!("{TEAM}?q=app:2")).await;
    found.shows(&["1 to 5 of 5", r#"value="app:2""#]);
    let reversed = alice.get(&format!("{TEAM}?q=app:2&order=desc")).await;
    let order = |page: &str| position(page, "<wbr>:2<") < position(page, "<wbr>:23<");
    assert!(order(&found.text) && !order(&reversed.text));
    alice.get(&format!("{TEAM}?sort=size&order=desc")).await.shows(&[r#"aria-sort="descending""#]);
    let nothing = alice.get(&format!("{TEAM}?q=%3Cscript%3Ealert(1)%3C/script%3E")).await;
    nothing.shows(&["&lt;script&gt;alert(1)&lt;/script&gt;", "Show all images"]);
    assert!(!nothing.text.contains("<script>alert"));
}

#[actix_rt::test]
async fn an_address_with_a_value_that_cannot_be_chosen_is_refused() {
    let house = House::new(with_images(1)).await;
    house.pull(&[("1", &image(1))]).await;
    let alice = house.visitor("alice").await;
    let long = format!("{TEAM}?q={}", "a".repeat(3_000));
    for (address, sentence) in [
        (long.as_str(), "A search cannot be longer than 255 bytes."),
        (&format!("{TEAM}?q=%00"), "A search cannot contain control characters."),
        ("/?q=%00", "A search cannot contain control characters."),
        (&format!("{TEAM}?page=abc"), "The page in the address is not a number from 1 on."),
        (&format!("{TEAM}?sort=zzz"), "The value of &#39;sort&#39; in the address is none of these: name, size"),
        (&format!("{TEAM}?show=zzz"), "in the address is none of these: stale, going, pinned, arriving."),
        ("/-/account?page=0", "The page in the address is not a number from 1 on."),
    ] {
        let refused = alice.get(address).await;
        assert!(refused.status == 400 && refused.size < 10_000, "{} with {} bytes", refused.status, refused.size);
        let text = refused.text.replace("'", "&#39;");
        assert!(text.contains(sentence), "{sentence} is not in {text}");
    }
}

#[actix_rt::test]
async fn the_list_shows_what_is_stale_pinned_or_arriving_also_with_a_search() {
    let large = Image::single(&[Layer::random(2 << 20, 9)]);
    let scenario = with_images(3).image("library/large", "1", &large);
    let house = House::with(scenario.settings("[cache]\ntag_freshness = \"0s\"")).await;
    house.pull(&[("1", &image(1)), ("2", &image(2)), ("3", &image(3))]).await;
    let (service, hub, client) = (&house.started.service, &house.started.hub, &house.started.client);
    let pinned = service.api("PUT", "/groups/team/dependency_proxy/images/app:3", json!({"pinned": true})).await;
    assert_eq!(pinned.status, 200);
    assert_eq!(client.manifest("team", "large", "1").await.status, 200);
    hub.on(fake_registry::Kind::BlobDownload).hold_after(1 << 20);
    let (puller, digest) = (client.clone(), large.layers()[0].digest().to_owned());
    let pulling = actix_rt::spawn(async move { puller.blob("team", "large", &digest).await });

    let alice = house.visitor("alice").await;
    let arrives = async || alice.get(&format!("{TEAM}?show=arriving")).await.text.contains("1 to 1 of 1");
    eventually("the image arrives", arrives).await;
    let arriving = alice.get(&format!("{TEAM}?show=arriving")).await;
    arriving.shows(&["<b>large</b>", r#"Arriving <span class="count">1</span>"#]);
    assert!(!arriving.text.contains("<b>app</b>"));
    let images = async |state: &str| {
        let path = format!("/groups/team/dependency_proxy/images?state={state}");
        service.api("GET", &path, Value::Null).await
    };
    assert_eq!(images("arriving").await.json()[0]["name"], "library/large");
    alice.get(&format!("{TEAM}?show=pinned")).await.shows(&["1 to 1 of 1", "<wbr>:3<", r#"value="pinned""#]);
    alice.get(&format!("{TEAM}?show=stale")).await.shows(&["No image is stale", "Show all images"]);
    alice.get(&format!("{TEAM}?show=going")).await.shows(&["No image is removed within 7 days."]);

    hub.down(fake_registry::Listener::Registry);
    for tag in ["1", "2"] {
        assert_eq!(client.manifest("team", "app", tag).await.header("x-cache"), "stale");
    }
    let stale = alice.get(&format!("{TEAM}?show=stale&sort=size&order=desc")).await;
    stale.shows(&["1 to 2 of 2", r#"Stale <span class="count">2</span>"#, r#"value="desc""#]);
    alice.get(&format!("{TEAM}?show=stale&q=app:2")).await.shows(&["1 to 1 of 1", "<wbr>:2<"]);
    alice.get(&format!("{TEAM}?show=stale&q=large")).await.shows(&["No stale image has <b>large</b> in its name"]);
    let tags = |found: Value| found.as_array().unwrap().iter().map(|one| one["tag"].clone()).collect::<Vec<_>>();
    assert_eq!(tags(images("stale").await.json()), ["1", "2"]);
    assert_eq!(images("going").await.json(), json!([]));
    assert_eq!(images("other").await.status, 400);
    hub.release();
    pulling.abort();
}

#[actix_rt::test]
async fn members_and_tokens_are_listed_in_pages() {
    let house = House::new(Scenario::new()).await;
    let service = &house.started.service;
    for number in 0..21 {
        let member = service.user(&format!("member-{number:02}"), "a-long-password").await;
        service.add_member(&house.started.team, &member, 30).await;
        service.deploy_token(&house.started.team, &format!("token-{number:02}")).await;
    }
    let alice = house.visitor("alice").await;
    for (page, first, last) in
        [("members", "<b>member-00</b>", "<b>member-20</b>"), ("tokens", "<b>token-00</b>", "<b>token-20</b>")]
    {
        let address = format!("{TEAM}/{page}");
        let (one, two) = (alice.get(&address).await, alice.get(&format!("{address}?page=2")).await);
        one.shows(&[first, "1 to 20 of 2", &format!(r#"href="{address}?page=2" rel="next""#)]);
        two.shows(&[last, "21 to 2", &format!(r#"href="{address}" rel="prev""#)]);
        assert!(!one.text.contains(last) && !two.text.contains(first), "{page}");
    }
}

#[actix_rt::test]
async fn a_page_of_a_list_is_smaller_than_60_kb_compressed_also_with_long_names() {
    let name = |number: u64| format!("library/{}/{number}", ["a-long-part-of-a-name"; 9].join("/"));
    let tag = format!("v1.{}", "0123456789abcdef".repeat(7));
    let scenario =
        (1..=25).fold(Scenario::new(), |scenario, number| scenario.image(&name(number), &tag, &image(number)));
    let house = House::new(scenario).await;
    for number in 1..=25 {
        assert_eq!(house.started.client.manifest("team", &name(number), &tag).await.status, 200);
    }
    let alice = house.visitor("alice").await;
    for address in [TEAM.to_owned(), format!("{TEAM}?sort=size&order=desc&page=2"), format!("{TEAM}/audit")] {
        let compressed = alice.send(alice.request("GET", &address).header("accept-encoding", "gzip")).await;
        assert_eq!((compressed.status, compressed.header("content-encoding")), (200, "gzip"), "{address}");
        assert!(compressed.size < 60_000, "{address} has {} bytes", compressed.size);
    }
    alice.get(TEAM).await.shows(&["1 to 20 of 25", &tag]);
}

#[actix_rt::test]
async fn figures_states_and_quotas_are_shown() {
    let house = House::new(with_images(2)).await;
    house.pull(&[("1", &image(1))]).await;
    assert_eq!(house.started.client.manifest("team", "app", "2").await.status, 200);
    let service = &house.started.service;
    let limits = json!({"dependency_proxy_max_bytes": 10_000, "description": "<b>Jobs</b> & \"runners\""});
    assert_eq!(service.api("PUT", "/groups/team", limits).await.status, 200);
    let alice = house.visitor("alice").await;
    let is_counted = async || alice.get(TEAM).await.text.contains(r#"class="num" role="cell" data-label="Pulls">1<"#);
    eventually("the pulls are counted", is_counted).await;
    let page = alice.get(TEAM).await;
    page.shows(&["Pulls by hour in the last 24 hours: 2, of which 0.0 % were served from the cache."]);
    page.shows(&["% of the quota of 10.0 kB", "Fresh", "Incomplete", "a pull fetches the rest from docker.io"]);
    page.shows(&["&lt;b&gt;Jobs&lt;/b&gt; &amp; &quot;runners&quot;"]);
    alice.get("/").await.shows(&["Owner", "of 10.0 kB", &format!(r#"href="{TEAM}""#)]);
    let off = json!({"dependency_proxy_enabled": false});
    assert_eq!(service.api("PUT", "/groups/team", off).await.status, 200);
    alice.get(TEAM).await.shows(&["Pulls are switched off in team. An owner of that group can switch them on."]);
    alice.get("/").await.shows(&["Switched off"]);
}

#[actix_rt::test]
async fn the_page_of_an_image_shows_its_platforms_and_the_layers_of_one_of_them() {
    let (amd, arm) = (image(1), Image::single(&[Layer::random(5_000, 2), Layer::random(50_000, 3)]));
    let index = Image::index(&[amd.clone(), arm.clone()]);
    let house = House::new(Scenario::new().image("library/app", "1", &index)).await;
    let client = &house.started.client;
    assert_eq!(client.manifest("team", "app", "1").await.status, 200);
    let bob = house.visitor("bob").await;
    let page = format!("{TEAM}/images/library/app:1");
    bob.get(&page).await.shows(&["Index, none of whose platforms was pulled", "Nobody has pulled 2 platforms"]);

    assert_eq!(client.manifest("team", "app", amd.digest()).await.status, 200);
    for blob in amd.blobs() {
        client.stored_blob("team", "app", blob.digest()).await;
    }
    assert_eq!(client.manifest("team", "app", arm.digest()).await.status, 200);
    let both = async || bob.get(&page).await.text.contains("All but 2 layers");
    eventually("both platforms are shown", both).await;
    let shown = bob.get(&page).await;
    shown.shows(&["All of it", "Layers of linux/amd64", "3.00 kB", "manifest.list.v2+json"]);
    let other = bob.get(&format!("{page}?platform={}", arm.digest())).await;
    other.shows(&["Layers of linux/arm64", "Not stored", "50.0 kB", r#"width="10%""#, r#"width="100%""#]);
}

#[actix_rt::test]
async fn owners_see_on_the_page_of_an_image_who_pulled_it_and_other_members_do_not() {
    let house = House::new(with_images(1)).await;
    let (alice, bob) = (house.visitor("alice").await, house.visitor("bob").await);
    house.pull(&[("1", &image(1))]).await;
    let page = format!("{TEAM}/images/library/app:1");
    let is_listed = async || alice.get(&page).await.text.contains("deploy token ci of team");
    eventually("the pull is listed", is_listed).await;
    alice.get(&page).await.shows(&["Who pulled it", "In the last 30 days", r#"data-label="From">127.0.0.1<"#]);
    let of_bob = bob.get(&page).await;
    of_bob.shows(&["Tag history"]);
    assert!(!of_bob.text.contains("Who pulled it") && !of_bob.text.contains("deploy token ci"), "{}", of_bob.text);
    alice.get(&format!("{TEAM}/tokens")).await.shows(&["from 127.0.0.1"]);
}

#[actix_rt::test]
async fn owners_set_the_switch_the_quota_and_the_age_of_a_group() {
    let house = House::new(with_images(2)).await;
    house.pull(&[("1", &image(1)), ("2", &image(2))]).await;
    let service = &house.started.service;
    let settings = format!("{TEAM}/settings");
    let [alice, bob] = [house.visitor("alice").await, house.visitor("bob").await];
    alice.get(&settings).await.shows(&[
        "Quota in GB",
        r#"id="proxy-inherit" value="inherit" checked"#,
        "It is on there",
    ]);
    for (field, typed, sentence) in [
        ("quota", "much", "The quota is not a number of GB such as 50 or 0.5."),
        ("quota", "-1", "The quota is not a number of GB such as 50 or 0.5."),
        ("days", "soon", "The number of days is not a number of days."),
        ("days", "40000", "The number of days "),
    ] {
        let refused = alice.post(&settings, &[("section", "limits"), (field, typed)]).await;
        refused.is(400, sentence);
        assert!(refused.text.contains(&format!(r#"value="{typed}" aria-invalid="true""#)), "{}", refused.text);
    }
    let limits = [("section", "limits"), ("quota", "0.000004"), ("days", "90")];
    alice.post(&settings, &limits).await.shows(&[
        "Saved.",
        r#"value="0.000004""#,
        r#"value="90""#,
        " of 4.00 kB stored, ",
        "With 90 days 0 images, 0 B, go within a week.",
    ]);
    let group = async || service.api("GET", "/groups/team", Value::Null).await.json();
    let shown = group().await;
    assert_eq!(
        [&shown["dependency_proxy_max_bytes"], &shown["dependency_proxy_unpulled_days"]],
        [&json!(4000), &json!(90)]
    );
    let is_evicted = async || alice.get(TEAM).await.text.contains("Incomplete");
    eventually("what is over the quota goes", is_evicted).await;
    alice.post(&settings, &[("section", "limits"), ("quota", ""), ("days", "")]).await.shows(&["Saved."]);
    assert_eq!(group().await["dependency_proxy_max_bytes"], Value::Null);

    alice.post(&settings, &[("section", "proxy"), ("proxy", "off")]).await.shows(&[r#"value="off" checked"#]);
    assert_eq!(house.started.client.manifest("team", "app", "1").await.status, 403);
    alice.post(&settings, &[("section", "proxy"), ("proxy", "inherit")]).await.shows(&["Saved."]);
    assert_eq!(house.started.client.manifest("team", "app", "1").await.status, 200);
    bob.get(&settings).await.is(403, "This page of team is for its owners");
    bob.post(&settings, &limits).await.is(403, "This page of team is for its owners");
}
