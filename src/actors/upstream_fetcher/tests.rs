//! Unit tests of the UpstreamFetcher with requests that reach no registry.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use actix::prelude::*;

use super::*;
use crate::domain::origin::{Account, Origin};
use crate::domain::upstream::NetworkMode;
use crate::settings::Settings;
use crate::upstream::{Registry, UpstreamError};

/// A request with this outcome; a panic if there is none.
#[derive(Clone)]
struct Fake {
    origin: Origin,
    outcome: Option<Result<u8, UpstreamError>>,
    urgency: Urgency,
}

impl UpstreamRequest for Fake {
    type Response = u8;
    const NAME: &'static str = "fake";
    const POOL: Pool = Pool::Short;
    const KIND: ContentKind = ContentKind::Blobs;

    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn urgency(&self) -> Urgency {
        self.urgency
    }

    async fn send(self, _: Arc<Registry>) -> Result<u8, UpstreamError> {
        self.outcome.expect("this is the panic of the test")
    }
}

fn started() -> (Arbiter, UpstreamHandle) {
    let arbiter = Arbiter::new();
    let upstreams = Settings::load(None, []).unwrap().upstreams;
    let upstream =
        UpstreamHandle::start(upstreams.iter().cloned().collect(), NetworkMode::Online, &arbiter.handle()).unwrap();
    (arbiter, upstream)
}

fn fake(outcome: Option<Result<u8, UpstreamError>>) -> Fake {
    let upstream = "docker.io".parse().unwrap();
    let origin = Origin { upstream, account: Account::Anonymous, repository: "library/app".parse().unwrap() };
    Fake { origin, outcome, urgency: Urgency::Awaited }
}

#[actix_rt::test]
async fn a_panic_in_a_request_is_an_error_of_its_caller_alone() {
    let (arbiter, upstream) = started();
    let (boom, fine) = tokio::join!(upstream.send(fake(None)), upstream.send(fake(Some(Ok(7)))));
    assert_eq!((boom, fine), (Err(UpstreamError::Lost), Ok(7)));
    assert_eq!(upstream.send(fake(Some(Ok(8)))).await, Ok(8));
    arbiter.stop();
}

#[actix_rt::test]
async fn a_request_after_a_failure_is_spared_where_something_stale_can_stand_in_for_it() {
    let (arbiter, upstream) = started();
    let failure = UpstreamError::TimedOut;
    assert_eq!(upstream.send(fake(Some(Err(failure.clone())))).await, Err(failure.clone()));
    let optional = Fake { urgency: Urgency::Optional, ..fake(None) };
    assert_eq!(upstream.send(optional).await, Err(UpstreamError::InBackoff(Box::new(failure))));
    assert_eq!(upstream.send(fake(Some(Ok(7)))).await, Ok(7));
    let optional = Fake { urgency: Urgency::Optional, ..fake(Some(Ok(8))) };
    assert_eq!(upstream.send(optional).await, Ok(8));
    arbiter.stop();
}
