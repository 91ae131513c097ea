//! Pinned images: they are not evicted.

use super::*;

const MIB: u64 = 1 << 20;

#[actix_rt::test]
async fn a_pinned_image_outlives_its_tag_at_the_registry_and_is_not_served_by_it() {
    let scenario = Scenario::new().image("library/app", "1", &image(1)).image("library/app", "2", &image(2));
    let scenario = scenario.settings("[cache]\ntag_freshness = \"0s\"\nnegative_ttl = \"0s\"");
    let Started { hub, service, client, .. } = &scenario.start().await;
    for (tag, image) in [("1", image(1)), ("2", image(2))] {
        pull(client, "team", "app", tag, &image).await;
    }
    assert_eq!(service.api("PUT", &format!("{IMAGES}/app:1"), json!({"pinned": true})).await.status, 200);
    hub.delete_tag("library/app", "1");
    hub.delete_tag("library/app", "2");
    for tag in ["1", "2"] {
        assert_eq!(client.manifest("team", "app", tag).await.status, 404);
    }
    assert_eq!(field_of_all(service, "", "tag").await, ["1"]);
    assert_eq!(&client.manifest("team", "app", image(1).digest()).await.body, image(1).bytes());
}

#[actix_rt::test]
async fn pins_leave_half_of_the_cache_to_what_is_pulled() {
    let large = |seed| Image::single(&[Layer::random(2 * MIB, seed)]);
    let scenario = Scenario::new().image("library/app", "1", &large(1)).image("library/app", "2", &large(2));
    let scenario = scenario.image("library/app", "3", &large(3));
    let quota = format!("{}B", 7 * MIB);
    let scenario = scenario.configured(|config| config.variable("DEPENDENCY_PROXY__STORAGE__MAX_BYTES", &quota));
    let Started { hub: _hub, service, client, .. } = scenario.settings(FRESH).start().await;
    for (tag, seed) in [("1", 1), ("2", 2)] {
        pull(&client, "team", "app", tag, &large(seed)).await;
    }
    let pin = async |tag: &str| service.api("PUT", &format!("{IMAGES}/app:{tag}"), json!({"pinned": true})).await;
    assert_eq!(pin("1").await.status, 200);
    assert_eq!(pin("1").await.status, 200, "it counts once");
    let is_refused = async |tag: &str| {
        let refused = pin(tag).await;
        let says = refused.text().contains("more than half of the maximum size of the cache");
        assert!(refused.status == 403 && says, "{}", refused.text());
    };
    is_refused("2").await;
    assert_eq!(client.manifest("team", "app", "3").await.status, 200);
    is_refused("3").await;
    assert_eq!(service.log().matches("image pinned").count(), 1, "what is refused, or changes nothing, is not logged");
}

#[actix_rt::test]
async fn lengths_that_a_registry_claims_for_what_nobody_has_prevent_no_pins_of_others() {
    let absurd = image(2).edited(|manifest| manifest["layers"][0]["size"] = u64::MAX.into());
    let scenario = Scenario::new().image("library/app", "1", &image(1)).image("library/other", "1", &image(3));
    let scenario = scenario.image("library/absurd", "1", &absurd).settings("[cache]\ntag_freshness = \"0s\"");
    let scenario = scenario.configured(|config| config.variable("DEPENDENCY_PROXY__STORAGE__MAX_BYTES", "100MB"));
    let Started { hub, service, client, .. } = scenario.start().await;
    pull(&client, "team", "app", "1", &image(1)).await;
    pull(&client, "team", "other", "1", &image(3)).await;
    assert_eq!(client.manifest("team", "absurd", "1").await.status, 200);
    let pin =
        async |image: &str| service.api("PUT", &format!("{IMAGES}/{image}"), json!({"pinned": true})).await.status;
    assert_eq!(pin("absurd:1").await, 403, "what an image claims counts against itself");
    assert_eq!(pin("app:1").await, 200);
    hub.push_image("library/app", "1", &absurd);
    assert_eq!(client.manifest("team", "app", "1").await.body, absurd.bytes());
    assert_eq!(pin("other:1").await, 200);
}

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
