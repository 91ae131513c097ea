//! The registry that is as fast as possible, as benches use it.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::{Certificate as Authority, StatusCode};

use super::*;
use crate::{Certificate, Pace};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../suite/upstream_client/tls_fixture");

/// Returns a fast registry with `library/alpine:latest` of one layer, and that image.
fn fast_with_layer(size: u64) -> (FakeRegistry, Image) {
    let (registry, image) = (FakeRegistry::fast(None).unwrap(), Image::generated(7, &[size]));
    registry.push_image(REPOSITORY, "latest", &image);
    (registry, image)
}

#[tokio::test]
async fn everything_is_open_and_comes_without_unnecessary_headers() {
    let (registry, image) = fast_with_layer(100_003);
    let url = format!("{}/v2/{REPOSITORY}", registry.url());
    let manifest = client().get(format!("{url}/manifests/latest")).header("accept", OCI_MANIFEST);
    let manifest = manifest.send().await.unwrap();
    let known = ["etag", "ratelimit-limit", "www-authenticate"].map(|name| header(&manifest, name).to_owned());
    assert_eq!((manifest.status(), known), (StatusCode::OK, Default::default()));
    assert_eq!(header(&manifest, "docker-content-digest"), image.digest());
    assert_eq!(manifest.bytes().await.unwrap(), image.bytes());
    let layer = &image.layers()[0];
    let blob = client().get(format!("{url}/blobs/{}", layer.digest()));
    let whole = blob.try_clone().unwrap().send().await.unwrap();
    assert_eq!((whole.status(), header(&whole, "etag")), (StatusCode::OK, ""));
    assert_eq!(whole.bytes().await.unwrap(), layer.bytes());
    let range = blob.header("range", "bytes=100-199").send().await.unwrap();
    assert_eq!(
        (range.status(), header(&range, "content-range")),
        (StatusCode::PARTIAL_CONTENT, "bytes 100-199/100003")
    );
    assert_eq!(range.bytes().await.unwrap(), layer.bytes()[100..200]);
    assert_eq!(get(&format!("{url}/manifests/other")).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_login_is_offered_and_accepted() {
    let (registry, _) = fast_with_layer(10);
    let ping = format!("{}/v2/", registry.url());
    let challenge = get(&ping).await;
    assert_eq!(challenge.status(), StatusCode::UNAUTHORIZED);
    let realm = registry.host(Listener::Realm);
    assert_eq!(
        header(&challenge, "www-authenticate"),
        format!(r#"Bearer realm="http://{realm}/token",service="registry.fake""#)
    );
    let token = token(&registry, None, REPOSITORY).await;
    let with_token = client().get(&ping).bearer_auth(token).send().await.unwrap();
    assert_eq!(with_token.status(), StatusCode::OK);
}

#[tokio::test]
async fn requests_are_counted_by_kind() {
    let (registry, image) = fast_with_layer(10);
    let url = format!("{}/v2/{REPOSITORY}", registry.url());
    get(&format!("{}/v2/", registry.url())).await;
    let before = registry.counts();
    for _ in 0..2 {
        get(&format!("{url}/manifests/latest")).await;
    }
    client().head(format!("{url}/manifests/latest")).send().await.unwrap();
    for blob in image.blobs() {
        get(&format!("{url}/blobs/{}", blob.digest())).await;
    }
    let counts = registry.counts() - before;
    let kinds = counts.by_kind().filter(|(_, count)| *count > 0);
    let kinds: Vec<_> = kinds.map(|(kind, count)| (kind.name(), count)).collect();
    assert_eq!(kinds, [("manifest HEAD", 1), ("manifest GET", 2), ("blob GET", 2)]);
    assert_eq!((counts.total(), registry.counts().total()), (5, 6));
    assert_eq!((before.of(Kind::Ping), counts.of(Kind::Ping)), (1, 0));
}

#[tokio::test]
async fn all_files_are_listed_under_the_paths_of_their_requests() {
    let (registry, image) = fast_with_layer(10);
    let files = registry.files();
    assert_eq!(files.len(), 4);
    for (path, file) in files {
        let request = client().get(format!("{}{path}", registry.url())).header("accept", OCI_MANIFEST);
        let response = request.send().await.unwrap();
        assert_eq!(header(&response, "content-type"), file.media_type, "{path}");
        assert_eq!(response.bytes().await.unwrap(), file.content.to_vec(), "{path}");
    }
    let tag = &registry.files()[&format!("/v2/{REPOSITORY}/manifests/latest")];
    assert_eq!((tag.content.digest().as_str(), tag.media_type.as_str()), (image.digest(), OCI_MANIFEST));
}

#[tokio::test]
async fn a_pace_delays_responses_and_limits_their_rate() {
    let (registry, image) = fast_with_layer(1_000_000);
    let (latency, bytes_per_second) = (Duration::from_millis(100), Some(5_000_000));
    registry.set_pace(Pace { latency, bytes_per_second });
    let started = Instant::now();
    let blob = get(&format!("{}/v2/{REPOSITORY}/blobs/{}", registry.url(), image.layers()[0].digest())).await;
    assert!(started.elapsed() >= latency);
    assert_eq!(blob.bytes().await.unwrap(), image.layers()[0].bytes());
    assert!(started.elapsed() >= latency + Duration::from_millis(200));
}

#[tokio::test]
async fn tls_uses_the_certificate_that_is_given() {
    let [chain, key] = ["localhost.pem", "localhost.key.pem"].map(|name| Path::new(FIXTURE).join(name));
    let registry = FakeRegistry::fast(Some(Certificate { chain: &chain, key: &key })).unwrap();
    let image = Image::generated(7, &[3_000_000]);
    registry.push_image(REPOSITORY, "latest", &image);
    assert!(registry.url().starts_with("https://localhost:"));
    let authority = std::fs::read(Path::new(FIXTURE).join("authority.pem")).unwrap();
    let client = Client::builder().no_proxy().tls_certs_only([Authority::from_pem(&authority).unwrap()]);
    let client = client.build().unwrap();
    let layer = &image.layers()[0];
    let url = format!("{}/v2/{REPOSITORY}/blobs/{}", registry.url(), layer.digest());
    assert_eq!(client.get(url).send().await.unwrap().bytes().await.unwrap(), layer.bytes());
    let challenge = client.get(format!("{}/v2/", registry.url())).send().await.unwrap();
    assert!(header(&challenge, "www-authenticate").starts_with(r#"Bearer realm="https://localhost:"#));
}
