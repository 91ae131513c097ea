//! Pulls, first and repeated: the upstream requests, and the responses to the client.

use fake_registry::{FakeRegistry, Image, Layer};

use crate::service::Config;

#[actix_rt::test]
async fn an_image_is_fetched_once_and_then_served_from_the_cache() {
    let hub = FakeRegistry::start();
    let image = Image::single(&[Layer::random(100_000, 1)]);
    hub.push_image("library/alpine", "latest", &image);
    let service = Config::docker_hub(&hub).start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let client = service.log_in_with(&token).await;
    let layer = image.layers()[0].clone();
    for word in ["miss", "hit", "hit"] {
        let manifest = client.manifest("team", "alpine", "latest").await;
        assert_eq!((manifest.status, manifest.header("x-cache")), (200, word));
        assert_eq!(&manifest.body, image.bytes());
        assert_eq!(manifest.header("docker-content-digest"), image.digest());
        let blob = client.settled_blob("team", "alpine", layer.digest()).await;
        assert_eq!((blob.status, blob.header("x-cache")), (200, word));
        assert_eq!(blob.body, layer.bytes());
    }
    assert_eq!(hub.requests().manifest_gets("library/alpine", "latest"), 1);
    assert_eq!(hub.requests().blob_gets("library/alpine", layer.digest()), 1);
}

/// Containerd aborts where the length is missing or 0, docker where it is missing.
#[actix_rt::test]
async fn the_head_of_a_manifest_tells_its_length_cached_or_not() {
    let hub = FakeRegistry::start();
    let image = Image::single(&[Layer::random(1000, 1)]);
    hub.push_image("library/alpine", "latest", &image);
    let service = Config::docker_hub(&hub).start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let client = service.log_in_with(&token).await;
    for cached in [false, true] {
        for reference in ["latest", image.digest()] {
            let head = client.manifest_head("team", "alpine", reference).await;
            let lengths: Vec<_> = head.headers.get_all("content-length").iter().collect();
            assert_eq!((head.status, lengths), (200, vec![&image.bytes().len().into()]), "cached: {cached}");
            assert_eq!(head.header("docker-content-digest"), image.digest());
            assert!(head.body.is_empty());
        }
        client.manifest("team", "alpine", "latest").await;
    }
}
