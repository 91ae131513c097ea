//! Deletion of single images: what goes, what other images and groups keep, and that a crash undoes none of it.

use super::*;
use crate::faults::{assert_store_is_clean, is_stored};

async fn delete(service: &Service, image: &str) -> u16 {
    service.api("DELETE", &format!("{IMAGES}/{image}"), Value::Null).await.status
}

fn has(service: &Service, image: &Image) -> [bool; 2] {
    [is_stored(service, "manifests", image.digest()), is_stored(service, "blobs", image.layers()[0].digest())]
}

#[actix_rt::test]
async fn a_deleted_image_goes_with_what_only_it_has_and_its_next_pull_downloads_it_again() {
    let shared = Layer::random(3_000, 7);
    let [one, two] = [1, 2].map(|seed| Image::single(&[Layer::random(3_000, seed), shared.clone()]));
    let scenario = Scenario::new().image("library/app", "1", &one).image("library/app", "2", &two);
    let Started { hub, service, client, .. } = &scenario.settings(FRESH).start().await;
    for (tag, image) in [("1", &one), ("2", &two)] {
        pull(client, "team", "app", tag, image).await;
    }
    assert_eq!(delete(service, "app:1").await, 204);
    assert_eq!(field_of_all(service, "", "tag").await, ["2"]);
    assert_eq!(delete(service, "app:1").await, 404);
    eventually("its own content goes", async || has(service, &one) == [false, false]).await;
    assert!(has(service, &two) == [true, true] && is_stored(service, "blobs", shared.digest()));
    hub.reset_counts();
    pull(client, "team", "app", "2", &two).await;
    assert_eq!(hub.requests().total(), 0, "the other image is still cached");
    pull(client, "team", "app", "1", &one).await;
    let requests = [Kind::ManifestGet, Kind::BlobDownload].map(|kind| hub.requests().of(kind));
    assert_eq!(requests, [1, 2], "its manifest, its configuration and its own layer are downloaded, no shared one");
}

#[actix_rt::test]
async fn two_tags_of_one_image_that_are_deleted_one_after_the_other_leave_nothing() {
    let app = image(1);
    let scenario = Scenario::new().image("library/app", "1", &app).image("library/app", "latest", &app);
    let Started { hub: _hub, service, client, .. } = scenario.settings(FRESH).start().await;
    for tag in ["1", "latest"] {
        pull(&client, "team", "app", tag, &app).await;
    }
    assert_eq!([delete(&service, "app:latest").await, delete(&service, "app:1").await], [204, 204]);
    eventually("its content goes", async || has(&service, &app) == [false, false]).await;
    assert_eq!(statistics(&service).await["bytes"], 0);
}

#[actix_rt::test]
async fn what_another_group_has_stays_and_is_counted_for_it_alone() {
    let app = image(1);
    let scenario = Scenario::new().image("library/app", "1", &app);
    let Started { hub, service, client, .. } = &scenario.settings(FRESH).start().await;
    let other = service.group("other").await;
    let other_client = service.log_in_with(&service.deploy_token(&other, "ci").await).await;
    pull(client, "team", "app", "1", &app).await;
    pull(&other_client, "other", "app", "1", &app).await;
    assert_eq!(delete(service, "app:1").await, 204);
    let is_empty = async || statistics(service).await["bytes"] == 0;
    eventually("the group holds nothing", is_empty).await;
    hub.reset_counts();
    pull(&other_client, "other", "app", "1", &app).await;
    assert_eq!(hub.requests().total(), 0);
    let sizes = service.api("GET", "/groups/other/dependency_proxy/statistics", Value::Null).await.json();
    assert_eq!(sizes["bytes"], app.size() + length(&app.blobs().collect::<Vec<_>>()), "{sizes}");
}

#[actix_rt::test]
async fn what_was_deleted_stays_deleted_after_a_kill_and_without_the_index() {
    let scenario = (0..8)
        .fold(Scenario::new(), |scenario, number| scenario.image("library/app", &number.to_string(), &image(number)));
    let Started { hub, mut service, client, token, .. } = scenario.settings(FRESH).start().await;
    for number in 0..8 {
        pull(&client, "team", "app", &number.to_string(), &image(number)).await;
    }
    for number in 0..8 {
        assert_eq!(delete(&service, &format!("app:{number}")).await, 204);
        // Kills between the steps of the removal, which continues in the background.
        tokio::time::sleep(Duration::from_millis(3 * number)).await;
        service.kill_and_restart();
        if number % 2 == 1 {
            service.stop();
            std::fs::remove_dir_all(service.data().join("index")).unwrap();
            service.restart();
        }
        let left: Vec<String> = (number + 1..8).map(|number| number.to_string()).collect();
        assert_eq!(field_of_all(&service, "", "tag").await, left);
        eventually("its content goes", async || has(&service, &image(number)) == [false, false]).await;
        assert!((number + 1..8).all(|number| has(&service, &image(number)) == [true, true]), "after {number}");
    }
    let client = service.log_in_with(&token).await;
    hub.reset_counts();
    pull(&client, "team", "app", "0", &image(0)).await;
    assert_eq!(hub.requests().of(Kind::ManifestGet), 1);
    assert_store_is_clean(&service).await;
}

#[actix_rt::test]
async fn deletions_during_pulls_harm_no_pull() {
    let shared = Layer::random(3_000, 7);
    let images = [1, 2].map(|seed| Image::single(&[Layer::random(3_000, seed), shared.clone()]));
    let [one, two] = &images;
    let scenario = Scenario::new().image("library/app", "1", one).image("library/app", "2", two);
    let Started { hub, service, client, team, .. } = &scenario.settings(FRESH).start().await;
    for _ in 0..15 {
        let pulls = async {
            tokio::join!(pull(client, "team", "app", "1", one), pull(client, "team", "app", "2", two));
        };
        let deletion = async { assert!([204, 404].contains(&delete(service, "app:1").await)) };
        tokio::join!(pulls, deletion);
    }
    pull(client, "team", "app", "1", one).await;
    pull(client, "team", "app", "2", two).await;
    hub.down(fake_registry::Listener::Registry);
    // A removal that is still under way may take links of an image that came back; its end is awaited.
    removals_end(service, team).await;
    pull(client, "team", "app", "2", two).await;
    assert_store_is_clean(service).await;
}
