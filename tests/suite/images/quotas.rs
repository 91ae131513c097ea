//! Quotas of groups: where one is exceeded, only links of that group are removed, and files that no other group needs.

use super::*;
use crate::faults::is_stored;

const MIB: u64 = 1 << 20;

fn image(number: u64) -> Image {
    Image::single(&[Layer::random(MIB, 2_000 + number)])
}

async fn started(images: u64) -> Started {
    let scenario = (0..images)
        .fold(Scenario::new(), |scenario, number| scenario.image("library/app", &number.to_string(), &image(number)));
    scenario.settings(FRESH).start().await
}

async fn set_quota(service: &Service, bytes: Value) -> Value {
    let changed = service.api("PUT", "/groups/team", json!({"dependency_proxy_max_bytes": bytes})).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    changed.json()["dependency_proxy_max_bytes"].clone()
}

fn stored_layers(service: &Service, images: std::ops::Range<u64>) -> usize {
    images.filter(|number| is_stored(service, "blobs", image(*number).layers()[0].digest())).count()
}

#[actix_rt::test]
async fn a_group_over_its_quota_loses_links_and_what_nobody_else_needs_goes() {
    let Started { hub, service, client, .. } = &started(12).await;
    let other = service.group("other").await;
    let other_client = service.log_in_with(&service.deploy_token(&other, "ci").await).await;
    for number in 0..12 {
        pull(client, "team", "app", &number.to_string(), &image(number)).await;
        if number < 3 {
            pull(&other_client, "other", "app", &number.to_string(), &image(number)).await;
        }
    }
    assert_eq!(set_quota(service, json!(5 * MIB)).await, 5 * MIB);
    let fits = async || statistics(service).await["bytes"].as_u64().unwrap() <= 5 * MIB;
    eventually("the group is within its quota", fits).await;
    // The layers of the other group stay, whichever of them the group has lost.
    let are_removed = async || stored_layers(service, 3..12) <= 5;
    eventually("files without a link are removed", are_removed).await;
    assert_eq!(stored_layers(service, 0..3), 3);
    assert_eq!(list(service, "").await.len(), 12, "tags stay, as with an eviction");
    hub.reset_counts();
    for number in 0..3 {
        pull(&other_client, "other", "app", &number.to_string(), &image(number)).await;
    }
    assert_eq!(hub.requests().total(), 0);
    for number in 0..12 {
        pull(client, "team", "app", &number.to_string(), &image(number)).await;
    }
    eventually("the group is within its quota again", fits).await;
    assert_eq!(set_quota(service, Value::Null).await, Value::Null);
}

#[actix_rt::test]
async fn what_is_pinned_stays_even_if_it_alone_is_more_than_the_quota() {
    let Started { service, client, .. } = &started(4).await;
    for number in 0..4 {
        pull(client, "team", "app", &number.to_string(), &image(number)).await;
    }
    for number in 0..2 {
        let path = format!("{IMAGES}/app:{number}");
        assert_eq!(service.api("PUT", &path, json!({"pinned": true})).await.status, 200);
    }
    set_quota(service, json!(MIB)).await;
    let only_pinned = async || stored_layers(service, 2..4) == 0;
    eventually("what is not pinned goes", only_pinned).await;
    assert_eq!(stored_layers(service, 0..2), 2);
    let is_said = async || service.log().contains("what is pinned in a group is larger than its quota");
    eventually("the operator is told", is_said).await;
}

#[actix_rt::test]
async fn what_is_longer_than_the_quota_is_streamed_and_not_stored() {
    let layer = Layer::random(2 * MIB, 1);
    let large = Image::single(std::slice::from_ref(&layer));
    let Started { hub, service, client, .. } = &Scenario::new().image("library/large", "1", &large).start().await;
    set_quota(service, json!(MIB)).await;
    assert_eq!(client.manifest("team", "large", "1").await.status, 200);
    for pulls in 1..3 {
        let blob = client.blob("team", "large", layer.digest()).await;
        assert!(blob.status == 200 && !blob.cut && blob.body == layer.bytes());
        assert!(hub.requests().of(Kind::BlobDownload) >= pulls && !is_stored(service, "blobs", layer.digest()));
    }
    assert!(service.log().contains("longer than the quota of their group"));
    set_quota(service, Value::Null).await;
    assert_eq!(client.stored_blob("team", "large", layer.digest()).await.status, 200);
}

#[actix_rt::test]
async fn limits_of_a_group_are_checked() {
    let service = &started(0).await.service;
    let changed = async |field: &str, value: Value| service.api("PUT", "/groups/team", json!({field: value})).await;
    assert_eq!(changed("dependency_proxy_max_bytes", json!(0)).await.status, 400);
    assert_eq!(changed("dependency_proxy_max_bytes", json!("much")).await.status, 400);
    assert_eq!(changed("dependency_proxy_unpulled_days", json!(40_000)).await.status, 400);
    let days = changed("dependency_proxy_unpulled_days", json!(90)).await;
    assert_eq!((days.status, &days.json()["dependency_proxy_unpulled_days"]), (200, &json!(90)));
}
