//! A start without `index/`: the entries that are rebuilt.

use std::time::Duration;

use super::*;
use crate::crash::Chances;

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

/// Number of kills, each followed by an examination.
const KILLS: u64 = 15;

/// Number of stops, each followed by an examination.
const STOPS: u64 = 15;

/// Pulls images of one layer each, deletes every second one, and now and then all, until it is dropped.
async fn change(scene: &Scene, client: &Client, round: u64) {
    for number in 0.. {
        let image = Image::single(&[Layer::random(20_000, 1_000 * round + number)]);
        let tag = format!("{round}-{number}");
        scene.hub.push_image("library/app", &tag, &image);
        assert_eq!(&client.manifest("team", "app", &tag).await.body, image.bytes());
        client.blob("team", "app", image.layers()[0].digest()).await;
        if number % 2 == 1 {
            scene.service.api("DELETE", &format!("{IMAGES}/app:{tag}"), Value::Null).await;
        }
        if number % 16 == 15 {
            scene.service.api("DELETE", "/groups/team/dependency_proxy/cache", Value::Null).await;
        }
    }
}

#[actix_rt::test]
async fn whenever_a_service_is_killed_what_a_start_corrects_is_left_over_and_not_broken() {
    let mut chances = Chances::announced("kills before an examination");
    let mut scene = Scene::start().await;
    let mut left = 0;
    for round in 0..KILLS {
        let client = scene.restart().await;
        let _ = tokio::time::timeout(chances.moment(900), change(&scene, &client, round)).await;
        scene.service.kill();
        let found = scene.fsck(&[]);
        assert!(found.code == 0 && found.json["clean"] == true, "round {round}: {:#}", found.json);
        assert!(found.kinds().iter().all(|kind| kind == "leftover"), "round {round}: {:#}", found.json);
        left += found.numbers().values().sum::<u64>();
    }
    assert!(left > 0, "no kill has left anything");
    let mut last = scene.fsck(&[]);
    // A purge that was interrupted goes on after the start, and may be interrupted by the stop.
    let mut pause = Duration::from_millis(50);
    while pause < Duration::from_secs(30) {
        scene.restart().await;
        tokio::time::sleep(pause).await;
        assert!(scene.service.stop().success());
        last = scene.fsck(&[]);
        assert!(last.code == 0 && last.kinds().iter().all(|kind| kind == "leftover"), "{:#}", last.json);
        if last.numbers().is_empty() {
            break;
        }
        pause *= 2;
    }
    last.assert_clean("after starts and stops");
}

#[actix_rt::test]
async fn a_service_that_is_stopped_during_changes_leaves_nothing_broken() {
    let mut chances = Chances::announced("stops before an examination");
    let mut scene = Scene::start().await;
    for round in 0..STOPS {
        let client = scene.restart().await;
        // Some stops come right after the start, while what the last kill has left is still corrected.
        let _ = tokio::time::timeout(chances.moment(600), change(&scene, &client, round)).await;
        assert!(scene.service.stop().success());
        let found = scene.fsck(&[]);
        assert!(found.code == 0 && found.json["clean"] == true, "round {round}: {:#}", found.json);
        if round % 3 == 0 {
            let client = scene.restart().await;
            let _ = tokio::time::timeout(chances.moment(300), change(&scene, &client, STOPS + round)).await;
            scene.service.kill();
        }
    }
}

#[actix_rt::test]
async fn purges_during_pulls_leave_nothing_broken() {
    let mut scene = Scene::start().await;
    let client = scene.restart().await;
    let purges = async {
        loop {
            scene.service.api("DELETE", "/groups/team/dependency_proxy/cache", Value::Null).await;
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    let both = async { tokio::join!(change(&scene, &client, 1), change(&scene, &client, 2), purges) };
    let _ = tokio::time::timeout(Duration::from_secs(3), both).await;
    assert!(scene.service.stop().success());
    let found = scene.fsck(&[]);
    assert!(found.code == 0 && found.kinds().iter().all(|kind| kind == "leftover"), "{:#}", found.json);
    let client = scene.restart().await;
    scene.pull(&client, 1).await;
    let metrics = crate::operating::metrics::metrics(&scene.service).await;
    assert!(!metrics.contains("dependency_proxy_damaged_total{"), "{metrics}");
}

#[actix_rt::test]
async fn a_repair_after_a_kill_corrects_what_a_start_would_and_what_is_broken_stays_broken_until_then() {
    let mut scene = Scene::start().await;
    let client = scene.restart().await;
    let _ = tokio::time::timeout(Duration::from_millis(700), change(&scene, &client, 1)).await;
    scene.pull(&client, 2).await;
    scene.service.kill();
    flip(&scene.blob(2));
    let found = scene.fsck(&[]);
    assert_eq!((found.code, found.numbers()["blob"]), (1, 1), "{:#}", found.json);
    assert_eq!(scene.fsck(&["--repair"]).code, 0);
    let repaired = scene.fsck(&[]);
    // A purge that the kill has interrupted is continued by the next start.
    let is_purge = |finding: &Value| finding["path"].as_str().is_some_and(|path| path.ends_with("/forgotten"));
    let only_purges = repaired.json["findings"].as_array().unwrap().iter().all(is_purge);
    assert!(repaired.code == 0 && only_purges, "{:#}", repaired.json);
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
