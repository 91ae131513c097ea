//! Blobs: redirected to a storage of their own, from an offset, and cut off.

use std::time::Duration;

use dependency_proxy::upstream::UpstreamError;
use fake_registry::Kind;
use futures::StreamExt;

use super::*;

#[tokio::test]
async fn a_blob_comes_from_the_cdn_which_sees_no_token() {
    let setup = Setup::new(100_003);
    let client = setup.client();
    let head = client.head_blob(&anonymous(), &setup.layer()).await.unwrap();
    assert_eq!(head.length, Some(100_003));
    let content = client.blob(&anonymous(), &setup.layer(), 0).await.unwrap();
    assert_eq!(content.head.length, Some(100_003));
    assert_eq!(bytes(content).await.unwrap(), setup.layer.bytes());
    let requests = setup.hub.requests();
    assert_eq!((requests.at(Listener::Storage), requests.token_requests()), (2, 1));
    assert!(requests.iter().filter(|it| it.listener == Listener::Storage).all(|it| it.authorization.is_none()));
}

#[tokio::test]
async fn the_rest_is_asked_for_and_has_the_length_of_the_whole() {
    let setup = Setup::new(100_003);
    for redirected in [true, false] {
        setup.hub.redirect_blobs(redirected);
        for honoured in [true, false] {
            setup.hub.honour_ranges(honoured);
            let content = setup.client().blob(&anonymous(), &setup.layer(), 99_999).await.unwrap();
            assert_eq!(content.head.length, Some(100_003));
            assert_eq!(bytes(content).await.unwrap(), &setup.layer.bytes()[99_999..]);
            assert_eq!(setup.hub.requests().last().unwrap().range.as_deref(), Some("bytes=99999-"));
        }
    }
}

#[tokio::test]
async fn another_range_than_the_one_asked_for_is_refused() {
    let setup = Setup::new(1000);
    let client = setup.client();
    setup.hub.on(Kind::BlobDownload).times(1).header("Content-Range", "bytes 400-999/1000");
    setup.hub.on(Kind::BlobDownload).times(1).without_header("Content-Range");
    for _ in 0..2 {
        assert_eq!(error(client.blob(&anonymous(), &setup.layer(), 500).await), UpstreamError::WrongRange);
    }
    assert_eq!(error(client.blob(&anonymous(), &setup.layer(), 1000).await), UpstreamError::WrongRange);
    setup.hub.honour_ranges(false);
    assert_eq!(error(client.blob(&anonymous(), &setup.layer(), 1001).await), UpstreamError::WrongRange);
}

#[tokio::test]
async fn a_bounded_range_is_requested_and_has_the_length_of_the_whole() {
    let setup = Setup::new(100_003);
    let client = setup.client();
    for redirected in [true, false] {
        setup.hub.redirect_blobs(redirected);
        let content = client.blob_range(&anonymous(), &setup.layer(), &(500..1500)).await.unwrap().unwrap();
        assert_eq!(content.head.length, Some(100_003));
        assert_eq!(bytes(content).await.unwrap(), &setup.layer.bytes()[500..1500]);
        assert_eq!(setup.hub.requests().last().unwrap().range.as_deref(), Some("bytes=500-1499"));
        setup.hub.on(Kind::BlobDownload).times(1).header("Content-Range", "bytes 500-1498/100003");
        let other = client.blob_range(&anonymous(), &setup.layer(), &(500..1500)).await.map(|_| ());
        assert_eq!(other, Err(UpstreamError::WrongRange));
        let beyond = client.blob_range(&anonymous(), &setup.layer(), &(100_003..100_004)).await.map(|_| ());
        assert_eq!(beyond, Err(UpstreamError::WrongRange));
    }
    setup.hub.honour_ranges(false);
    assert!(client.blob_range(&anonymous(), &setup.layer(), &(500..1500)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_download_that_is_cut_resumes_though_token_and_signature_are_over() {
    let setup = Setup::new(3_000_000);
    setup.hub.token_lifetime(Duration::from_secs(1));
    setup.hub.signed_url_lifetime(Duration::from_secs(1));
    setup.hub.on(Kind::BlobDownload).times(1).cut_after(1_000_000);
    let client = setup.client();
    let mut stream = client.blob(&anonymous(), &setup.layer(), 0).await.unwrap().stream;
    let mut received = Vec::new();
    let cut = loop {
        match stream.next().await.expect("a cut is an error, not an end") {
            Ok(bytes) => received.extend_from_slice(&bytes),
            Err(error) => break error,
        }
    };
    assert!(matches!(cut, UpstreamError::Interrupted { .. }) && cut.is_retryable(), "{cut}");
    assert!(stream.next().await.is_none());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    setup.hub.signed_url_lifetime(Duration::from_secs(60));
    setup.hub.token_lifetime(Duration::from_secs(60));
    let rest = client.blob(&anonymous(), &setup.layer(), received.len() as u64).await.unwrap();
    received.extend(bytes(rest).await.unwrap());
    assert_eq!(received, setup.layer.bytes());
    assert_eq!(setup.hub.requests().token_requests(), 2);
}

#[tokio::test]
async fn a_stall_ends_the_stream() {
    let setup = Setup::new(10_000);
    let client = client(with_connection(setup.options(), |options| options.idle_timeout = Duration::from_millis(200)));
    setup.hub.on(Kind::BlobDownload).times(1).hold_after(100);
    let stalled = client.blob(&anonymous(), &setup.layer(), 0).await.unwrap();
    assert!(matches!(error(bytes(stalled).await), UpstreamError::Interrupted { .. }));
}

#[tokio::test]
async fn a_refusal_by_the_storage_is_none_by_the_registry() {
    let setup = Setup::new(1000);
    setup.hub.signed_url_lifetime(Duration::ZERO);
    let refused = error(setup.client().blob(&anonymous(), &setup.layer(), 0).await);
    assert_eq!((refused.is_retryable(), refused), (true, UpstreamError::Storage { status: 403 }));
    let guess = Digest::from_bytes([9; 32]);
    assert_eq!(error(setup.client().head_blob(&anonymous(), &guess).await), UpstreamError::NotFound);
}

#[tokio::test]
async fn storage_that_knows_no_head_is_asked_for_the_first_byte() {
    let setup = Setup::new(1000);
    setup.hub.on(Kind::BlobHead).at(Listener::Storage).status(403);
    for honoured in [true, false] {
        setup.hub.honour_ranges(honoured);
        let head = setup.client().head_blob(&anonymous(), &setup.layer()).await.unwrap();
        assert_eq!(head.length, Some(1000));
        assert_eq!(setup.hub.requests().last().unwrap().range.as_deref(), Some("bytes=0-0"));
    }
    setup.hub.on(Kind::BlobDownload).status(403);
    let refused = error(setup.client().head_blob(&anonymous(), &setup.layer()).await);
    assert_eq!(refused, UpstreamError::Storage { status: 403 });
}
