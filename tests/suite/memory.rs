//! Maximum memory of the service while clients, or an upstream, make it hold much data.

use std::time::{Duration, Instant};

use fake_registry::{FakeRegistry, Image, Kind, Layer};
use futures::future::join_all;

use crate::service::{Client, Config, Service};

const MIB: u64 = 1 << 20;

/// Memory of the caches and budgets of the default configuration, plus 64 MiB for everything else.
const MAX_RESIDENT_BYTES: u64 = 28 * MIB + (16 + 32) * MIB + 24 * MIB;

async fn scene() -> (FakeRegistry, Service, Client) {
    let hub = FakeRegistry::start();
    let service = Config::docker_hub(&hub).start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let client = service.log_in_with(&token).await;
    (hub, service, client)
}

/// Returns an image whose manifest has about this number of bytes.
fn heavy(bytes: u64, seed: u64) -> Image {
    let text = format!("{seed:08}").repeat(usize::try_from(bytes / 8).unwrap());
    Image::single(&[Layer::random(10, seed)])
        .edited(|manifest| manifest["annotations"] = serde_json::json!({"x": text}))
}

#[actix_rt::test]
async fn many_large_manifests_at_once_stay_within_their_budget() {
    for (bytes, count) in [(4 * MIB - 4096, 60), (15 * MIB, 10)] {
        let (hub, service, client) = scene().await;
        let images: Vec<Image> = (0..count).map(|seed| heavy(bytes, seed)).collect();
        for (image, number) in images.iter().zip(0..) {
            hub.push_image("acme/app", &format!("v{number}"), image);
        }
        // The second time, stored manifests are read from disk.
        for _ in 0..2 {
            let pulls = (0..count).map(|number| {
                let (client, tag) = (&client, format!("v{number}"));
                async move { client.manifest("team", "acme/app", &tag).await }
            });
            for (answer, image) in join_all(pulls).await.iter().zip(&images) {
                assert_eq!(answer.status, 200, "{}", answer.text());
                assert!(answer.body == image.bytes());
            }
        }
        let peak = service.peak_memory();
        assert!(peak < MAX_RESIDENT_BYTES, "{} MiB for {count} manifests of {bytes} bytes", peak / MIB);
    }
}

#[actix_rt::test]
async fn manifests_that_stall_keep_small_ones_from_nothing() {
    let (hub, service, client) = scene().await;
    for number in 0..8 {
        hub.push_image("acme/heavy", &format!("v{number}"), &heavy(15 * MIB, number));
    }
    let small = Image::single(&[Layer::random(10, 99)]);
    hub.push_image("acme/small", "latest", &small);
    hub.on(Kind::ManifestGet).in_repository("acme/heavy").hold_after(MIB);
    let stalled = (0..8).map(|number| {
        let client = client.clone();
        actix_rt::spawn(async move { client.manifest("team", "acme/heavy", &format!("v{number}")).await.status })
    });
    let stalled: Vec<_> = stalled.collect();
    hub.seen(Kind::ManifestGet, 8).await;
    assert_eq!(client.manifest("team", "acme/small", "latest").await.body, small.bytes());
    hub.release();
    for status in join_all(stalled).await {
        assert!(matches!(status.unwrap(), 200 | 503));
    }
    assert!(service.peak_memory() < MAX_RESIDENT_BYTES);
}

#[actix_rt::test]
async fn many_long_lists_at_once_stay_within_the_budget() {
    let (hub, service, client) = scene().await;
    hub.push_image("acme/app", "1", &Image::single(&[Layer::random(10, 1)]));
    let tags: Vec<String> =
        (0..60_000).map(|number| format!("a-rather-long-name-of-a-tag-that-ci-makes-{number:09}")).collect();
    hub.on(Kind::Tags).json(serde_json::json!({"name": "acme/app", "tags": tags}));
    let path = "/v2/team/dependency_proxy/containers/acme/app/tags/list";
    let lists = join_all((0..60).map(|_| client.get(path))).await;
    assert!(lists.iter().all(|list| list.status == 200 && list.body.len() > 3_000_000));
    let peak = service.peak_memory();
    assert!(peak < MAX_RESIDENT_BYTES, "{} MiB", peak / MIB);
}

#[actix_rt::test]
async fn clients_of_one_group_that_read_nothing_leave_memory_to_those_of_another() {
    let (hub, service, client) = scene().await;
    let other = service.group("other").await;
    let token = service.deploy_token(&other, "ci").await;
    let neighbour = service.log_in_with(&token).await;
    let stored = heavy(3 * MIB, 50);
    hub.push_image("acme/app", "stored", &stored);
    assert_eq!(neighbour.manifest("other", "acme/app", "stored").await.body, stored.bytes());
    let images: Vec<Image> = (0..5).map(|seed| heavy(15 * MIB, seed)).collect();
    for (image, number) in images.iter().zip(0..) {
        hub.push_image("acme/app", &format!("v{number}"), image);
    }
    let path = |group: &str, tag: &str| format!("/v2/{group}/dependency_proxy/containers/acme/app/manifests/{tag}");
    let mut deaf = client.connect_with_window(Some(4096)).await;
    assert_eq!(deaf.get(&path("team", "v0"), "").await.unwrap().status, 200);
    let waiting = [1, 2, 3].map(|number| {
        let (client, path) = (client.clone(), path("team", &format!("v{number}")));
        actix_rt::spawn(async move { client.get(&path).await })
    });
    hub.seen(Kind::ManifestGet, 5).await;
    let started = Instant::now();
    for (tag, image) in [("stored", &stored), ("v4", &images[4])] {
        let answer = neighbour.manifest("other", "acme/app", tag).await;
        assert_eq!((answer.status, answer.body == image.bytes()), (200, true), "{tag}: {}", answer.text());
    }
    assert!(started.elapsed() < Duration::from_secs(10), "it waited for the other group");
    // No client of the first group reads, so its further requests wait for the group's share in vain.
    for answer in join_all(waiting).await {
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.header("retry-after")), (503, "5"), "{}", answer.text());
        assert!(answer.text().contains("is taken by large manifests") && !answer.text().contains("docker.io"));
    }
    let log = service.log();
    assert!(log.contains("\"reason\":\"no_memory\"") && !log.contains("too many requests to this upstream"));
    // The memory that was in use for it is released when the client that did not read disconnects.
    drop(deaf);
    assert_eq!(client.manifest("team", "acme/app", "v1").await.body, images[1].bytes());
}
