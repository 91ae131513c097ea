//! Manifests and blobs over HTTP: headers, `HEAD`, ranges, and unchanged bytes.

use fake_registry::{Image, Layer};
use reqwest::Method;

use super::{House, refusal, said};
use crate::service::{Answer, Client};

async fn ask(client: &Client, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = client.request(Method::from_bytes(method.as_bytes()).unwrap(), path);
    client.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

/// Headers that must be equal for `HEAD` and `GET`.
const EQUAL_HEADERS: [&str; 6] = [
    "content-type",
    "content-length",
    "docker-content-digest",
    "etag",
    "accept-ranges",
    "docker-distribution-api-version",
];

fn told(answer: &Answer) -> Vec<&str> {
    EQUAL_HEADERS.iter().map(|name| answer.header(name)).collect()
}

#[actix_rt::test]
async fn manifests_of_every_type_are_served_as_they_are() {
    let house = House::new().await;
    let amd64 = Image::single(&[Layer::random(500, 2)]);
    let list = Image::index(&[amd64.clone(), Image::single(&[Layer::random(500, 3)])]);
    let images = [amd64.clone(), amd64.clone().oci(), list.clone(), list.clone().oci()];
    let client = house.client.clone();
    for (number, image) in images.iter().enumerate() {
        let tag = format!("v{number}");
        house.hub.push_image("library/alpine", &tag, image);
        for reference in [tag.as_str(), image.digest()] {
            let path = format!("/v2/team/dependency_proxy/containers/alpine/manifests/{reference}");
            // First with only the headers known, then when it is fetched, then from the cache.
            let first = ask(&client, "HEAD", &path, &[]).await;
            let fetched = ask(&client, "GET", &path, &[]).await;
            let head = ask(&client, "HEAD", &path, &[]).await;
            let cached = ask(&client, "GET", &path, &[("accept", "text/html")]).await;
            for answer in [&first, &fetched, &head, &cached] {
                let quoted = format!("\"{}\"", image.digest());
                let (media_type, length) = (image.media_type(), image.bytes().len().to_string());
                let expected =
                    [media_type, length.as_str(), image.digest(), quoted.as_str(), "", "registry/2.0"].to_vec();
                assert_eq!((answer.status, told(answer)), (200, expected), "{reference}");
            }
            assert_eq!((&fetched.body, &cached.body), (image.bytes(), image.bytes()), "{reference}");
            assert!(first.body.is_empty() && head.body.is_empty());
        }
    }
}

#[actix_rt::test]
async fn no_answer_is_ever_compressed() {
    let house = House::new().await;
    let client = house.client.clone();
    let layer = &house.image.layers()[0];
    let home = "/v2/team/dependency_proxy/containers/alpine";
    for accepted in ["gzip", "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5", "identity;q=0, br", "*"] {
        for method in ["GET", "HEAD"] {
            let headers = [("accept-encoding", accepted)];
            let manifest = ask(&client, method, &format!("{home}/manifests/latest"), &headers).await;
            let blob = ask(&client, method, &format!("{home}/blobs/{}", layer.digest()), &headers).await;
            for answer in [&manifest, &blob] {
                assert_eq!((answer.status, answer.header("content-encoding")), (200, ""), "{method} {accepted}");
                assert!(!answer.header("content-length").is_empty(), "{method} {accepted}");
            }
            if method == "GET" {
                assert_eq!((&manifest.body, &blob.body[..]), (house.image.bytes(), &layer.bytes()[..]));
            }
        }
    }
}

#[actix_rt::test]
async fn head_of_a_blob_is_as_complete_as_get() {
    let house = House::new().await;
    let client = house.client.clone();
    let layer = &house.image.layers()[0];
    client.manifest("team", "alpine", "latest").await;
    let path = format!("/v2/team/dependency_proxy/containers/alpine/blobs/{}", layer.digest());
    let before = ask(&client, "HEAD", &path, &[]).await;
    let get = ask(&client, "GET", &path, &[]).await;
    let after = ask(&client, "HEAD", &path, &[("range", "bytes=5-9")]).await;
    let quoted = format!("\"{}\"", layer.digest());
    let expected = ["application/octet-stream", "10000", layer.digest(), quoted.as_str(), "bytes", "registry/2.0"];
    for answer in [&before, &get, &after] {
        assert_eq!((answer.status, told(answer)), (200, expected.to_vec()));
    }
    assert!(before.body.is_empty() && after.body.is_empty());
    assert_eq!(get.body, layer.bytes());
}

#[actix_rt::test]
async fn ranges_of_a_blob_are_served_cold_and_cached() {
    let house = House::new().await;
    let client = house.client.clone();
    let bytes = house.image.layers()[0].bytes();
    let digest = house.image.layers()[0].digest();
    client.manifest("team", "alpine", "latest").await;
    let path = format!("/v2/team/dependency_proxy/containers/alpine/blobs/{digest}");
    let (same, other) = (format!("\"{digest}\""), "\"sha256:0\"".to_owned());
    for (range, if_range, part) in [
        ("bytes=9000-", None, Some(9000..10_000)),
        ("bytes=0-", None, Some(0..10_000)),
        ("bytes=0-0", None, Some(0..1)),
        ("bytes=100-199", None, Some(100..200)),
        ("bytes=9990-20000", None, Some(9990..10_000)),
        ("bytes=-10", None, Some(9990..10_000)),
        ("bytes=5-9", Some(&same), Some(5..10)),
        ("bytes=5-9", Some(&other), None),
        ("bytes=5-9,0-1", Some(&other), None),
        ("lines=1-2", None, None),
    ] {
        let mut headers = vec![("range", range)];
        headers.extend(if_range.map(|tag| ("if-range", tag.as_str())));
        let answer = ask(&client, "GET", &path, &headers).await;
        let (status, content_range) = match &part {
            Some(part) => (206, format!("bytes {}-{}/10000", part.start, part.end - 1)),
            None => (200, String::new()),
        };
        let part = part.unwrap_or(0..10_000);
        assert_eq!((answer.status, answer.header("content-range")), (status, content_range.as_str()), "{range}");
        assert_eq!(answer.header("content-length"), part.len().to_string(), "{range}");
        assert_eq!(answer.body, bytes[part], "{range}");
    }
    assert_eq!(house.hub.requests().blob_downloads(digest), 1, "all from one download");
    let beyond = ask(&client, "GET", &path, &[("range", "bytes=10000-")]).await;
    let sentence = "The range begins beyond the end: there are 10000 bytes";
    assert_eq!(said(&beyond), refusal(416, "RANGE_INVALID", sentence));
    assert_eq!(beyond.header("content-range"), "bytes */10000");
    for malformed in ["bytes=5-3", "bytes=a-b", "bytes=-"] {
        let answer = ask(&client, "GET", &path, &[("range", malformed)]).await;
        let sentence = "The range is malformed; one of this form is bytes=0-99";
        assert_eq!(said(&answer), refusal(400, "RANGE_INVALID", sentence), "{malformed}");
    }
}

#[actix_rt::test]
async fn every_answer_is_counted_by_route_and_status_and_nothing_else() {
    let house = House::new().await;
    let client = house.client.clone();
    client.manifest("team", "alpine", "latest").await;
    client.blob("team", "alpine", house.image.layers()[0].digest()).await;
    client.manifest("missing", "alpine", "latest").await;
    client.get("/v2/alpine/manifests/latest").await;
    house.service.stranger().get("/v2/").await;
    let metrics =
        reqwest::get(format!("http://{}/metrics", house.service.metrics)).await.unwrap().text().await.unwrap();
    let count = |route: &str, status: u16| {
        let line = format!("dependency_proxy_http_requests_total{{route=\"{route}\",status=\"{status}\"}} ");
        metrics.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
    };
    let counted = [("token", 200), ("manifest", 200), ("manifest", 403), ("blob", 200), ("base", 401), ("api", 201)];
    assert_eq!(counted.map(|(route, status)| count(route, status)), [1, 1, 2, 1, 1, 4], "{metrics}");
    for secret in ["alpine", "missing", "alice", &house.ci.username] {
        assert!(!metrics.contains(secret), "{secret}");
    }
}
