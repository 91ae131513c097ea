//! Pinned images: what keeps an eviction from them.

use super::*;

const MIB: u64 = 1 << 20;

#[actix_rt::test]
async fn a_pinned_image_stays_while_everything_else_is_evicted() {
    let image = |number: u64| Image::single(&[Layer::random(MIB, number)]);
    let scenario = (0..30)
        .fold(Scenario::new(), |scenario, number| scenario.image("library/app", &number.to_string(), &image(number)));
    let quota = format!("{}B", 10 * MIB);
    let scenario = scenario.configured(|config| config.variable("DEPENDENCY_PROXY__STORAGE__MAX_BYTES", &quota));
    let Started { hub, mut service, client, token, .. } = scenario.settings(FRESH).start().await;
    pull(&client, "team", "app", "0", &image(0)).await;
    let pinned = service.api("PUT", &format!("{IMAGES}/app:0"), json!({"pinned": true})).await;
    assert_eq!((pinned.status, &pinned.json()["pinned"]), (200, &json!(true)));
    service.kill_and_restart();
    let client = service.log_in_with(&token).await;
    for number in 1..30 {
        pull(&client, "team", "app", &number.to_string(), &image(number)).await;
    }
    assert!(metric(&service, "dependency_proxy_evicted_files_total").await > 15);
    hub.reset_counts();
    pull(&client, "team", "app", "0", &image(0)).await;
    assert_eq!(hub.requests().of(Kind::BlobDownload), 0);
    assert_eq!(field_of_all(&service, "?pinned=true", "tag").await, ["0"]);
    service.api("PUT", &format!("{IMAGES}/app:0"), json!({"pinned": false})).await;
    for number in 1..30 {
        pull(&client, "team", "app", &number.to_string(), &image(number)).await;
    }
    hub.reset_counts();
    pull(&client, "team", "app", "0", &image(0)).await;
    assert_eq!(hub.requests().of(Kind::BlobDownload), 1, "it was evicted like others");
}
