//! States of images: fresh, stale, arriving, or incomplete because content is not stored.

use super::*;
use crate::faults::stored_path;

#[actix_rt::test]
async fn a_tag_that_moves_is_one_image_and_one_that_is_served_stale_says_why() {
    let scene = Scenario::new().image("library/app", "1", &image(1)).settings("[cache]\ntag_freshness = \"0s\"");
    let Started { hub, service, client, .. } = &scene.start().await;
    assert_eq!(client.manifest("team", "app", "1").await.status, 200);
    hub.push_image("library/app", "1", &image(2));
    pull(client, "team", "app", "1", &image(2)).await;
    assert_eq!(field_of_all(service, "", "digest").await, [image(2).digest()]);
    let shown = service.api("GET", &format!("{IMAGES}/app:1"), Value::Null).await.json();
    assert_eq!(
        (shown["history"].as_array().unwrap().len(), &shown["history"][0]["digest"]),
        (1, &json!(image(1).digest()))
    );
    assert_eq!(metric(service, "dependency_proxy_moved_tags_total").await, 1);
    assert!(service.log().contains("a tag has moved"));
    hub.down(fake_registry::Listener::Registry);
    assert_eq!(client.manifest("team", "app", "1").await.header("x-cache"), "stale");
    let images = list(service, "").await;
    assert_eq!(images[0]["state"], "stale");
    assert!(images[0]["stale_because"].as_str().unwrap().contains("docker.io"), "{images:?}");
}

#[actix_rt::test]
async fn an_image_arrives_while_a_layer_of_it_is_downloaded() {
    let large = Image::single(&[Layer::random(2 << 20, 1)]);
    let Started { hub, service, client, .. } = &Scenario::new().image("library/app", "1", &large).start().await;
    assert_eq!(client.manifest("team", "app", "1").await.status, 200);
    hub.on(Kind::BlobDownload).hold_after(1 << 20);
    let (puller, digest) = (client.clone(), large.layers()[0].digest().to_owned());
    let pulling = actix_rt::spawn(async move { puller.blob("team", "app", &digest).await });
    let arrives = async || {
        let images = list(service, "").await;
        images[0]["state"] == "arriving" && images[0]["arriving"]["length"] == 2 << 20
    };
    eventually("the image arrives", arrives).await;
    hub.release();
    assert_eq!(pulling.await.unwrap().status, 200);
    pull(client, "team", "app", "1", &large).await;
    eventually("it is fresh", async || list(service, "").await[0]["state"] == "fresh").await;
}

#[actix_rt::test]
async fn an_image_is_incomplete_until_all_of_one_platform_is_stored_and_again_after_an_eviction() {
    let platforms = [image(1), image(2)];
    let index = Image::index(&platforms);
    let scenario = Scenario::new().image("library/app", "1", &index);
    let Started { hub: _hub, mut service, client, token, .. } = scenario.settings(FRESH).start().await;
    let state = async |service: &Service| field_of_all(service, "", "state").await;
    assert_eq!(client.manifest("team", "app", "1").await.status, 200);
    assert_eq!(state(&service).await, ["incomplete"], "no platform is stored");
    assert_eq!(client.manifest("team", "app", platforms[0].digest()).await.status, 200);
    let blobs: Vec<_> = platforms[0].blobs().collect();
    for blob in &blobs {
        assert_eq!(state(&service).await, ["incomplete"]);
        assert_eq!(client.stored_blob("team", "app", blob.digest()).await.status, 200);
    }
    assert_eq!(state(&service).await, ["fresh"], "the other platform was not pulled");

    service.stop();
    std::fs::remove_file(stored_path(&service, "blobs", blobs[1].digest())).unwrap();
    service.restart();
    eventually("what is gone is noticed", async || state(&service).await == ["incomplete"]).await;
    let client = service.log_in_with(&token).await;
    assert_eq!(client.stored_blob("team", "app", blobs[1].digest()).await.status, 200);
    eventually("it is complete again", async || state(&service).await == ["fresh"]).await;
}

#[actix_rt::test]
async fn the_digest_of_a_tag_is_not_found_with_the_way_to_name_it() {
    let app = image(1);
    let numbers: Vec<String> = (1..=23).map(|number| number.to_string()).collect();
    // More tags of the digest in another repository, before those of this one, than one refusal names.
    let tags: Vec<(&str, &str)> = numbers.iter().map(|tag| ("another", tag.as_str())).collect();
    let tags = [&tags[..], &[("app", "1"), ("app", "2"), ("other", "1")]].concat();
    let with = |scenario: Scenario, (name, tag): &(&str, &str)| scenario.image(&format!("library/{name}"), tag, &app);
    let Started { hub: _hub, service, client, .. } = &tags.iter().fold(Scenario::new(), with).start().await;
    for (name, tag) in tags {
        assert_eq!(client.manifest("team", name, tag).await.status, 200);
    }
    let by_digest = format!("{IMAGES}/app@{}", app.digest());
    for method in ["GET", "DELETE"] {
        let refused = service.api(method, &by_digest, Value::Null).await;
        let message = "404 Image Not Found - it is cached by its tag: name it library/app:1 or library/app:2";
        assert_eq!((refused.status, &refused.json()["message"]), (404, &json!(message)));
    }
    let many = service.api("GET", &format!("{IMAGES}/another@{}", app.digest()), Value::Null).await.json();
    let message = many["message"].as_str().unwrap();
    assert!(message.ends_with(" or one of 3 other tags"), "{message}");
    let unknown = format!("{IMAGES}/app@{}", image(2).digest());
    assert_eq!(service.api("GET", &unknown, Value::Null).await.json()["message"], "404 Image Not Found");
}

#[actix_rt::test]
async fn an_image_that_names_more_than_is_looked_for_is_not_called_complete() {
    let long = |image: Image| image.edited(|manifest| manifest["annotations"] = json!({"a": "a".repeat(1_100_000)}));
    let layers = [Layer::random(1_000, 1), Layer::random(1_000, 2)];
    let many = Image::single(&layers).edited(|manifest| {
        let [first, last] = [0, 1].map(|layer| manifest["layers"][layer].clone());
        manifest["layers"] = std::iter::repeat_n(first, 5_000).chain([last]).collect();
    });
    let images = [long(image(1)), long(Image::index(&[image(2)])), many];
    let scenario = ["1", "2", "3"].iter().zip(&images);
    let scenario = scenario.fold(Scenario::new(), |scenario, (tag, image)| scenario.image("library/app", tag, image));
    let Started { hub: _hub, service, client, .. } = scenario.settings(FRESH).start().await;
    for tag in ["1", "2", "3"] {
        assert_eq!(client.manifest("team", "app", tag).await.status, 200);
    }
    for blob in [&layers[0], images[2].config().unwrap()] {
        client.stored_blob("team", "app", blob.digest()).await;
    }
    assert_eq!(field_of_all(&service, "", "state").await, ["incomplete"; 3]);
}
