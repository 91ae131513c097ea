//! The handle in front of the client: limits, refusals, and work that continues without the caller.

use std::num::NonZeroUsize;
use std::time::Duration;

use actix_rt::Arbiter;
use dependency_proxy::actors::upstream_fetcher::{GetBlob, GetManifest, HeadBlob, HeadManifest, UpstreamHandle};
use dependency_proxy::domain::id::GroupId;
use dependency_proxy::domain::upstream::NetworkMode;
use dependency_proxy::upstream::UpstreamError;
use fake_registry::Kind;

use super::*;

fn head_manifest() -> HeadManifest {
    HeadManifest { origin: anonymous(), reference: latest(), revalidation: None, group: GroupId(1) }
}

fn get_blob(setup: &Setup, from: u64) -> GetBlob {
    GetBlob { origin: anonymous(), digest: setup.layer(), from, granted: false }
}

fn start(options: UpstreamOptions) -> (Arbiter, UpstreamHandle) {
    let arbiter = Arbiter::new();
    let upstream = UpstreamHandle::start(vec![options], NetworkMode::Online, &arbiter.handle()).unwrap();
    (arbiter, upstream)
}

#[actix_rt::test]
async fn a_stream_is_read_on_another_thread_than_its_connection() {
    let setup = Setup::new(3_000_000);
    let (arbiter, upstream) = start(setup.options());
    let head = upstream.send(head_manifest()).await.unwrap();
    let content = upstream
        .send(GetManifest { origin: anonymous(), reference: latest(), group: GroupId(1), has_stale: false })
        .await
        .unwrap();
    assert_eq!(
        (head, bytes(content).await.unwrap().len()),
        (ManifestHead::Confirmed(head_of(&setup)), setup.image.bytes().len())
    );
    let content = upstream.send(get_blob(&setup, 5)).await.unwrap();
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
    let (arbiter, upstream) =
        start(with_connection(setup.options(), |options| options.max_concurrent = NonZeroUsize::MIN));
    setup.hub.on(Kind::BlobDownload).times(1).hold_after(10);
    let first = upstream.send(get_blob(&setup, 0)).await.unwrap();
    assert!(upstream.send(HeadBlob { group: None, origin: anonymous(), digest: setup.layer() }).await.is_ok());
    assert_eq!(error(upstream.send(get_blob(&setup, 0)).await), UpstreamError::Busy);
    drop(first);
    let next = upstream.send(get_blob(&setup, 0)).await.unwrap();
    assert_eq!(bytes(next).await.unwrap(), setup.layer.bytes());
    arbiter.stop();
}

#[actix_rt::test]
async fn an_asker_that_leaves_gives_its_turn_back() {
    let setup = Setup::new(10);
    let (arbiter, upstream) =
        start(with_connection(setup.options(), |options| options.max_concurrent = NonZeroUsize::MIN));
    setup.hub.on(Kind::ManifestHead).times(1).delay(Duration::from_millis(300));
    let left = tokio::time::timeout(Duration::from_millis(100), upstream.send(head_manifest()));
    assert!(left.await.is_err());
    assert!(upstream.send(head_manifest()).await.is_ok());
    let nowhere = Origin { upstream: "quay.io".parse().unwrap(), ..anonymous() };
    let nowhere = HeadManifest { origin: nowhere, ..head_manifest() };
    assert_eq!(error(upstream.send(nowhere).await), UpstreamError::NotConfigured);
    arbiter.stop();
}

#[actix_rt::test]
async fn a_fetcher_that_is_gone_answers_with_an_error() {
    let setup = Setup::new(10);
    let (arbiter, upstream) = start(setup.options());
    upstream.send(head_manifest()).await.unwrap();
    arbiter.stop();
    arbiter.join().unwrap();
    assert_eq!(error(upstream.send(head_manifest()).await), UpstreamError::Lost);
}
