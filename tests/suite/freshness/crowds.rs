//! Concurrent requests for one tag, which are coalesced.

use std::time::Duration;

use fake_registry::{Image, Kind, Layer};
use futures::future::join_all;

use super::{REVALIDATE_ALWAYS, Scene};

#[actix_rt::test]
async fn five_hundred_askers_of_an_unknown_tag_cause_one_get() {
    let scene = Scene::start(REVALIDATE_ALWAYS).await;
    scene.hub.on(Kind::ManifestGet).delay(Duration::from_secs(3));
    let answers = join_all((0..500).map(|_| scene.pull("latest"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == scene.image.bytes()));
    assert_eq!(scene.gets(), 1);
    let coalesced = answers.iter().filter(|answer| answer.header("x-cache") == "coalesced").count();
    let missed = answers.iter().filter(|answer| answer.header("x-cache") == "miss").count();
    assert!(missed == 1 && coalesced > 400, "{missed} missed and {coalesced} coalesced");
}

#[actix_rt::test]
async fn five_hundred_askers_of_a_stale_tag_cause_one_head() {
    let scene = Scene::start("[cache]\ntag_freshness = \"2s\"\nstale_while_revalidate = 0").await;
    scene.gives(&scene.image, "miss").await;
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    scene.hub.reset_counts();
    scene.hub.on(Kind::ManifestHead).delay(Duration::from_millis(300));
    let answers = join_all((0..500).map(|_| scene.pull("latest"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == scene.image.bytes()));
    assert_eq!((scene.heads(), scene.gets()), (1, 0));
}

#[actix_rt::test]
async fn five_hundred_askers_of_a_tag_that_moved_cause_one_head_and_one_get() {
    let scene = Scene::start("[cache]\ntag_freshness = \"2s\"\nstale_while_revalidate = 0").await;
    scene.gives(&scene.image, "miss").await;
    let moved = Image::single(&[Layer::random(1_000, 2)]);
    scene.hub.push_image("library/alpine", "latest", &moved);
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    scene.hub.reset_counts();
    let answers = join_all((0..500).map(|_| scene.pull("latest"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == moved.bytes()));
    assert_eq!((scene.heads(), scene.gets()), (1, 1));
}
