//! The log lines of a full disk: which image comes from upstream at each pull, and one warning that names the folder.

use fake_registry::{FakeRegistry, Image, Kind, Layer};
use serde_json::Value;

use super::metrics::{metrics, value};
use crate::service::{Client, Config, Scenario, Started};
use crate::small_disk::SmallDisk;

#[actix_rt::test]
async fn an_image_whose_blobs_are_not_stored_is_named_and_the_warning_says_what_to_do() {
    let hub = FakeRegistry::start();
    let layers: Vec<Layer> = (1..4).map(|seed| Layer::random(1000, seed)).collect();
    let images = [Image::single(&layers[..2]), Image::single(&layers[2..])];
    for (name, image) in ["library/one", "library/two"].into_iter().zip(&images) {
        hub.push_image(name, "1", image);
    }
    let mut service = Config::docker_hub(&hub).start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let client = service.log_in_with(&token).await;
    for name in ["one", "two"] {
        assert_eq!(client.manifest("team", name, "1").await.header("x-cache"), "miss");
    }
    assert!(service.stop().success());
    service.change_setting("min_free = 0", "min_free = \"99%\"");
    service.restart();
    let client = service.log_in_with(&token).await;
    for _ in 0..2 {
        for (name, image) in ["one", "two"].into_iter().zip(&images) {
            assert_eq!(client.manifest("team", name, "1").await.header("x-cache"), "hit");
            for layer in image.layers() {
                let blob = client.blob("team", name, layer.digest()).await;
                assert_eq!((blob.status, blob.header("x-cache")), (200, "miss"));
            }
        }
    }
    assert_eq!(hub.requests().of(Kind::BlobDownload), 6);
    let lines = service.log_lines();
    let with =
        |text: &str| lines.iter().filter(|line| line["message"].as_str().unwrap().contains(text)).collect::<Vec<_>>();
    let images: Vec<_> = with("blobs of this image are not stored").iter().map(|line| line["image"].clone()).collect();
    assert_eq!(images, ["docker.io/library/one", "docker.io/library/two"]);
    let caches = |message: &str| with(message).iter().map(|line| line["cache"].clone()).collect::<Vec<_>>();
    // Also the first ones after the start, which has forgotten what was not stored.
    assert_eq!(caches("manifest"), ["passed_through"; 4], "{lines:?}");
    let warnings = with("passed on to clients without being stored");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let warning = warnings[0];
    assert!(warning["folder"].as_str().unwrap().starts_with(service.data().to_str().unwrap()), "{warning}");
    assert_eq!((&warning["setting"], &warning["min_free"]), (&"storage.min_free".into(), &"99%".into()));
    assert!(warning["free_bytes"].as_u64().unwrap() > 0);
}

#[actix_rt::test]
async fn where_the_quota_is_too_small_the_warning_names_it_and_not_the_disk() {
    let layer = Layer::random(3 << 20, 1);
    let scenario = Scenario::new().image("library/app", "1", &Image::single(std::slice::from_ref(&layer)));
    let scenario = scenario.configured(|config| config.variable("DEPENDENCY_PROXY__STORAGE__MAX_BYTES", "2MB"));
    let Started { hub: _hub, service, client, .. } = scenario.start().await;
    assert_eq!(client.manifest("team", "app", "1").await.status, 200);
    assert!(client.blob("team", "app", layer.digest()).await.body == layer.bytes());
    let is_warning = |line: &Value| line["message"].as_str().unwrap().contains("without being stored");
    let warnings: Vec<_> = service.log_lines().into_iter().filter(is_warning).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0]["setting"], "storage.max_bytes", "{warnings:?}");
}

#[actix_rt::test]
async fn an_image_whose_layer_does_not_fit_is_passed_through_in_log_and_metrics_though_smaller_content_is_stored() {
    let Some(disk) = SmallDisk::try_mount(40) else { return };
    let hub = FakeRegistry::start();
    let (large, small) = (Layer::random(3 << 20, 1), Layer::random(1000, 2));
    let (app, tool) = (Image::single(&[large.clone(), small.clone()]), Image::single(std::slice::from_ref(&small)));
    hub.push_image("library/app", "1", &app);
    hub.push_image("library/app", "tool", &tool);
    let settings = [
        ("STORAGE__CACHE_DIR", disk.path().to_str().unwrap()),
        ("STORAGE__MIN_FREE", "4MB"),
        ("CACHE__TAG_FRESHNESS", "0s"),
    ];
    let with =
        |config: Config, (name, value): (&str, &str)| config.variable(&format!("DEPENDENCY_PROXY__{name}"), value);
    let mut service = settings.into_iter().fold(Config::docker_hub(&hub), with).start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let client = service.log_in_with(&token).await;
    disk.fill_but(4_800 << 10);
    for _ in 0..3 {
        for (tag, image) in [("1", &app), ("tool", &tool)] {
            assert_eq!(client.manifest("team", "app", tag).await.status, 200);
            // The layer before the configuration, whose storing must not hide that the layer is not stored.
            for digest in image.layers().iter().map(Layer::digest).chain(image.config().map(Layer::digest)) {
                assert_eq!(client.blob("team", "app", digest).await.status, 200);
            }
        }
    }
    let pulls = caches(&service.log_lines());
    assert_eq!(pulls("1"), ["miss", "passed_through", "passed_through"]);
    assert_eq!(pulls("tool"), ["miss", "revalidated", "revalidated"], "all of it is stored");
    let metrics = metrics(&service).await;
    let pulls = |cache: &str| value(&metrics, &format!("dependency_proxy_manifest_pulls_total{{cache=\"{cache}\"}}"));
    assert_eq!((pulls("miss"), pulls("passed_through"), pulls("revalidated")), (2.0, 2.0, 2.0));
    assert!(service.stop().success());
    service.restart();
    let client = service.log_in_with(&token).await;
    for tag in ["1", "tool"] {
        assert_eq!(client.manifest("team", "app", tag).await.status, 200);
    }
    let pulls = caches(&service.log_lines());
    assert_eq!((pulls("1"), pulls("tool")), (vec!["passed_through".to_owned()], vec!["revalidated".to_owned()]));
}

#[actix_rt::test]
async fn an_index_whose_images_have_blobs_that_are_too_long_is_told_so_also_by_the_first_pull_after_a_start() {
    let (long, short) = (Image::single(&[Layer::random(5_000, 1)]), Image::single(&[Layer::random(10, 2)]));
    let scenario = Scenario::new().settings("[cache]\ntag_freshness = \"1h\"\nmax_blob_bytes = 2000");
    let (first, second) = (Image::index(std::slice::from_ref(&long)), Image::index(std::slice::from_ref(&short)));
    let scenario = scenario.image("library/long", "1", &first).image("library/short", "1", &second);
    let Started { hub: _hub, mut service, client, .. } = scenario.start().await;
    let pull = async |client: &Client, name: &str, image: &Image| {
        assert_eq!(client.manifest("team", name, "1").await.status, 200);
        assert_eq!(client.manifest("team", name, image.digest()).await.status, 200);
        for blob in image.layers().iter().chain(image.config()) {
            assert_eq!(client.blob("team", name, blob.digest()).await.status, 200);
        }
    };
    for (name, image) in [("long", &long), ("short", &short)] {
        pull(&client, name, image).await;
        for blob in image.config().into_iter().chain(image.layers().iter().filter(|layer| layer.bytes().len() < 2_000))
        {
            client.stored_blob("team", name, blob.digest()).await;
        }
    }
    assert!(service.stop().success());
    service.restart();
    let client = service.stranger().with_authorization(client.authorization());
    for name in ["long", "short"] {
        assert_eq!(client.manifest("team", name, "1").await.header("x-cache"), "hit");
    }
    assert_eq!(caches(&service.log_lines())("1"), ["passed_through", "hit"]);
}

/// Returns a function that returns the cache status of each pull of a tag, in order.
fn caches(lines: &[Value]) -> impl Fn(&str) -> Vec<String> + use<> {
    let manifests = lines.iter().filter(|line| line["message"] == "manifest");
    let pulls: Vec<_> = manifests.map(|line| (line["reference"].clone(), line["cache"].clone())).collect();
    move |tag| {
        let of_tag = pulls.iter().filter(|(reference, _)| reference == tag);
        of_tag.map(|(_, cache)| cache.as_str().unwrap().to_owned()).collect()
    }
}
