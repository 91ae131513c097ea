//! Content that upstream cannot or does not serve: the status, the message and, for a 5xx, the reason phrase, which
//! is all that docker, podman and ctr show of it.

use fake_registry::{Kind, Listener};

use super::raw::{exchange, request};
use super::{House, denied, refusal, said, served};

const HOME: &str = "/v2/team/dependency_proxy/containers";

/// Checks all parts of a 503 that a client may see.
async fn is_unavailable(house: &House, path: &str, sentence: &str, reason: &'static str) {
    let client = house.client.clone();
    let answer = client.get(&format!("{HOME}/{path}")).await;
    assert_eq!(said(&answer), refusal(503, "UNAVAILABLE", sentence));
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=3600).contains(&wait), "{wait}");
    let basic = client.with_basic(&house.ci.username, &house.ci.secret).authorization().to_owned();
    for method in ["GET", "HEAD"] {
        let bytes = request(method, &format!("{HOME}/{path}"), &[("Authorization", &basic)]);
        let address = house.service.address;
        let raw = actix_rt::task::spawn_blocking(move || exchange(address, &bytes)).await.unwrap().unwrap();
        assert_eq!((raw.status, raw.reason.as_str()), (503, reason), "{method}");
        assert_eq!(raw.header("retry-after").len(), 1, "{method}");
        assert_eq!(raw.body.is_empty(), method == "HEAD");
    }
}

#[actix_rt::test]
async fn a_misspelt_or_private_image_is_named() {
    let house = House::new().await;
    let client = house.client.clone();
    let sentence = "docker.io has no 'library/ngnix', or it is private (requested without credentials)";
    let missing = format!("{HOME}/ngnix/blobs/{}", house.image.layers()[0].digest());
    assert_eq!(said(&client.manifest("team", "ngnix", "latest").await), denied(sentence));
    assert_eq!(said(&client.get(&missing).await), denied(sentence));
    let unknown = refusal(404, "MANIFEST_UNKNOWN", "docker.io has no alpine:missing");
    assert_eq!(said(&client.manifest("team", "alpine", "missing").await), unknown);
    let zeros = format!("sha256:{}", "0".repeat(64));
    let unknown = refusal(404, "MANIFEST_UNKNOWN", &format!("docker.io has no alpine@{zeros}"));
    assert_eq!(said(&client.manifest("team", "alpine", &zeros).await), unknown);
    let unknown = refusal(404, "BLOB_UNKNOWN", &format!("docker.io has no blob alpine@{zeros}"));
    assert_eq!(said(&client.blob("team", "alpine", &zeros).await), unknown);
    house.hub.require_auth(false);
    let (status, code, sentence) = said(&client.manifest("team", "ngnix", "1").await);
    assert_eq!((status, code.as_str(), sentence.as_str()), (404, "MANIFEST_UNKNOWN", "docker.io has no ngnix:1"));
}

#[actix_rt::test]
async fn a_private_image_is_named_with_the_account_that_was_used() {
    let house = House::with("username = \"robot\"\npassword = \"robots-password\"").await;
    house.hub.add_account("robot", "robots-password", &[]);
    house.hub.add_account("owner", "x", &["acme/app"]);
    house.hub.push_image("acme/app", "latest", &house.image);
    let answer = house.client.clone().manifest("team", "acme/app", "latest").await;
    assert_eq!(said(&answer), denied("docker.io has no 'acme/app', or it is private (requested as robot)"));
}

#[actix_rt::test]
async fn an_upstream_that_is_down_is_503_and_what_is_cached_goes_on() {
    let house = House::new().await;
    let client = house.client.clone();
    let layer = house.image.layers()[0].digest();
    for answer in [client.manifest("team", "alpine", "latest").await, client.blob("team", "alpine", layer).await] {
        assert_eq!(said(&answer), served());
    }
    house.hub.down(Listener::Registry);
    let reason = "Upstream registry refuses connections and this is not cached here yet";
    let sentence = "docker.io cannot be reached (it refused the connection) and postgres:17 is not cached here yet";
    is_unavailable(&house, "postgres/manifests/17", sentence, reason).await;
    let config = house.image.config().unwrap().digest();
    let sentence = format!(
        "docker.io cannot be reached (it refused the connection) and blob postgres@{config} is not cached here yet"
    );
    is_unavailable(&house, &format!("postgres/blobs/{config}"), &sentence, reason).await;
    assert_eq!(said(&client.manifest("team", "alpine", "latest").await), served());
    assert_eq!(said(&client.blob("team", "alpine", layer).await), served());
}

#[actix_rt::test]
async fn an_upstream_that_fails_is_503() {
    let house = House::new().await;
    let reason = "Upstream registry is out of order and this is not cached here yet";
    for status in [500, 502, 503] {
        house.hub.on_anything().at(Listener::Registry).status(status);
        let said = format!("HTTP status {status}: \"as the test commanded\"");
        let sentence = format!("docker.io is out of order ({said}) and alpine:latest is not cached here yet");
        is_unavailable(&house, "alpine/manifests/latest", &sentence, reason).await;
        house.hub.behave();
    }
}

#[actix_rt::test]
async fn upstreams_limit_is_told_with_its_numbers() {
    let house = House::new().await;
    house.hub.push_image("library/postgres", "17", &house.image);
    house.hub.pulls_left(0);
    let client = house.client.clone();
    let answer = client.manifest("team", "postgres", "17").await;
    let sentence =
        "docker.io's pull limit is reached (100 per 6 h, more in 47 min) and postgres:17 is not cached here yet";
    assert_eq!(said(&answer), refusal(503, "UNAVAILABLE", sentence));
    assert_eq!(answer.header("retry-after"), "2820");
    assert_eq!(house.hub.requests().of(Kind::ManifestGet), 1, "so long a wait is not waited");
}

#[actix_rt::test]
async fn a_short_limit_is_waited_for() {
    let house = House::new().await;
    house.hub.on(Kind::ManifestGet).times(2).too_many_requests(1);
    let answer = house.client.clone().manifest("team", "alpine", "latest").await;
    assert_eq!(said(&answer), served());
    assert_eq!(house.hub.requests().of(Kind::ManifestGet), 3);
}
