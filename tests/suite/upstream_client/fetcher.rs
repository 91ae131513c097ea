//! The handle in front of the client: limits, refusals, and work that continues without the caller.

use std::time::Duration;

use actix_rt::Arbiter;
use dependency_proxy::actors::upstream_fetcher::UpstreamHandle;
use dependency_proxy::upstream::UpstreamError;
use fake_registry::Kind;

use super::*;

fn start(options: UpstreamOptions) -> (Arbiter, UpstreamHandle) {
    let arbiter = Arbiter::new();
    let upstream = UpstreamHandle::start(vec![options], &arbiter.handle()).unwrap();
    (arbiter, upstream)
}

#[actix_rt::test]
async fn a_stream_is_read_on_another_thread_than_its_connection() {
    let setup = Setup::new(3_000_000);
    let (arbiter, upstream) = start(setup.options());
    let head = upstream.head_manifest(&anonymous(), &latest()).await.unwrap();
    let content = upstream.manifest(&anonymous(), &latest()).await.unwrap();
    assert_eq!(
        (head, bytes(content).await.unwrap().len()),
        (ManifestHead::Confirmed(head_of(&setup)), setup.image.bytes().len())
    );
    let content = upstream.blob(&anonymous(), &setup.layer(), 5).await.unwrap();
    assert_eq!(bytes(content).await.unwrap(), &setup.layer.bytes()[5..]);
    arbiter.stop();
}

fn head_of(setup: &Setup) -> ContentHead {
    ContentHead {
        media_type: Some(setup.image.media_type().to_owned()),
        length: Some(setup.image.bytes().len() as u64),
        digest: setup.image.digest().parse().ok(),
    }
}

#[actix_rt::test]
async fn downloads_wait_for_their_turn_and_questions_do_not_wait_for_them() {
    let setup = Setup::new(100_000);
    let (arbiter, upstream) = start(UpstreamOptions { max_concurrent: 1, ..setup.options() });
    setup.hub.on(Kind::BlobDownload).times(1).hold_after(10);
    let first = upstream.blob(&anonymous(), &setup.layer(), 0).await.unwrap();
    assert!(upstream.head_blob(&anonymous(), &setup.layer()).await.is_ok());
    assert_eq!(error(upstream.blob(&anonymous(), &setup.layer(), 0).await), UpstreamError::Busy);
    drop(first);
    let next = upstream.blob(&anonymous(), &setup.layer(), 0).await.unwrap();
    assert_eq!(bytes(next).await.unwrap(), setup.layer.bytes());
    arbiter.stop();
}

#[actix_rt::test]
async fn an_asker_that_leaves_gives_its_turn_back() {
    let setup = Setup::new(10);
    let (arbiter, upstream) = start(UpstreamOptions { max_concurrent: 1, ..setup.options() });
    setup.hub.on(Kind::ManifestHead).times(1).delay(Duration::from_millis(300));
    let (origin, reference) = (anonymous(), latest());
    let left = tokio::time::timeout(Duration::from_millis(100), upstream.head_manifest(&origin, &reference));
    assert!(left.await.is_err());
    assert!(upstream.head_manifest(&origin, &reference).await.is_ok());
    let nowhere = Origin { upstream: "quay.io".parse().unwrap(), ..anonymous() };
    assert_eq!(error(upstream.head_manifest(&nowhere, &reference).await), UpstreamError::NotConfigured);
    arbiter.stop();
}

#[actix_rt::test]
async fn a_fetcher_that_is_gone_answers_with_an_error() {
    let setup = Setup::new(10);
    let (arbiter, upstream) = start(setup.options());
    upstream.head_manifest(&anonymous(), &latest()).await.unwrap();
    arbiter.stop();
    arbiter.join().unwrap();
    assert_eq!(error(upstream.head_manifest(&anonymous(), &latest()).await), UpstreamError::Lost);
}
