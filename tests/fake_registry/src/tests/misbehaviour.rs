//! Faults of the registry, on command.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::Value;

use super::*;

#[tokio::test]
async fn rules_are_used_up_in_their_order_and_not_by_the_challenge() {
    let (registry, _) = registry_with_layer(10);
    registry.on(Kind::ManifestGet).times(1).status(503);
    registry.on(Kind::ManifestGet).times(1).too_many_requests(30);
    get(&format!("{}/v2/{REPOSITORY}/manifests/latest", registry.url())).await;
    let first = pull(&registry, "manifests/latest").await.unwrap();
    assert_eq!(first.status(), StatusCode::SERVICE_UNAVAILABLE);
    let second = pull(&registry, "manifests/latest").await.unwrap();
    assert_eq!((second.status().as_u16(), header(&second, "retry-after")), (429, "30"));
    assert_eq!(pull(&registry, "manifests/latest").await.unwrap().status(), StatusCode::OK);
    registry.on_anything().at(Listener::Registry).before_auth().status(500);
    assert_eq!(get(&format!("{}/v2/", registry.url())).await.status().as_u16(), 500);
    registry.behave();
    assert_eq!(get(&format!("{}/v2/", registry.url())).await.status().as_u16(), 401);
}

#[tokio::test]
async fn a_rule_may_name_a_repository_and_reference_and_skip_the_first() {
    let (registry, _) = registry_with_layer(10);
    registry.on(Kind::Tags).in_repository("library/other").status(500);
    registry.on(Kind::ManifestGet).for_reference("other").status(500);
    registry.on(Kind::Tags).after(1).times(1).html();
    let mut types = Vec::new();
    for _ in 0..3 {
        let answer = pull(&registry, "tags/list").await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        types.push(header(&answer, "content-type").to_owned());
    }
    assert_eq!(types, ["application/json", "text/html; charset=utf-8", "application/json"]);
    assert_eq!(pull(&registry, "manifests/latest").await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_download_is_cut_or_closed_where_commanded_and_then_resumes() {
    let (registry, layer) = registry_with_layer(3_000_000);
    registry.on(Kind::BlobDownload).times(1).cut_after(1_000_000);
    registry.on(Kind::BlobDownload).times(1).close_after(2_000_000);
    for expected in [1_000_000, 2_000_000] {
        let mut answer = download(&registry, &layer, None).await.unwrap();
        assert_eq!(header(&answer, "content-length"), "3000000");
        let mut received = 0;
        let end = loop {
            match answer.chunk().await {
                Ok(Some(bytes)) => received += bytes.len(),
                other => break other,
            }
        };
        assert!(end.is_err(), "a body that is cut is no whole body");
        assert_eq!(received, expected);
    }
    let rest = download(&registry, &layer, Some("bytes=2000000-")).await.unwrap();
    assert_eq!(rest.bytes().await.unwrap(), &layer.bytes()[2_000_000..]);
}

#[tokio::test]
async fn a_slow_body_takes_its_time_and_may_show_its_first_byte_at_once() {
    let (registry, layer) = registry_with_layer(20_000);
    registry.on(Kind::BlobDownload).times(1).slow(50_000);
    let started = Instant::now();
    let bytes = download(&registry, &layer, None).await.unwrap().bytes().await.unwrap();
    assert_eq!(bytes, layer.bytes());
    assert!(started.elapsed() >= Duration::from_millis(400));
    registry.on(Kind::BlobDownload).times(1).slow_after_first_byte(1);
    let mut answer = download(&registry, &layer, None).await.unwrap();
    let first = tokio::time::timeout(Duration::from_secs(1), answer.chunk()).await;
    assert_eq!(first.unwrap().unwrap().unwrap(), layer.bytes()[..1]);
    let second = tokio::time::timeout(Duration::from_millis(300), answer.chunk()).await;
    assert!(second.is_err(), "the second byte is due after two seconds");
}

#[tokio::test]
async fn a_held_body_waits_for_its_release() {
    let (registry, layer) = registry_with_layer(5000);
    registry.on(Kind::BlobDownload).times(1).hold_after(1000);
    let mut answer = download(&registry, &layer, None).await.unwrap();
    registry.seen(Kind::BlobDownload, 1).await;
    let mut received = answer.chunk().await.unwrap().unwrap().to_vec();
    let more = tokio::time::timeout(Duration::from_millis(200), answer.chunk()).await;
    assert!(more.is_err() && received.len() == 1000);
    registry.release();
    while let Some(bytes) = answer.chunk().await.unwrap() {
        received.extend_from_slice(&bytes);
    }
    assert_eq!(received, layer.bytes());
    registry.on(Kind::BlobDownload).times(1).delay(Duration::from_millis(200)).hold_after(0);
    let early = async {
        registry.seen(Kind::BlobDownload, 2).await;
        registry.release();
    };
    let (answer, ()) = tokio::join!(download(&registry, &layer, None), early);
    assert_eq!(answer.unwrap().bytes().await.unwrap(), layer.bytes());
}

#[tokio::test]
async fn bytes_and_lengths_are_wrong_where_commanded() {
    let (registry, layer) = registry_with_layer(1000);
    let body = async || download(&registry, &layer, None).await.unwrap().bytes().await;
    registry.on(Kind::BlobDownload).times(1).flip_byte(500);
    let flipped = body().await.unwrap();
    let wrong: Vec<usize> = (0..1000).filter(|&at| flipped[at] != layer.bytes()[at]).collect();
    assert_eq!(wrong, [500]);
    registry.on(Kind::BlobDownload).times(1).declared_length_off_by(10);
    assert!(body().await.is_err(), "ten bytes never come");
    registry.on(Kind::BlobDownload).times(1).declared_length_off_by(-10);
    assert_eq!(body().await.unwrap(), layer.bytes()[..990]);
    registry.on(Kind::BlobDownload).times(1).body_length_off_by(10);
    assert_eq!(body().await.unwrap().len(), 1010);
    registry.on(Kind::BlobDownload).times(1).body_length_off_by(-10);
    assert_eq!(body().await.unwrap(), layer.bytes()[..990]);
    registry.on(Kind::BlobDownload).times(1).without_content_length();
    assert_eq!(body().await.unwrap(), layer.bytes());
}

#[tokio::test]
async fn an_endless_body_goes_on_without_a_length() {
    let (registry, _) = registry_with_layer(10);
    registry.on(Kind::ManifestGet).endless_body();
    let mut answer = pull(&registry, "manifests/latest").await.unwrap();
    assert_eq!(header(&answer, "content-length"), "");
    let mut received = 0;
    while received < 10_000_000 {
        received += answer.chunk().await.unwrap().unwrap().len();
    }
}

#[tokio::test]
async fn headers_targets_and_manifests_lie_where_commanded() {
    let (registry, _) = registry_with_layer(10);
    let other = Image::single(&[Layer::random(10, 9)]);
    registry.on(Kind::ManifestGet).times(1).manifest_of(&other).digest_header("sha256:00");
    let answer = pull(&registry, "manifests/latest").await.unwrap();
    assert_eq!(header(&answer, "docker-content-digest"), "sha256:00");
    assert_eq!(answer.bytes().await.unwrap(), other.bytes());
    registry.on(Kind::ManifestGet).times(1).content_type("text/plain").without_header("ratelimit-limit");
    let answer = pull(&registry, "manifests/latest").await.unwrap();
    assert_eq!(header(&answer, "content-type"), "text/plain");
    assert_eq!(header(&answer, "ratelimit-limit"), "");
    registry.on(Kind::BlobRedirect).times(1).redirect_to("http://169.254.169.254/");
    let answer = pull(&registry, "blobs/sha256:00").await.unwrap();
    assert_eq!(header(&answer, "location"), "http://169.254.169.254/");
    registry.on(Kind::Token).times(1).json(serde_json::json!({"expires_in": 300}));
    let answer: Value = token_answer(&registry, None, REPOSITORY).await.json().await.unwrap();
    assert_eq!(answer["token"], Value::Null);
    registry.realm_at("http://10.0.0.1/token");
    let answer = get(&format!("{}/v2/", registry.url())).await;
    let challenge = r#"Bearer realm="http://10.0.0.1/token",service="registry.fake""#;
    assert_eq!(header(&answer, "www-authenticate"), challenge);
}

#[tokio::test]
async fn an_answer_is_late_or_never_comes_or_is_a_reset() {
    let (registry, _) = registry_with_layer(10);
    registry.on(Kind::Tags).times(1).delay(Duration::from_millis(200));
    let started = Instant::now();
    assert_eq!(pull(&registry, "tags/list").await.unwrap().status(), StatusCode::OK);
    assert!(started.elapsed() >= Duration::from_millis(200));
    registry.on(Kind::Tags).times(1).hang();
    let hanging = tokio::time::timeout(Duration::from_millis(300), pull(&registry, "tags/list")).await;
    assert!(hanging.is_err(), "no answer may come");
    registry.on(Kind::Tags).times(2).reset();
    assert!(pull(&registry, "tags/list").await.is_err(), "a reset is no answer");
}

#[tokio::test]
async fn a_listener_that_is_down_refuses_and_comes_back_on_its_port() {
    let (registry, layer) = registry_with_layer(1_000_000);
    registry.on(Kind::BlobDownload).times(1).hold_after(1000);
    let mut under_way = download(&registry, &layer, None).await.unwrap();
    under_way.chunk().await.unwrap();
    for listener in [Listener::Registry, Listener::Realm, Listener::Storage] {
        let url = format!("http://{}/", registry.host(listener));
        assert!(client().get(&url).send().await.is_ok());
        registry.down(listener);
        registry.down(listener);
        assert!(client().get(&url).send().await.unwrap_err().is_connect());
        registry.up(listener);
        assert!(client().get(&url).send().await.is_ok());
    }
    assert!(under_way.chunk().await.is_err(), "what was under way is gone");
}
