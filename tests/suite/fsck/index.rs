//! A start without `index/`: what comes back.

use super::*;

#[actix_rt::test]
async fn a_start_without_the_index_brings_back_every_image_with_its_pin_and_its_content() {
    let mut scene = Scene::start().await;
    scene.restart().await;
    let list = async |scene: &Scene| {
        let listed = scene.service.api("GET", IMAGES, Value::Null).await.json();
        let fields = ["name", "tag", "digest", "platforms", "size", "cached_at", "pinned", "state"];
        let image = |image: &Value| json!(fields.map(|field| &image[field]));
        let images: Vec<Value> = listed.as_array().unwrap().iter().map(image).collect();
        images
    };
    let before = list(&scene).await;
    let sizes = scene.service.api("GET", "/groups/team/dependency_proxy/statistics", Value::Null).await.json();
    assert!(scene.service.stop().success());
    fs::remove_dir_all(scene.service.data().join("index")).unwrap();
    let client = scene.restart().await;
    for listener in [Listener::Registry, Listener::Realm, Listener::Storage] {
        scene.hub.down(listener);
    }
    scene.pull(&client, 1).await;
    scene.pull(&client, 2).await;
    let is_back = async || {
        let again = scene.service.api("GET", "/groups/team/dependency_proxy/statistics", Value::Null).await.json();
        let number = |field| (&again[field], &sizes[field]);
        ["bytes", "images", "blobs", "manifests"].into_iter().all(|field| number(field).0 == number(field).1)
    };
    crate::service::eventually("the sizes are known again", is_back).await;
    let platforms_are_back = async || list(&scene).await == before;
    crate::service::eventually("the list is as before", platforms_are_back).await;
    assert!(scene.service.stop().success());
    scene.fsck(&[]).assert_clean("after the start without an index");
}

#[actix_rt::test]
async fn after_a_kill_there_is_nothing_that_a_start_does_not_correct() {
    let mut scene = Scene::start().await;
    let client = scene.restart().await;
    let image = Image::single(&[Layer::random(50_000, 3)]);
    scene.hub.push_image("library/app", "3", &image);
    scene.images.push(image);
    scene.pull(&client, 3).await;
    scene.service.kill();
    let found = scene.fsck(&[]);
    let may_be = ["count", "leftover", "missing_entry"];
    assert!(found.kinds().iter().all(|kind| may_be.contains(&kind.as_str())), "{:#}", found.json);
    let client = scene.restart().await;
    scene.pull(&client, 3).await;
    assert!(scene.service.stop().success());
    scene.fsck(&[]).assert_clean("after a start and a stop");
}

#[actix_rt::test]
async fn a_pinned_image_that_outlives_its_tag_is_no_damage() {
    let mut scene = Scene::start().await;
    scene.service.replace_setting("tag_freshness = \"1h\"", "tag_freshness = \"0s\"\nnegative_ttl = \"0s\"");
    let client = scene.restart().await;
    scene.hub.delete_tag("library/app", "1");
    assert_eq!(client.manifest("team", "app", "1").await.status, 404);
    assert!(scene.service.stop().success());
    scene.fsck(&[]).assert_clean("after the tag was dropped");
    scene.restart().await;
    let pinned = scene.service.api("GET", &format!("{IMAGES}?pinned=true"), Value::Null).await.json();
    assert_eq!(pinned.as_array().unwrap().len(), 1, "{pinned}");
    let is_verified = async || {
        let verified = crate::operating::metrics::metric(&scene.service, "dependency_proxy_verified_at_seconds").await;
        verified > 0
    };
    crate::service::eventually("all is verified", is_verified).await;
    let metrics = crate::operating::metrics::metrics(&scene.service).await;
    assert!(!metrics.contains("dependency_proxy_damaged_total{"), "{metrics}");
    assert!(scene.service.stop().success());
    scene.fsck(&[]).assert_clean("after a start");
}
