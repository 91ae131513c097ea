//! Tests of the state machine, among them that no sequence of events commits what was not verified.

mod interleavings;

use proptest::prelude::*;

use super::*;
use crate::domain::retries::MAX_FRUITLESS_REQUESTS;

const UNLIMITED: Limits = Limits { max_length: None, group_quota: None, free_space: u64::MAX };

fn run(length: Option<u64>, limits: Limits, events: &[Event]) -> Download {
    let mut download = Download::new(Expected { verified: length, claimed: None }, limits);
    for &event in events {
        download.on(event);
    }
    download
}

fn of(length: u64) -> Expected {
    Expected { verified: Some(length), claimed: None }
}

fn claiming(length: u64) -> Download {
    Download::new(Expected { verified: None, claimed: Some(length) }, UNLIMITED)
}

#[test]
fn a_claimed_length_counts_where_upstream_reports_none() {
    let mut download = claiming(10);
    assert_eq!(download.on(Event::Responded(Some(12))), Action::Receive);
    assert_eq!((download.announced(), download.relies_on_claim()), (Some(12), false));
    let mut download = claiming(10);
    assert_eq!(download.on(Event::Responded(None)), Action::Receive);
    assert_eq!((download.announced(), download.relies_on_claim()), (Some(10), true));
    download.on(Event::Received(11));
    assert_eq!(download.next(), fail(Failure::WrongLength { expected: 10, reported: 11 }));
    let small = Limits { max_length: Some(5), ..UNLIMITED };
    let long = Download::new(Expected { verified: None, claimed: Some(6) }, small);
    assert_eq!(long.next(), Action::End(Outcome::Unstored(Unstored::TooLong)));
    let mut over_quota = Download::new(Expected::default(), Limits { group_quota: Some(5), ..UNLIMITED });
    over_quota.next();
    over_quota.on(Event::Responded(Some(6)));
    assert_eq!(over_quota.next(), Action::End(Outcome::Unstored(Unstored::OverGroupQuota)));
}

fn arrived(bytes: u64) -> [Event; 2] {
    [Event::Received(bytes), Event::Written(bytes)]
}

#[test]
fn a_download_holds_its_last_byte_until_the_digest_holds() {
    let mut download = Download::new(of(10), UNLIMITED);
    assert_eq!(download.announced(), None);
    assert_eq!(download.on(Event::Responded(Some(10))), Action::Receive);
    assert_eq!(download.announced(), Some(10));
    assert_eq!(download.on(Event::Received(10)), Action::Write);
    assert_eq!(download.on(Event::Written(10)), Action::Verify);
    assert_eq!(download.readable(), 9);
    assert_eq!(download.on(Event::Verified(true)), Action::Commit);
    assert_eq!(download.readable(), 10);
    assert_eq!(download.on(Event::Committed), Action::End(Outcome::Stored));
}

#[test]
fn a_wrong_digest_never_releases_the_last_byte() {
    let download =
        run(Some(2), UNLIMITED, &[&[Event::Responded(None)], &arrived(2)[..], &[Event::Verified(false)]].concat());
    assert_eq!(download.next(), fail(Failure::WrongDigest));
    assert_eq!(download.readable(), 1);
}

#[test]
fn an_upstream_length_that_differs_is_refused_before_anything_is_announced() {
    let download = run(Some(10), UNLIMITED, &[Event::Responded(Some(9))]);
    assert_eq!(download.next(), fail(Failure::WrongLength { expected: 10, reported: 9 }));
    assert_eq!((download.announced(), download.readable()), (None, 0));
}

#[test]
fn an_interrupted_download_goes_on_from_where_it_was() {
    let cut = Event::Interrupted { retryable: true };
    let mut download = run(Some(10), UNLIMITED, &[&[Event::Responded(Some(10))], &arrived(4)[..]].concat());
    assert_eq!(download.on(cut), Action::Request { from: 4, pause: Duration::from_millis(100) });
    assert_eq!(download.on(Event::Responded(Some(10))), Action::Receive);
    assert_eq!(download.on(Event::Ended), Action::Request { from: 4, pause: Duration::from_millis(200) });
    for _ in 2..MAX_FRUITLESS_REQUESTS {
        download.on(cut);
    }
    assert_eq!(download.next(), fail(Failure::Upstream));
}

#[test]
fn without_any_length_nothing_is_announced_before_the_end() {
    let started = run(None, UNLIMITED, &[Event::Responded(None)]);
    assert_eq!(started.next(), Action::RequestLength);
    let events = [&[Event::Responded(None), Event::LengthReported(None)], &arrived(3)[..]].concat();
    let mut download = run(None, UNLIMITED, &events);
    assert_eq!((download.announced(), download.readable()), (None, 0));
    assert_eq!(download.on(Event::Ended), Action::Verify);
    download.on(Event::Verified(true));
    assert_eq!((download.announced(), download.readable()), (Some(3), 3));
}

#[test]
fn what_is_too_long_or_has_no_room_is_not_stored() {
    let small = Limits { max_length: Some(5), free_space: 3, ..UNLIMITED };
    let long = Action::End(Outcome::Unstored(Unstored::TooLong));
    let no_room = Action::End(Outcome::Unstored(Unstored::NoSpace));
    assert_eq!(run(Some(6), small, &[]).next(), long);
    assert_eq!(run(None, small, &[Event::Responded(Some(6))]).next(), long);
    assert_eq!(run(None, small, &[Event::Responded(Some(4))]).next(), no_room);
    assert_eq!(run(None, Limits { free_space: 0, ..UNLIMITED }, &[]).next(), no_room);
    let endless = [Event::Responded(None), Event::LengthReported(None), Event::Received(6)];
    assert_eq!(run(None, small, &endless).next(), long);
}

#[test]
fn a_full_disk_reports_where_readers_continue() {
    let full = [&[Event::Responded(Some(10))], &arrived(4)[..], &[Event::Received(4), Event::WriteFailed]].concat();
    assert_eq!(run(Some(10), UNLIMITED, &full).next(), Action::End(Outcome::Spilled { at: 4 }));
}

fn events() -> impl Strategy<Value = Event> {
    let small = 0..6_u64;
    prop_oneof![
        proptest::option::of(small.clone()).prop_map(Event::Responded),
        proptest::option::of(small.clone()).prop_map(Event::LengthReported),
        small.clone().prop_map(Event::Received),
        small.prop_map(Event::Written),
        Just(Event::Ended),
        any::<bool>().prop_map(|retryable| Event::Interrupted { retryable }),
        Just(Event::WriteFailed),
        any::<bool>().prop_map(Event::Verified),
        Just(Event::Committed),
        Just(Event::CommitFailed),
    ]
}

/// Returns an event that belongs to this action, picked by `event` where there is a choice.
fn matching_event(action: Action, event: Event, length: Option<u64>) -> Event {
    match (action, event) {
        (Action::Request { .. }, Event::Received(_) | Event::Written(_)) => Event::Responded(length),
        (Action::RequestLength, _) => Event::LengthReported(length),
        (Action::Receive, Event::Responded(_) | Event::Verified(_)) => Event::Received(1),
        (Action::Write, Event::Responded(_) | Event::Received(_)) => Event::Written(1),
        (Action::Verify, Event::Received(_)) => Event::Verified(true),
        (Action::Verify, Event::Ended) => Event::Verified(false),
        (_, event) => event,
    }
}

proptest! {
    #[test]
    fn no_sequence_of_events_commits_or_gives_out_what_was_not_verified(
        length in proptest::option::of(0..6_u64),
        script in proptest::collection::vec((events(), any::<bool>()), 0..60),
    ) {
        let mut download = Download::new(Expected { verified: length, claimed: None }, UNLIMITED);
        let (mut written, mut verified) = (0, false);
        for (event, honest) in script {
            let before = download.next();
            let event = if honest { matching_event(before, event, length) } else { event };
            let after = download.on(event);
            if let (Action::Write, Event::Written(bytes)) = (before, event) {
                written += bytes;
            }
            verified |= before == Action::Verify && event == Event::Verified(true);
            prop_assert!(verified || !matches!(after, Action::Commit | Action::End(Outcome::Stored | Outcome::NotCommitted)));
            prop_assert!(download.readable() <= written);
            prop_assert!(verified || download.announced().or(length).is_none_or(|length| download.readable() < length || length == 0));
            if matches!(after, Action::End(Outcome::Unstored(_) | Outcome::Failed(_))) {
                prop_assert_eq!(download.announced(), None);
            }
            prop_assert!(!verified || download.readable() == written);
            if let Some(expected) = length {
                prop_assert!(download.announced().is_none_or(|announced| announced == expected));
                prop_assert!(!verified || written == expected);
            }
        }
    }

    #[test]
    fn every_download_ends_when_upstream_brings_nothing(cuts in proptest::collection::vec(any::<bool>(), 20..40)) {
        let mut download = Download::new(of(5), UNLIMITED);
        for responds in cuts {
            if responds {
                download.on(Event::Responded(Some(5)));
            }
            download.on(Event::Interrupted { retryable: true });
        }
        prop_assert!(matches!(download.next(), Action::End(Outcome::Failed(_))));
    }
}
