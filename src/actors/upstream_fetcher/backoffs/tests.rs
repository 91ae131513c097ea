//! Tests of the backoffs: which requests a failure of one spares.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use super::*;
use crate::upstream::{HttpFailure, RealmError};

fn origin(repository: &str) -> Origin {
    let upstream = "docker.io".parse().unwrap();
    Origin { upstream, account: Account::Anonymous, repository: repository.parse().unwrap() }
}

fn robot(repository: &str) -> Origin {
    Origin { account: Account::Username("robot".into()), ..origin(repository) }
}

fn tries(backoffs: &mut Backoffs, origin: &Origin, now: Instant) -> bool {
    backoffs.refuses(origin, Urgency::Optional, now).is_none()
}

fn failed(error: UpstreamError) -> Verdict {
    Verdict::Failed(error)
}

fn server_error() -> Verdict {
    failed(UpstreamError::ServerError(HttpFailure { status: 500, code: None, message: None, retry_after: None }))
}

#[test]
fn what_cannot_be_reached_is_spared_as_a_whole() {
    let (mut backoffs, now) = (Backoffs::default(), Instant::now());
    backoffs.learn(&origin("a"), &failed(UpstreamError::TimedOut), now);
    assert!([origin("a"), origin("b"), robot("a")].iter().all(|origin| !tries(&mut backoffs, origin, now)));
    backoffs.learn(&origin("b"), &Verdict::Works, now);
    assert!([origin("a"), origin("b"), robot("a")].iter().all(|origin| tries(&mut backoffs, origin, now)));
}

#[test]
fn a_refused_login_is_held_against_its_account_alone() {
    let (mut backoffs, now) = (Backoffs::default(), Instant::now());
    let refused = UpstreamError::TokenRealm(RealmError::Refused { status: 401, message: None });
    backoffs.learn(&robot("a"), &failed(refused.clone()), now);
    assert_eq!(backoffs.refuses(&robot("b"), Urgency::Optional, now), Some(refused), "with the error");
    assert!(!tries(&mut backoffs, &robot("b"), now) && tries(&mut backoffs, &origin("b"), now));
}

#[test]
fn a_wrong_response_is_held_against_its_repository_alone() {
    let (mut backoffs, now) = (Backoffs::default(), Instant::now());
    let wrong = failed(UpstreamError::InvalidResponse { what: "a page" });
    for repository in ["a", "b"] {
        backoffs.learn(&origin(repository), &wrong, now);
    }
    assert!(!tries(&mut backoffs, &origin("a"), now) && tries(&mut backoffs, &origin("c"), now));
}

#[test]
fn a_server_error_is_held_against_its_repository_until_a_second_one_fails() {
    let (mut backoffs, now) = (Backoffs::default(), Instant::now());
    for _ in 0..3 {
        backoffs.learn(&origin("a"), &server_error(), now);
    }
    assert!(!tries(&mut backoffs, &origin("a"), now) && tries(&mut backoffs, &origin("c"), now));
    backoffs.learn(&origin("b"), &server_error(), now);
    assert!(!tries(&mut backoffs, &origin("c"), now));
}

#[test]
fn two_bad_repositories_do_not_stop_an_upstream_that_works() {
    let (mut backoffs, now) = (Backoffs::default(), Instant::now());
    for _ in 0..3 {
        backoffs.learn(&origin("a"), &server_error(), now);
        backoffs.learn(&origin("c"), &Verdict::Works, now);
        backoffs.learn(&origin("b"), &server_error(), now);
        backoffs.learn(&origin("c"), &Verdict::Works, now);
    }
    assert!(!tries(&mut backoffs, &origin("a"), now) && tries(&mut backoffs, &origin("c"), now));
}

#[test]
fn a_final_refusal_shows_that_upstream_works() {
    let (mut backoffs, now) = (Backoffs::default(), Instant::now());
    backoffs.learn(&origin("a"), &failed(UpstreamError::TimedOut), now);
    backoffs.learn(
        &origin("b"),
        &failed(UpstreamError::Refused(HttpFailure { status: 405, code: None, message: None, retry_after: None })),
        now,
    );
    assert!(tries(&mut backoffs, &origin("a"), now));
}

#[test]
fn what_a_client_waits_for_is_refused_once_the_upstream_or_account_has_failed_several_times_in_a_row() {
    let (mut backoffs, mut now) = (Backoffs::default(), Instant::now());
    let refuses = |backoffs: &mut Backoffs, urgency, now| backoffs.refuses(&origin("a"), urgency, now).is_some();
    for is_refused in [false, false, true] {
        backoffs.learn(&origin("b"), &failed(UpstreamError::TimedOut), now);
        assert_eq!(refuses(&mut backoffs, Urgency::Awaited, now), is_refused);
        assert!(refuses(&mut backoffs, Urgency::Optional, now) && !refuses(&mut backoffs, Urgency::Continuing, now));
        now += Duration::from_secs(30);
    }
    assert!(!refuses(&mut backoffs, Urgency::Awaited, now), "after a while it is tried again");
    backoffs.learn(&origin("c"), &Verdict::Works, now);
    for _ in 0..5 {
        backoffs.learn(&origin("a"), &failed(UpstreamError::InvalidResponse { what: "a page" }), now);
        assert!(!refuses(&mut backoffs, Urgency::Awaited, now), "failures of a repository alone refuse nothing");
        now += Duration::from_secs(30);
    }
}
