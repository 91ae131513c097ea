//! Interpretation of upstream's responses.

use std::time::Duration;

use dependency_proxy::domain::list_query::ListQuery;
use dependency_proxy::upstream::{ConnectionFailure, HttpFailure, RateLimit, UpstreamError};
use fake_registry::Kind;

use super::*;

#[tokio::test]
async fn statuses_are_told_apart() {
    let setup = Setup::new(10);
    let client = setup.client();
    let unknown = "misspelt".parse().unwrap();
    assert_eq!(error(client.manifest(&anonymous(), &unknown).await), UpstreamError::NotFound);
    let other = Origin { repository: "library/ngnix".parse().unwrap(), ..anonymous() };
    assert_eq!(error(client.manifest(&other, &latest()).await), DENIED);
    for (status, retryable) in [(500, true), (503, true), (408, true), (405, false), (400, false), (451, false)] {
        setup.hub.on(Kind::ManifestGet).times(2).status(status);
        let failed = error(client.manifest(&anonymous(), &latest()).await);
        let said = HttpFailure {
            status,
            code: Some("FAKED".into()),
            message: Some("as the test commanded".into()),
            retry_after: None,
        };
        let expected = if retryable { UpstreamError::ServerError(said) } else { UpstreamError::Refused(said) };
        assert_eq!((failed.is_retryable(), failed), (retryable, expected));
        setup.hub.behave();
    }
    setup.hub.on(Kind::ManifestGet).times(2).status(403);
    let denied = UpstreamError::Denied { message: Some("as the test commanded".into()) };
    assert_eq!(error(client.manifest(&anonymous(), &latest()).await), denied);
    assert!(client.manifest(&anonymous(), &latest()).await.is_ok());
}

#[tokio::test]
async fn the_pull_limit_is_read() {
    let setup = Setup::new(10);
    setup.hub.pulls_left(0);
    let limit = RateLimit {
        limit: Some(100),
        window: Some(Duration::from_secs(21_600)),
        retry_after: Some(Duration::from_secs(2820)),
    };
    let refused = error(setup.client().manifest(&anonymous(), &latest()).await);
    assert_eq!(refused, UpstreamError::RateLimited(limit));
}

#[tokio::test]
async fn a_page_is_no_manifest() {
    let setup = Setup::new(10);
    let client = setup.client();
    setup.hub.on(Kind::ManifestGet).times(1).html();
    let wrong = error(client.manifest(&anonymous(), &latest()).await);
    assert!(matches!(wrong, UpstreamError::InvalidResponse { .. }), "{wrong}");
    setup.hub.on(Kind::ManifestHead).times(1).digest_header("sha256:00");
    let head = client.head_manifest(&anonymous(), &latest()).await.unwrap();
    assert_eq!(head, ManifestHead::Open, "without a digest it does not tell what the tag stands for");
}

#[tokio::test]
async fn headers_that_no_client_minds_are_no_reason_to_refuse() {
    let setup = Setup::new(10);
    let client = setup.client();
    setup.hub.on(Kind::ManifestGet).times(1).content_type("application/json");
    setup.hub.on(Kind::ManifestGet).times(1).without_header("Content-Type");
    for _ in 0..2 {
        let content = client.manifest(&anonymous(), &latest()).await.unwrap();
        assert_eq!(content.head.media_type, None, "the document has one");
        assert_eq!(bytes(content).await.unwrap(), setup.image.bytes().as_ref());
    }
    for encoding in ["x-gzip", "aws-chunked", "binary", ""] {
        setup.hub.on(Kind::ManifestGet).times(1).header("Content-Encoding", encoding);
        setup.hub.on(Kind::BlobDownload).times(1).header("Content-Encoding", encoding);
        let manifest = client.manifest(&anonymous(), &latest()).await.unwrap();
        assert_eq!(bytes(manifest).await.unwrap(), setup.image.bytes().as_ref(), "{encoding}");
        let blob = client.blob(&anonymous(), &setup.layer(), 0).await.unwrap();
        assert_eq!(bytes(blob).await.unwrap(), setup.layer.bytes(), "{encoding}");
    }
}

fn failure(error: &UpstreamError) -> Option<ConnectionFailure> {
    if let UpstreamError::Unreachable { failure, .. } = error { Some(*failure) } else { None }
}

#[tokio::test]
async fn down_hanging_and_reset() {
    let setup = Setup::new(10);
    let options = with_connection(setup.options(), |options| options.header_timeout = Duration::from_millis(300));
    let client = client(options);
    setup.hub.on(Kind::ManifestHead).times(1).hang();
    assert_eq!(client.head_manifest(&anonymous(), &latest()).await, Ok(ManifestHead::TooSlow));
    setup.hub.on(Kind::ManifestGet).times(1).hang();
    assert_eq!(error(client.manifest(&anonymous(), &latest()).await), UpstreamError::TimedOut);
    setup.hub.on(Kind::ManifestGet).times(2).reset();
    let reset = error(client.manifest(&anonymous(), &latest()).await);
    assert_eq!(failure(&reset), Some(ConnectionFailure::Closed), "{reset}");
    setup.hub.down(Listener::Registry);
    let down = error(client.head_manifest(&anonymous(), &latest()).await);
    assert!(failure(&down) == Some(ConnectionFailure::Refused) && down.is_retryable(), "{down}");
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_unreachable() {
    let setup = Setup::new(10);
    let options = UpstreamOptions { url: "http://registry.invalid".parse().unwrap(), ..setup.options() };
    let unknown = error(client(options).head_manifest(&anonymous(), &latest()).await);
    assert_eq!(failure(&unknown), Some(ConnectionFailure::NameResolution), "{unknown}");
}

#[tokio::test]
async fn lists_come_page_by_page() {
    let setup = Setup::new(10);
    setup.hub.push_image(REPOSITORY, "3.20", &setup.image);
    let client = setup.client();
    let first: ListQuery = "n=1".parse().unwrap();
    let page = client.tags(&anonymous(), &first).await.unwrap();
    let second: ListQuery = "last=3.20&n=1".parse().unwrap();
    assert_eq!((page.media_type.as_str(), page.next.as_ref()), ("application/json", Some(&second)));
    let page = client.tags(&anonymous(), &second).await.unwrap();
    let tags: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
    assert_eq!((&tags["tags"], page.next), (&serde_json::json!(["latest"]), None));
    setup.hub.on(Kind::Tags).times(1).json(serde_json::json!({"tags": ["x".repeat(5 << 20)]}));
    assert_eq!(error(client.tags(&anonymous(), &second).await), UpstreamError::TooLong);
    setup.hub.on(Kind::Tags).times(1).html();
    assert!(matches!(error(client.tags(&anonymous(), &second).await), UpstreamError::InvalidResponse { .. }));
}

#[tokio::test]
async fn referrers_are_asked_for_by_type_and_may_be_unknown() {
    let setup = Setup::new(10);
    let client = setup.client();
    let subject = setup.image.digest().parse().unwrap();
    let query: ListQuery = "artifactType=test/sig".parse().unwrap();
    let page = client.referrers(&anonymous(), &subject, &query).await.unwrap();
    assert_eq!((page.media_type.as_str(), page.filters.as_deref()), (fake_registry::OCI_INDEX, Some("artifactType")));
    assert_eq!(setup.hub.requests().last().unwrap().parameter("artifactType"), Some("test/sig"));
    setup.hub.referrers_api(false);
    assert_eq!(error(client.referrers(&anonymous(), &subject, &query).await), UpstreamError::NotFound);
}

#[tokio::test]
async fn every_request_is_counted_by_kind_and_outcome() {
    let setup = Setup::new(10);
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let client =
        client(with_connection(setup.options(), |options| options.header_timeout = Duration::from_millis(300)));
    client.manifest(&anonymous(), &latest()).await.unwrap();
    client.blob(&anonymous(), &setup.layer(), 0).await.unwrap();
    setup.hub.on(Kind::ManifestHead).times(1).hang();
    assert_eq!(client.head_manifest(&anonymous(), &latest()).await, Ok(ManifestHead::TooSlow));
    let told = recorder.handle().render();
    for (kind, outcome) in [
        ("manifest", "unauthorized"),
        ("token", "ok"),
        ("manifest", "ok"),
        ("blob", "redirect"),
        ("blob", "ok"),
        ("manifest_head", "given_up"),
    ] {
        let labels = format!(r#"upstream="docker.io",kind="{kind}",outcome="{outcome}""#);
        let line = format!("dependency_proxy_upstream_requests_total{{{labels}}} 1\n");
        assert!(told.contains(&line), "{line} is not in {told}");
    }
}
