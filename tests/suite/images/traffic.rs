//! Pulls and bytes of groups by hour: what they count, that they survive a restart, and who sees them.

use super::*;

/// Returns the traffic of a group once it has this number of pulls.
async fn traffic_with(service: &Service, group: &str, pulls: u64) -> Value {
    let path = format!("/groups/{group}/dependency_proxy/statistics");
    let mut traffic = Value::Null;
    eventually("all pulls are recorded", async || {
        traffic = service.api("GET", &path, Value::Null).await.json()["traffic"].take();
        traffic["pulls"] == pulls
    })
    .await;
    traffic
}

#[actix_rt::test]
async fn pulls_and_bytes_are_counted_by_group_and_survive_a_restart() {
    let layer = Layer::random(100_000, 1);
    let app = Image::single(std::slice::from_ref(&layer));
    let scenario = Scenario::new().image("library/app", "1", &app).settings(FRESH);
    let Started { hub: _hub, mut service, client, token, .. } = scenario.start().await;
    assert_eq!(client.manifest("team", "app", "1").await.status, 200);
    assert_eq!(client.blob("team", "app", layer.digest()).await.header("x-cache"), "miss");
    client.stored_blob("team", "app", layer.digest()).await;
    assert_eq!(client.manifest_head("team", "app", "1").await.status, 200);
    assert_eq!(client.manifest("team", "app", app.digest()).await.status, 200);
    assert_eq!(client.manifest("team", "app", "none").await.status, 404);
    let traffic = traffic_with(&service, "team", 3).await;
    let numbers = |fields: &[&str]| fields.iter().map(|field| traffic[field].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(numbers(&["hits", "coalesced", "fetched", "saved_pulls"]), [2, 0, 1, 1], "{traffic}");
    // Two times the manifest and at least two times the layer; the first of each was fetched.
    let [served, saved] = numbers(&["served_bytes", "saved_bytes"])[..] else { panic!("two numbers") };
    assert_eq!(served - saved, app.size() + 100_000, "{traffic}");
    assert!(saved >= app.size() + 100_000 && (saved - app.size()).is_multiple_of(100_000), "{traffic}");

    assert!(service.stop().success());
    service.restart();
    let client = service.log_in_with(&token).await;
    assert_eq!(client.manifest("team", "app", "1").await.header("x-cache"), "hit");
    let traffic = traffic_with(&service, "team", 4).await;
    assert_eq!((&traffic["hits"], &traffic["hit_ratio"]), (&json!(3), &json!(0.75)));
    let hours = traffic["hours"].as_array().unwrap();
    assert_eq!(hours.iter().map(|hour| hour["pulls"].as_u64().unwrap()).sum::<u64>(), 4, "{traffic}");
    assert!(hours[0]["start"].as_str().unwrap().ends_with(":00:00Z"), "{traffic}");
}

#[actix_rt::test]
async fn a_group_has_its_own_traffic_and_administrators_see_that_of_all() {
    let scenario = Scenario::new().image("library/app", "1", &image(1)).settings(FRESH);
    let Started { hub: _hub, service, client, .. } = &scenario.start().await;
    let other = service.group("other").await;
    let of_other = service.log_in_with(&service.deploy_token(&other, "ci").await).await;
    for client in [client, &of_other, &of_other] {
        let group = if std::ptr::eq(client, &of_other) { "other" } else { "team" };
        assert_eq!(client.manifest(group, "app", "1").await.status, 200);
    }
    assert_eq!(traffic_with(service, "other", 2).await["pulls"], 2);
    assert_eq!(traffic_with(service, "team", 1).await["pulls"], 1);
    let whole = service.api("GET", "/dependency_proxy/statistics", Value::Null).await.json();
    assert_eq!(whole["traffic"]["pulls"], 3, "{whole}");
}
