//! Signatures and other referrers where upstream has no referrers API: under tags that are made of a digest, as in
//! the OCI distribution specification ("Referrers Tag Schema") and in cosign.

use fake_registry::{Image, Layer, OCI_INDEX, OCI_MANIFEST};
use serde_json::{Value, json};

use super::{House, refusal, said};
use crate::service::{Answer, Client};

const ALPINE: &str = "/v2/team/dependency_proxy/containers/alpine";

/// Returns a service whose hub has no referrers API, a client of it, and the tag for the referrers of its image.
async fn without_referrers() -> (House, Client, String) {
    let house = House::new().await;
    house.hub.referrers_api(false);
    let (client, tag) = (house.client.clone(), house.image.digest().replace(':', "-"));
    (house, client, tag)
}

/// Asserts that this is the manifest, byte for byte.
fn assert_is(answer: &Answer, image: &Image) {
    assert_eq!((answer.status, &answer.body), (200, image.bytes()), "{}", answer.text());
    let headers = ["content-type", "docker-content-digest"].map(|name| answer.header(name));
    assert_eq!(headers, [image.media_type(), image.digest()]);
}

#[actix_rt::test]
async fn a_signature_is_found_under_the_tag_that_is_made_of_the_digest() {
    let (house, client, tag) = without_referrers().await;
    let payload = Layer::of("what was signed");
    let signature = Image::single(std::slice::from_ref(&payload)).oci().attached_to(&house.image, "application/x-sig");
    house.hub.push_untagged("library/alpine", &signature);
    house.hub.push_image("library/alpine", &tag, &Image::index_of(&[signature.descriptor()]));
    for namespace in ["", "?ns=docker.io"] {
        let list = client.get(&format!("{ALPINE}/referrers/{}{namespace}", house.image.digest())).await;
        assert_eq!((said(&list).0, said(&list).1.as_str()), (404, "UNSUPPORTED"));
        let index = client.get(&format!("{ALPINE}/manifests/{tag}{namespace}")).await;
        assert_eq!((index.status, index.header("content-type")), (200, OCI_INDEX));
        let found = &index.json()["manifests"][0];
        assert_eq!(found["artifactType"], "application/x-sig");
        let found = client.manifest("team", "alpine", found["digest"].as_str().unwrap()).await;
        assert_is(&found, &signature);
        let layer = found.json()["layers"][0]["digest"].as_str().unwrap().to_owned();
        assert_eq!(client.blob("team", "alpine", &layer).await.body, payload.bytes());
    }
    assert_eq!(house.hub.requests().manifest_gets("library/alpine", &tag), 1, "cached as any other tag");
}

#[actix_rt::test]
async fn a_signature_of_cosign_is_found_under_its_tag() {
    let (house, client, tag) = without_referrers().await;
    for (seed, suffix) in (0..).zip(["sig", "att", "sbom"]) {
        let signature = Image::single(&[Layer::random(200, seed)]).oci().signature();
        house.hub.push_image("library/alpine", &format!("{tag}.{suffix}"), &signature);
        let answer = client.manifest("team", "alpine", &format!("{tag}.{suffix}")).await;
        assert_is(&answer, &signature);
        assert_eq!(answer.header("content-type"), OCI_MANIFEST);
        let layer = &signature.layers()[0];
        assert_eq!(client.blob("team", "alpine", layer.digest()).await.body, layer.bytes());
    }
}

#[actix_rt::test]
async fn an_index_of_referrers_comes_whatever_it_names() {
    let (house, client, tag) = without_referrers().await;
    let descriptor = |media_type: &str, more: Value| {
        let mut descriptor = json!({"mediaType": media_type, "size": 7, "digest": house.image.digest()});
        more.as_object().unwrap().iter().for_each(|(name, value)| descriptor[name] = value.clone());
        descriptor
    };
    let absent = json!({"digest": format!("sha256:{}", "0".repeat(64)), "size": 0});
    let twice = descriptor(OCI_MANIFEST, json!({}));
    for (round, descriptors) in (0..).zip([
        vec![],
        vec![descriptor(OCI_MANIFEST, absent)],
        vec![twice.clone(), twice],
        vec![descriptor("application/vnd.oci.artifact.manifest.v1+json", json!({"artifactType": "a/b"}))],
        vec![descriptor("application/vnd.example.nobody.knows", json!({"artifactType": "", "platform": null}))],
        vec![descriptor(OCI_INDEX, json!({"annotations": {"a": "b"}, "data": "AA==", "urls": ["https://x.test/"]}))],
        (0..500).map(|number| descriptor(OCI_MANIFEST, json!({"annotations": {"n": number.to_string()}}))).collect(),
    ]) {
        let (index, tag) = (Image::index_of(&descriptors), format!("{tag}-{round}"));
        house.hub.push_image("library/alpine", &tag, &index);
        assert_is(&client.manifest("team", "alpine", &tag).await, &index);
    }
}

#[actix_rt::test]
async fn an_image_without_signatures_has_neither_list_nor_tag() {
    let (house, client, tag) = without_referrers().await;
    assert_eq!(client.get(&format!("{ALPINE}/referrers/{}", house.image.digest())).await.status, 404);
    for tag in [&tag, &format!("{tag}.sig")] {
        let sentence = format!("docker.io has no alpine:{tag}");
        assert_eq!(said(&client.manifest("team", "alpine", tag).await), refusal(404, "MANIFEST_UNKNOWN", &sentence));
    }
}
