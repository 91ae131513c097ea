//! Content that a mirror sends wrong, or breaks off.

use super::*;

#[actix_rt::test]
async fn a_page_in_place_of_a_manifest_and_another_manifest_for_a_digest_lead_to_the_next() {
    let (own, mirror) = (FakeRegistry::start(), open_registry());
    let (image, other) = (image(1), image(2));
    own.push_image("acme/app", "1", &image);
    own.push_image("acme/other", "1", &other);
    for registry in [&own, &mirror] {
        registry.push_untagged("acme/app", &image);
    }
    mirror.on(Kind::ManifestGet).for_reference("1").html();
    let scene = Scene::start(own, &[mirror.url()], "").await;
    mirror.on(Kind::ManifestHead).for_reference(image.digest()).manifest_of(&other);
    mirror.on(Kind::ManifestGet).for_reference(image.digest()).manifest_of(&other);
    is_image(&scene.client.manifest("team", "acme/app", image.digest()).await, &image);
    is_image(&scene.pull("acme/app").await, &image);
    assert!(scene.outcomes(&mirror.host(Listener::Registry), "wrong").await > 0);
}

#[actix_rt::test]
async fn a_manifest_that_a_mirror_breaks_off_comes_from_the_next_in_the_same_pull() {
    let (own, mirror) = (FakeRegistry::start(), open_registry());
    let image = image(1);
    [&own, &mirror].iter().for_each(|registry| drop(registry.push_image("acme/app", "1", &image)));
    mirror.on(Kind::ManifestGet).cut_after(10);
    let scene = Scene::start(own, &[mirror.url()], "").await;
    is_image(&scene.pull("acme/app").await, &image);
    assert_eq!((mirror.requests().of(Kind::ManifestGet), scene.own.requests().of(Kind::ManifestGet)), (1, 1));
}

#[actix_rt::test]
async fn a_blob_that_a_mirror_breaks_off_is_continued_by_the_next_from_the_same_byte() {
    let (own, mirror) = (FakeRegistry::start(), open_registry());
    own.redirect_blobs(false);
    let image = image(1);
    [&own, &mirror].iter().for_each(|registry| drop(registry.push_image("acme/app", "1", &image)));
    mirror.on(Kind::BlobDownload).cut_after(40_000);
    let scene = Scene::start(own, &[mirror.url()], "").await;
    scene.gives("acme/app", &image.layers()[0]).await;
    let requests = scene.own.requests();
    let ranges: Vec<_> = requests.iter().filter_map(|request| request.range.as_deref()).collect();
    assert!(!ranges.is_empty() && ranges.iter().all(|range| *range == "bytes=40000-"), "{ranges:?}");
    assert_eq!(mirror.requests().of(Kind::BlobDownload), 1);
    assert_store_is_clean(&scene.service).await;
}

#[actix_rt::test]
async fn wrong_bytes_of_a_mirror_reach_no_client_as_a_whole_and_a_manifest_comes_from_the_next_in_the_same_pull() {
    let (own, mirror) = (FakeRegistry::start(), open_registry());
    let image = image(1);
    [&own, &mirror].iter().for_each(|registry| drop(registry.push_image("acme/app", "1", &image)));
    mirror.on(Kind::BlobDownload).flip_byte(50_000);
    mirror.on(Kind::ManifestGet).flip_byte(20);
    let scene = Scene::start(own, &[mirror.url()], "").await;
    let layer = &image.layers()[0];
    let wrong = scene.blob("acme/app", layer).await;
    assert!(wrong.status == 503 || wrong.cut, "{}", wrong.status);
    scene.gives("acme/app", layer).await;
    is_image(&scene.pull("acme/app").await, &image);
    assert_eq!(mirror.requests().of(Kind::BlobDownload), 1, "the mirror is not asked for it again");
    assert_eq!(mirror.requests().of(Kind::ManifestGet), 1);
    assert_store_is_clean(&scene.service).await;
    let log = scene.service.log();
    assert!(log.contains("sent wrong content"), "{log}");
    // Other content still comes from the mirror.
    let another = self::image(2);
    mirror.behave();
    mirror.push_image("acme/another", "1", &another);
    is_image(&scene.pull("acme/another").await, &another);
}

#[actix_rt::test]
async fn a_wrong_length_at_a_mirror_is_not_repeated() {
    let (own, mirror) = (FakeRegistry::start(), open_registry());
    let image = image(1);
    [&own, &mirror].iter().for_each(|registry| drop(registry.push_image("acme/app", "1", &image)));
    mirror.on(Kind::BlobDownload).body_length_off_by(-10);
    let scene = Scene::start(own, &[mirror.url()], "").await;
    is_image(&scene.pull("acme/app").await, &image);
    let wrong = scene.blob("acme/app", &image.layers()[0]).await;
    assert!(wrong.status == 503 || wrong.cut, "{}", wrong.status);
    scene.gives("acme/app", &image.layers()[0]).await;
}

#[actix_rt::test]
async fn a_wrong_or_broken_off_manifest_of_any_length_comes_from_the_next_mirror_in_the_same_pull() {
    let (own, first, second) = (FakeRegistry::start(), open_registry(), open_registry());
    let (short, long) = (image(1), image(2).edited(|manifest| manifest["annotations"] = "a".repeat(100_000).into()));
    for registry in [&own, &first, &second] {
        for (name, image) in [("acme/short", &short), ("acme/long", &long)] {
            registry.push_image(name, "1", image);
        }
    }
    let scene = Scene::start(own, &[first.url(), second.url()], "").await;
    for (name, image) in [("acme/short", &short), ("acme/long", &long)] {
        first.on(Kind::ManifestGet).in_repository(name).flip_byte(20);
        is_image(&scene.pull(name).await, image);
    }
    assert_eq!([&first, &second, &scene.own].map(|registry| registry.requests().of(Kind::ManifestGet)), [2, 2, 0]);
    let broken = image(3).edited(|manifest| manifest["annotations"] = "b".repeat(100_000).into());
    [&first, &second].iter().for_each(|registry| drop(registry.push_image("acme/broken", "1", &broken)));
    first.on(Kind::ManifestGet).in_repository("acme/broken").cut_after(80_000);
    is_image(&scene.pull("acme/broken").await, &broken);
    assert_eq!([&first, &second, &scene.own].map(|registry| registry.requests().of(Kind::ManifestGet)), [3, 3, 0]);
}
