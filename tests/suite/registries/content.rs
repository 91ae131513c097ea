//! Unusual content that clients accept, and content that cannot be pulled: the digest decides, and hopeless content
//! is reported at once.

use fake_registry::{Image, Kind, Layer, OCI_INDEX};
use serde_json::{Value, json};

use super::{REVALIDATE, Scene, is_image};
use crate::service::Answer;

/// A change of a manifest's JSON document.
type Edit = fn(&mut Value);

#[actix_rt::test]
async fn headers_about_the_encoding_of_right_bytes_are_nothing_to_stumble_over() {
    for encoding in ["x-gzip", "gzip", "aws-chunked", "binary", "identity", ""] {
        let scene = Scene::start("").await;
        let image = scene.push("acme/app", 1);
        for kind in [Kind::ManifestGet, Kind::ManifestHead, Kind::BlobDownload, Kind::Tags] {
            scene.hub.on(kind).header("Content-Encoding", encoding);
        }
        scene.gives("acme/app", &image, "miss").await;
        let layer = &image.layers()[0];
        let blob = scene.client.blob("team", "acme/app", layer.digest()).await;
        assert_eq!((blob.status, blob.header("content-encoding")), (200, ""), "{encoding}");
        assert!(blob.body == layer.bytes());
        let tags = scene.client.get("/v2/team/dependency_proxy/containers/acme/app/tags/list").await;
        assert_eq!((tags.status, tags.json()["tags"].clone()), (200, json!(["1"])), "{encoding}");
    }
}

#[actix_rt::test]
async fn null_and_empty_fields_are_absent_ones() {
    let edits: [Edit; 6] = [
        |manifest| manifest["layers"] = Value::Null,
        |manifest| manifest["manifests"] = Value::Null,
        |manifest| manifest["layers"][0]["urls"] = Value::Null,
        |manifest| manifest["mediaType"] = "".into(),
        |manifest| manifest["mediaType"] = Value::Null,
        |manifest| manifest["annotations"] = Value::Null,
    ];
    for (number, edit) in edits.into_iter().enumerate() {
        let scene = Scene::start("").await;
        let image = Image::single(&[Layer::random(100, 1)]).oci().edited(edit);
        scene.hub.push_image("acme/app", "1", &image);
        is_image(&scene.pull("acme/app").await, &image);
        let config = image.config().unwrap();
        let blob = scene.client.blob("team", "acme/app", config.digest()).await;
        assert_eq!(blob.status, 200, "{number}: {}", blob.text());
    }
}

#[actix_rt::test]
async fn a_manifest_whose_type_says_nothing_is_served_with_that_of_its_document() {
    for content_type in ["application/json", "text/plain; charset=utf-8", "application/octet-stream"] {
        for image in [Image::single(&[Layer::random(100, 1)]), Image::single(&[Layer::random(100, 1)]).oci()] {
            let scene = Scene::start(REVALIDATE).await;
            scene.hub.push_image("acme/app", "1", &image);
            for kind in [Kind::ManifestGet, Kind::ManifestHead] {
                scene.hub.on(kind).content_type(content_type);
            }
            scene.gives("acme/app", &image, "miss").await;
            scene.gives("acme/app", &image, "revalidated").await;
        }
    }
}

fn is_whole(blob: &Answer, layer: &Layer) -> bool {
    (blob.status, blob.cut) == (200, false) && blob.body == layer.bytes()
}

#[actix_rt::test]
async fn a_size_in_the_manifest_is_a_claim_that_the_digest_outweighs() {
    for size in [json!(1), json!(19_999), json!(20_001), json!(1_000_000), json!(-5), json!("big"), Value::Null] {
        for redirected in [true, false] {
            let scene = Scene::start("").await;
            scene.hub.redirect_blobs(redirected);
            let image = Image::single(&[Layer::random(20_000, 1)]);
            let image = image.edited(|manifest| manifest["layers"][0]["size"] = size.clone());
            scene.hub.push_image("acme/app", "1", &image);
            is_image(&scene.pull("acme/app").await, &image);
            let layer = &image.layers()[0];
            for _ in 0..2 {
                let blob = scene.client.blob("team", "acme/app", layer.digest()).await;
                assert!(is_whole(&blob, layer), "{size}: {}", blob.status);
            }
            assert_eq!(scene.hub.requests().blob_downloads(layer.digest()), 1, "{size}");
        }
    }
}

#[actix_rt::test]
async fn a_wrong_size_of_a_blob_whose_length_upstream_does_not_tell_fails_once_and_no_more() {
    for size in [19_999, 20_001] {
        let scene = Scene::start("").await;
        let image = Image::single(&[Layer::random(20_000, 1)]);
        let image = image.edited(|manifest| manifest["layers"][0]["size"] = size.into());
        scene.hub.push_image("acme/app", "1", &image);
        is_image(&scene.pull("acme/app").await, &image);
        for kind in [Kind::BlobDownload, Kind::BlobHead] {
            scene.hub.on(kind).without_content_length();
        }
        let layer = &image.layers()[0];
        let path = format!("/v2/team/dependency_proxy/containers/acme/app/blobs/{}", layer.digest());
        // `None` if the connection is closed before the head has left.
        let first = scene.client.try_get(&path).await;
        assert!(
            first.is_none_or(|first| first.cut || first.status == 503 || first.body == layer.bytes()),
            "{size}: not a whole one that is wrong"
        );
        let second = scene.client.blob("team", "acme/app", layer.digest()).await;
        assert!(is_whole(&second, layer), "{size}: {}", second.status);
    }
}

#[actix_rt::test]
async fn what_can_never_be_used_is_a_final_refusal_that_says_why() {
    let edits: [(&str, Edit); 4] = [
        ("it is not the JSON of a manifest", |manifest| manifest["layers"] = json!("none")),
        ("a digest in it is malformed", |manifest| manifest["layers"][0]["digest"] = json!("sha256:abc")),
        ("it is not what its media type", |manifest| manifest["mediaType"] = json!(OCI_INDEX)),
        ("it is not the JSON of a manifest", |manifest| *manifest = json!(["no", "manifest"])),
    ];
    for (why, edit) in edits {
        let scene = Scene::start("").await;
        scene.hub.push_image("acme/app", "1", &Image::single(&[Layer::random(100, 1)]).edited(edit));
        for _ in 0..2 {
            is_final(&scene, why).await;
        }
    }
}

#[actix_rt::test]
async fn a_manifest_of_schema_1_is_a_final_refusal() {
    for content_type in [
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/vnd.docker.distribution.manifest.v1+json",
    ] {
        let scene = Scene::start("").await;
        let image = Image::single(&[Layer::random(100, 1)]).edited(|manifest| {
            *manifest = json!({"schemaVersion": 1, "name": "acme/app", "tag": "1", "fsLayers": [], "history": []});
        });
        scene.hub.push_image("acme/app", "1", &image);
        for kind in [Kind::ManifestGet, Kind::ManifestHead] {
            scene.hub.on(kind).content_type(content_type);
        }
        is_final(&scene, "only as a manifest of Docker's schema 1, which is not supported").await;
        let head = scene.client.manifest_head("team", "acme/app", "1").await;
        assert_eq!(head.status, 403);
    }
}

async fn is_final(scene: &Scene, why: &str) {
    let answer = scene.pull("acme/app").await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "MANIFEST_INVALID"), "{}", answer.text());
    assert!(answer.message().starts_with("docker.io has acme/app:1 "), "{}", answer.message());
    assert!(answer.message().contains(why), "{}", answer.message());
    assert_eq!(answer.header("retry-after"), "");
}

#[actix_rt::test]
async fn layers_of_another_digest_algorithm_keep_nobody_from_the_rest() {
    let scene = Scene::start("").await;
    let sha512 = format!("sha512:{}", "ab".repeat(64));
    let image = Image::single(&[Layer::random(100, 1), Layer::random(200, 2)]);
    let image = image.edited(|manifest| manifest["layers"][1]["digest"] = sha512.clone().into());
    scene.hub.push_image("acme/app", "1", &image);
    is_image(&scene.pull("acme/app").await, &image);
    let first = image.layers()[0].digest();
    assert_eq!(scene.client.blob("team", "acme/app", first).await.status, 200);
    let other = scene.client.blob("team", "acme/app", &sha512).await;
    assert_eq!((other.status, other.code().as_str()), (400, "DIGEST_INVALID"));
    assert!(other.message().contains("only sha256 digests are supported"), "{}", other.message());
}

#[actix_rt::test]
async fn bytes_that_do_not_have_their_digest_stay_out_however_they_are_encoded() {
    let scene = Scene::start("").await;
    let image = scene.push("acme/app", 1);
    scene.hub.on(Kind::ManifestGet).times(1).header("Content-Encoding", "gzip").flip_byte(7);
    let answer = scene.pull("acme/app").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "UNAVAILABLE"));
    scene.gives("acme/app", &image, "miss").await;
}
