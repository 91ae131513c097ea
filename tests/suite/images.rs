//! The images that a group has cached: their properties in lists, and that deleting one removes what only it needs.

mod age;
mod deletion;
mod pins;
mod quotas;
mod states;
mod traffic;

use std::time::Duration;

use fake_registry::{Image, Kind, Layer};
use serde_json::{Value, json};

use crate::operating::metrics::metric;
use crate::service::{Client, Group, Scenario, Service, Started, eventually};

/// Keeps tags fresh, so that no test depends on its speed.
const FRESH: &str = "[cache]\ntag_freshness = \"1h\"";

const IMAGES: &str = "/groups/team/dependency_proxy/images";

/// Returns an image with one layer.
fn image(seed: u64) -> Image {
    Image::single(&[Layer::random(3_000, seed)])
}

/// Pulls an image as docker does: `HEAD` by tag, `GET` by digest, of an index the first platform, then the blobs.
async fn pull(client: &Client, group: &str, name: &str, tag: &str, image: &Image) {
    assert_eq!(client.manifest_head(group, name, tag).await.status, 200, "{name}:{tag}");
    let mut manifest = image;
    assert_eq!(&client.manifest(group, name, manifest.digest()).await.body, manifest.bytes());
    if let Some(child) = image.children().first() {
        manifest = child;
        assert_eq!(&client.manifest(group, name, manifest.digest()).await.body, manifest.bytes());
    }
    for blob in manifest.blobs() {
        assert_eq!(client.stored_blob(group, name, blob.digest()).await.status, 200);
    }
}

/// Returns the list of a group's images.
async fn list(service: &Service, query: &str) -> Vec<Value> {
    let answer = service.api("GET", &format!("{IMAGES}{query}"), Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json().as_array().unwrap().clone()
}

/// Returns one field of each image in a list.
async fn field_of_all(service: &Service, query: &str, field: &str) -> Vec<Value> {
    list(service, query).await.iter().map(|image| image[field].clone()).collect()
}

/// Waits until no removal of images from this group is under way.
async fn removals_end(service: &Service, group: &Group) {
    let removals = service.data().join(format!("cache/groups/{}/removals", group.id));
    let is_empty = async || std::fs::read_dir(&removals).unwrap().next().is_none();
    eventually("all removals are complete", is_empty).await;
}

async fn statistics(service: &Service) -> Value {
    service.api("GET", "/groups/team/dependency_proxy/statistics", Value::Null).await.json()
}

fn length(blobs: &[&Layer]) -> u64 {
    blobs.iter().map(|blob| blob.bytes().len() as u64).sum()
}

#[actix_rt::test]
async fn a_list_says_of_each_image_what_is_stored_and_how_it_is_used() {
    let (arm, amd) = (image(1), image(2));
    let index = Image::index(&[amd.clone(), arm]);
    let single = image(3);
    let scene = Scenario::new().image("library/app", "1", &index).image("acme/tool", "2", &single);
    let Started { service, client, .. } = &scene.settings(FRESH).start().await;
    pull(client, "team", "app", "1", &index).await;
    pull(client, "team", "acme/tool", "2", &single).await;
    // The counts of pulls, and the platform of an image without an index, follow within seconds.
    let settled = async || {
        let images = list(service, "").await;
        images.len() == 2 && images.iter().all(|image| image["pulls"] == 1 && image["platforms"] != json!([]))
    };
    eventually("both pulls are counted", settled).await;
    let images = list(service, "").await;
    let size = amd.size() + length(&amd.blobs().collect::<Vec<_>>()) + index.size();
    let expected = [
        json!(["acme/tool", "2", single.digest(), ["linux/amd64"], "fresh", false]),
        json!(["library/app", "1", index.digest(), ["linux/amd64"], "fresh", false]),
    ];
    let fields = ["name", "tag", "digest", "platforms", "state", "pinned"];
    assert_eq!(images.iter().map(|image| json!(fields.map(|field| &image[field]))).collect::<Vec<_>>(), expected);
    assert_eq!(images[1]["size"], size, "only the platform that was pulled counts");
    for time in ["cached_at", "last_pulled_at", "checked_at"] {
        assert!(images[0][time].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{time}");
    }
    let sizes = statistics(service).await;
    let all = size + single.size() + length(&single.blobs().collect::<Vec<_>>());
    let numbers = ["bytes", "images", "blobs", "manifests"].map(|field| sizes[field].as_u64().unwrap());
    assert_eq!(numbers, [all, 2, 4, 3], "{sizes}");
    let whole = service.api("GET", "/dependency_proxy/statistics", Value::Null).await.json();
    assert_eq!(whole["bytes"], all, "{whole}");
    let groups = service.api("GET", "/dependency_proxy/groups", Value::Null).await.json();
    assert_eq!((&groups[0]["full_path"], &groups[0]["bytes"]), (&json!("team"), &json!(all)));
}

#[actix_rt::test]
async fn an_image_that_is_pulled_by_its_digest_is_listed_by_it_and_a_part_of_another_is_not() {
    let index = Image::index(&[image(1), image(2)]);
    let alone = image(3);
    let scenario = Scenario::new().image("library/app", "1", &index).image("library/alone", "1", &alone);
    let Started { service, client, .. } = &scenario.settings(FRESH).start().await;
    pull(client, "team", "app", "1", &index).await;
    pull(client, "team", "alone", alone.digest(), &alone).await;
    let images = list(service, "").await;
    let named: Vec<_> = images.iter().map(|image| [&image["name"], &image["tag"], &image["digest"]]).collect();
    let (by_digest, by_tag) = ([&json!("library/alone"), &Value::Null, &json!(alone.digest())], json!("1"));
    assert_eq!(named, [by_digest, [&json!("library/app"), &by_tag, &json!(index.digest())]]);
    let path = format!("{IMAGES}/alone@{}", alone.digest());
    assert_eq!(service.api("GET", &path, Value::Null).await.json()["digest"], alone.digest());
}

#[actix_rt::test]
async fn lists_have_pages_orders_and_searches() {
    let tags = ["a", "b", "c", "d", "e"];
    let scenario = tags
        .iter()
        .enumerate()
        .fold(Scenario::new(), |scenario, (seed, tag)| scenario.image("library/app", tag, &image(seed as u64)));
    let Started { service, client, .. } = &scenario.settings(FRESH).start().await;
    for tag in tags {
        assert_eq!(client.manifest("team", "app", tag).await.status, 200);
    }
    assert_eq!(field_of_all(service, "?per_page=2&page=2", "tag").await, ["c", "d"]);
    assert_eq!(field_of_all(service, "?per_page=2&sort=desc", "tag").await, ["e", "d"]);
    assert_eq!(field_of_all(service, "?search=app:c", "tag").await, ["c"]);
    assert_eq!(field_of_all(service, &format!("?search={}", &image(1).digest()[7..20]), "tag").await, ["b"]);
    let latest = field_of_all(service, "?order_by=cached_at&sort=desc", "tag").await;
    assert_eq!((latest.len(), &latest[0]), (5, &json!("e")));
    for order in ["size", "last_pulled_at", "pulls"] {
        assert_eq!(list(service, &format!("?order_by={order}&per_page=3")).await.len(), 3, "{order}");
    }
    let page = service.api("GET", &format!("{IMAGES}?per_page=2"), Value::Null).await;
    assert_eq!([page.header("x-total"), page.header("x-total-pages")], ["5", "3"]);
    assert_eq!(service.api("GET", &format!("{IMAGES}?order_by=digest"), Value::Null).await.status, 400);
}

#[actix_rt::test]
async fn members_see_images_owners_change_them_and_strangers_see_nothing() {
    let scenario = Scenario::new().image("library/app", "1", &image(1));
    let Started { service, client, team, .. } = &scenario.settings(FRESH).start().await;
    assert_eq!(client.manifest("team", "app", "1").await.status, 200);
    let mut clients = Vec::new();
    for (name, level) in [("member", 30), ("owner", 50), ("stranger", 0)] {
        let user = service.user(name, "a-long-password").await;
        if level > 0 {
            service.add_member(team, &user, level).await;
        }
        clients.push(service.personal_token(&user, name, &["api"]).await.secret);
    }
    let statuses = async |method: &str, path: &str, body: Value| {
        let mut statuses = Vec::new();
        for secret in &clients {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let request = service.stranger().request(method, &format!("/api/v4{path}"));
            let request = request.header("private-token", secret).json(&body);
            statuses.push(service.stranger().send(request).await.status);
        }
        statuses
    };
    let one = format!("{IMAGES}/app:1");
    for path in [IMAGES, &one, "/groups/team/dependency_proxy/statistics"] {
        assert_eq!(statuses("GET", path, json!({})).await, [200, 200, 404], "{path}");
    }
    assert_eq!(statuses("PUT", &one, json!({"pinned": true})).await, [403, 200, 404]);
    assert_eq!(statuses("DELETE", &one, json!({})).await, [403, 204, 404]);
    assert_eq!(statuses("GET", "/dependency_proxy/statistics", json!({})).await, [403, 403, 403]);
}

#[actix_rt::test]
async fn a_tag_is_refreshed_on_demand_although_it_is_fresh() {
    let scenario = Scenario::new().image("library/app", "1", &image(1));
    let Started { hub, service, client, .. } = &scenario.settings(FRESH).start().await;
    assert_eq!(client.manifest("team", "app", "1").await.status, 200);
    hub.push_image("library/app", "1", &image(2));
    assert_eq!(&client.manifest("team", "app", "1").await.body, image(1).bytes(), "it is fresh");
    let refresh = async || service.api("POST", "/groups/team/dependency_proxy/refresh/app:1", Value::Null).await;
    let refreshed = refresh().await;
    assert_eq!((refreshed.status, &refreshed.json()["digest"]), (200, &json!(image(2).digest())));
    assert_eq!(&client.manifest("team", "app", "1").await.body, image(2).bytes());
    hub.down(fake_registry::Listener::Registry);
    let failed = refresh().await;
    assert_eq!(failed.status, 502);
    assert!(failed.text().contains("docker.io cannot be reached"), "{}", failed.text());
}

#[actix_rt::test]
async fn a_refresh_is_tried_right_after_a_failure_and_while_little_is_left_of_the_pull_limit() {
    let scenario = Scenario::new().image("library/app", "1", &image(1)).image("library/app", "2", &image(2));
    let Started { hub, service, client, .. } = &scenario.settings(FRESH).start().await;
    assert_eq!(client.manifest("team", "app", "1").await.status, 200);
    hub.pulls_left(5);
    assert_eq!(client.manifest("team", "app", "2").await.status, 200);
    let refresh = async || service.api("POST", "/groups/team/dependency_proxy/refresh/app:1", Value::Null).await;
    assert_eq!(refresh().await.status, 200, "a HEAD is no pull");
    hub.down(fake_registry::Listener::Registry);
    assert_eq!(refresh().await.status, 502);
    hub.up(fake_registry::Listener::Registry);
    let refreshed = refresh().await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.text());
}

#[actix_rt::test]
async fn a_tag_that_the_registry_no_longer_has_is_gone_after_its_refresh() {
    let scenario = Scenario::new().image("library/app", "1", &image(1));
    let Started { hub, service, client, .. } = &scenario.settings(FRESH).start().await;
    assert_eq!(client.manifest("team", "app", "1").await.status, 200);
    hub.delete_tag("library/app", "1");
    let refreshed = service.api("POST", "/groups/team/dependency_proxy/refresh/app:1", Value::Null).await;
    assert_eq!(refreshed.status, 404);
    assert_eq!(refreshed.json()["message"], "404 Not Found - docker.io has no app:1");
    assert_eq!(list(service, "").await, Vec::<Value>::new());
}

#[actix_rt::test]
async fn a_tag_that_only_another_group_had_pulled_is_an_image_of_this_one_from_its_first_hit() {
    let app = image(1);
    let tags = ["1", "latest", "stable"];
    let scenario = tags.iter().fold(Scenario::new(), |scenario, tag| scenario.image("library/app", tag, &app));
    let Started { hub, service, client, .. } = &scenario.settings(FRESH).start().await;
    let other = service.group("other").await;
    let other_client = service.log_in_with(&service.deploy_token(&other, "ci").await).await;
    pull(client, "team", "app", "1", &app).await;
    for tag in ["latest", "stable"] {
        pull(&other_client, "other", "app", tag, &app).await;
    }
    hub.reset_counts();
    for tag in ["latest", "latest"] {
        assert_eq!(client.manifest("team", "app", tag).await.header("x-cache"), "hit");
    }
    assert_eq!(hub.requests().total(), 0);
    assert_eq!(field_of_all(service, "", "tag").await, ["1", "latest"]);
    assert_eq!(service.api("DELETE", &format!("{IMAGES}/app:latest"), Value::Null).await.status, 204);

    hub.push_image("library/app", "stable", &image(2));
    hub.push_image("library/app", "2", &image(2));
    assert_eq!(client.manifest("team", "app", "stable").await.header("x-cache"), "hit");
    pull(client, "team", "app", "2", &image(2)).await;
    let refresh = "/groups/other/dependency_proxy/refresh/app:stable";
    assert_eq!(service.api("POST", refresh, Value::Null).await.status, 200);
    assert_eq!(&client.manifest("team", "app", "stable").await.body, image(2).bytes());
    let digests = field_of_all(service, "", "digest").await;
    assert_eq!(digests, [image(1).digest(), image(2).digest(), image(2).digest()], "1, 2 and stable");
}

#[actix_rt::test]
async fn lists_and_sizes_are_the_same_after_a_restart_and_without_the_index() {
    let index = Image::index(&[image(1), image(2)]);
    let scenario = Scenario::new().image("library/app", "1", &index).image("library/other", "1", &image(3));
    let Started { hub: _hub, mut service, client, .. } = scenario.settings(FRESH).start().await;
    pull(&client, "team", "app", "1", &index).await;
    pull(&client, "team", "other", "1", &image(3)).await;
    let settled = async || field_of_all(&service, "", "pulls").await == [1, 1];
    eventually("the pulls are counted", settled).await;
    // Traffic is in the index alone, as the numbers of pulls are.
    let sizes_of = async |service: &Service| {
        let mut statistics = statistics(service).await;
        statistics.as_object_mut().unwrap().remove("traffic");
        statistics
    };
    let (images, sizes) = (list(&service, "").await, sizes_of(&service).await);
    service.kill_and_restart();
    assert_eq!((list(&service, "").await, sizes_of(&service).await), (images.clone(), sizes.clone()));
    service.stop();
    std::fs::remove_dir_all(service.data().join("index")).unwrap();
    service.restart();
    let are_counted = async || sizes_of(&service).await == sizes;
    eventually("the sizes are counted again", are_counted).await;
    let known = |images: &[Value]| -> Vec<Value> {
        images.iter().map(|image| json!([image["name"], image["tag"], image["digest"], image["cached_at"]])).collect()
    };
    assert_eq!(known(&list(&service, "").await), known(&images));
}
