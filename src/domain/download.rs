//! The life of a download as a state machine: it is told what happened and says what to do next. Does no I/O, sees no
//! bytes and no clock; whoever drives it holds the stream, the file and the running hash.
//!
//! ```text
//! Ask -> (AskLength) -> Receive -> Write -> Receive -> ... -> Verify -> Commit -> End(Stored)
//!  ^                      |
//!  +---- interrupted -----+
//! ```
//!
//! Two promises hold for every sequence of events: [`Action::Commit`] follows only a digest that held, and
//! [`Download::readable`] never covers the last byte before that. An event that nobody asked for ends the download.

use std::time::Duration;

/// So many requests in a row may bring nothing new before a download is given up.
pub const MAX_FRUITLESS_TRIES: u32 = 5;

/// One download of one blob, from the first request to the committed file.
#[derive(Clone, Debug)]
pub struct Download {
    limits: Limits,
    length: Option<u64>,
    claimed: Option<u64>,
    by_claim: bool,
    answered: bool,
    written: u64,
    verified: bool,
    fruitless: u32,
    next: Action,
}

/// What is known of a blob's length before upstream delivers it, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// The length that upstream was seen to have: any other is an error.
    pub verified: Option<u64>,
    /// The length that a manifest claims. It counts where upstream tells none; the digest decides.
    pub claimed: Option<u64>,
}

/// How much may be stored, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest blob that is stored; `None`: any.
    pub max_length: Option<u64>,
    /// What the disk has left for blobs.
    pub room: u64,
}

/// What is to be done next. Each but [`Action::End`] is answered by one of the events named with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// After this pause ask upstream for the content from this byte on: [`Event::Answered`] or [`Event::Interrupted`].
    Ask {
        /// The first byte wanted.
        from: u64,
        /// How long to wait before asking.
        pause: Duration,
    },
    /// Ask upstream for the length alone, and keep the stream: [`Event::LengthTold`].
    AskLength,
    /// Take the next bytes of the stream: [`Event::Received`], [`Event::Ended`] or [`Event::Interrupted`].
    Receive,
    /// Hash and write what was received: [`Event::Written`] or [`Event::WriteFailed`].
    Write,
    /// Compare the hash with the digest: [`Event::Verified`].
    Verify,
    /// Make the file durable under its digest: [`Event::Committed`] or [`Event::CommitFailed`].
    Commit,
    /// Stop: this is the outcome.
    End(Outcome),
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Upstream delivers, and tells this length of the whole content.
    Answered(Option<u64>),
    /// The answer to the question for the length alone.
    LengthTold(Option<u64>),
    /// So many bytes arrived, at least one.
    Received(u64),
    /// The stream ended as if it were complete.
    Ended,
    /// The request or its stream failed; whether another request may help.
    Interrupted {
        /// Whether it is worth asking again.
        retryable: bool,
    },
    /// What was received is hashed and in the file.
    Written(u64),
    /// The file takes no more: the disk is full, or broken.
    WriteFailed,
    /// Whether the digest holds.
    Verified(bool),
    /// The file is durable under its digest.
    Committed,
    /// The file could not be made durable.
    CommitFailed,
}

/// How a download ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Verified and committed.
    Stored,
    /// Verified and readable by those who follow, but not committed.
    NotCommitted,
    /// Longer than what is stored, or than what the disk has room for; nothing was given out.
    Unstored(Unstored),
    /// The file takes no more than this many bytes; who follows goes on alone from there.
    Spilled {
        /// How many bytes are in the file, all of them hashed.
        at: u64,
    },
    /// Given up.
    Failed(Failure),
}

/// Why a blob is passed on without being stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unstored {
    /// It is longer than the configured limit.
    TooLong,
    /// The disk has no room for it.
    NoRoom,
    /// The store fails for another reason.
    StoreFailed,
}

impl Unstored {
    /// The label of a number.
    pub fn word(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::NoRoom => "no_room",
            Self::StoreFailed => "store_failed",
        }
    }
}

/// Why a download was given up. Nothing of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Upstream refused, or failed too often.
    Upstream,
    /// Upstream's content has another length than was promised.
    WrongLength {
        /// As the manifest, or upstream's first answer, has it.
        expected: u64,
        /// As upstream has it now.
        told: u64,
    },
    /// The content has another digest.
    WrongDigest,
    /// The driver reported what it was not asked for.
    OutOfOrder,
}

impl Download {
    /// A download of a blob of this length, as far as it is known. See [`Self::next`] for what to do first.
    pub fn new(expected: Expected, limits: Limits) -> Self {
        let Expected { verified: length, claimed } = expected;
        let mut download = Self {
            limits,
            length,
            claimed,
            by_claim: false,
            answered: false,
            written: 0,
            verified: false,
            fruitless: 0,
            next: Action::Ask { from: 0, pause: Duration::ZERO },
        };
        if let Some(reason) = download.limits.refuses(length.or(claimed).unwrap_or(0)) {
            download.next = Action::End(Outcome::Unstored(reason));
        }
        download
    }

    /// What is to be done next.
    pub fn next(&self) -> Action {
        self.next
    }

    /// How long the content is, once an asker may be told: upstream delivers it, and its end can be held back. `None` also
    /// where no one tells a length, until everything is here and verified; and once it is refused.
    pub fn announced(&self) -> Option<u64> {
        let refused = matches!(self.next, Action::End(Outcome::Unstored(_) | Outcome::Failed(_)));
        self.length.filter(|&length| !refused && (self.verified || (self.answered && length > 0)))
    }

    /// Whether the length is one that only a manifest claims: should the download fail, that may be why.
    pub fn relies_on_claim(&self) -> bool {
        self.by_claim
    }

    /// How many bytes, from the first on, may be given out.
    pub fn readable(&self) -> u64 {
        match self.length {
            Some(length) if self.verified => length,
            Some(length) => self.written.min(length.saturating_sub(1)),
            None => 0,
        }
    }

    /// Tells what happened; gives what to do next.
    pub fn on(&mut self, event: Event) -> Action {
        self.next = match (self.next, event) {
            (Action::Ask { .. }, Event::Answered(told)) => self.answered(told),
            (Action::AskLength, Event::LengthTold(told)) => self.length_told(told),
            (Action::Ask { .. } | Action::Receive, Event::Interrupted { retryable }) => self.interrupted(retryable),
            (Action::Receive, Event::Received(bytes)) => self.received(bytes),
            (Action::Receive, Event::Ended) => self.ended(),
            (Action::Write, Event::Written(bytes)) => self.wrote(bytes),
            (Action::Write, Event::WriteFailed) => Action::End(Outcome::Spilled { at: self.written }),
            (Action::Verify, Event::Verified(holds)) => self.verified(holds),
            (Action::Commit, Event::Committed) => Action::End(Outcome::Stored),
            (Action::Commit, Event::CommitFailed) => Action::End(Outcome::NotCommitted),
            (ended @ Action::End(_), _) => ended,
            _ => fail(Failure::OutOfOrder),
        };
        self.next
    }

    fn answered(&mut self, told: Option<u64>) -> Action {
        let first = !self.answered;
        self.answered = true;
        match (self.length, told) {
            (Some(expected), Some(told)) if expected != told => fail(Failure::WrongLength { expected, told }),
            (None, None) if first && self.claimed.is_some() => {
                self.by_claim = true;
                self.length_told(self.claimed)
            }
            (None, None) if first => Action::AskLength,
            (Some(_), _) => self.receive_or_verify(),
            (None, told) => self.length_told(told),
        }
    }

    fn length_told(&mut self, told: Option<u64>) -> Action {
        self.length = told;
        match (self.unstored(), told) {
            (Some(reason), _) => Action::End(Outcome::Unstored(reason)),
            (None, Some(told)) if told < self.written => fail(Failure::WrongLength { expected: self.written, told }),
            (None, _) => self.receive_or_verify(),
        }
    }

    fn received(&mut self, bytes: u64) -> Action {
        let total = self.written.saturating_add(bytes);
        match self.length {
            Some(expected) if total > expected => fail(Failure::WrongLength { expected, told: total }),
            Some(_) => Action::Write,
            None => match self.limits.refuses(total) {
                Some(reason) => Action::End(Outcome::Unstored(reason)),
                None => Action::Write,
            },
        }
    }

    fn wrote(&mut self, bytes: u64) -> Action {
        self.written = self.written.saturating_add(bytes);
        self.fruitless = 0;
        match self.length {
            Some(expected) if self.written > expected => fail(Failure::WrongLength { expected, told: self.written }),
            _ => self.receive_or_verify(),
        }
    }

    fn ended(&mut self) -> Action {
        match self.length {
            // Less than promised: cut on the way, whatever it looks like.
            Some(_) => self.interrupted(true),
            None => Action::Verify,
        }
    }

    fn interrupted(&mut self, retryable: bool) -> Action {
        self.fruitless += 1;
        if !retryable || self.fruitless >= MAX_FRUITLESS_TRIES {
            return fail(Failure::Upstream);
        }
        Action::Ask { from: self.written, pause: pause_before(self.fruitless) }
    }

    fn verified(&mut self, holds: bool) -> Action {
        if !holds {
            return fail(Failure::WrongDigest);
        }
        self.verified = true;
        self.length = Some(self.written);
        Action::Commit
    }

    fn receive_or_verify(&self) -> Action {
        if self.length == Some(self.written) { Action::Verify } else { Action::Receive }
    }

    fn unstored(&self) -> Option<Unstored> {
        self.limits.refuses(self.length.unwrap_or(0))
    }
}

impl Limits {
    fn refuses(&self, length: u64) -> Option<Unstored> {
        if self.max_length.is_some_and(|max| length > max) {
            Some(Unstored::TooLong)
        } else if self.room == 0 || length > self.room {
            Some(Unstored::NoRoom)
        } else {
            None
        }
    }
}

/// How long to wait before asking upstream again after so many fruitless tries: 100 ms, doubling up to 5 s.
pub fn pause_before(fruitless: u32) -> Duration {
    Duration::from_millis(100 << fruitless.clamp(1, 7).saturating_sub(1)).min(Duration::from_secs(5))
}

fn fail(failure: Failure) -> Action {
    Action::End(Outcome::Failed(failure))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOMY: Limits = Limits { max_length: None, room: u64::MAX };

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
        Download::new(Expected { verified: None, claimed: Some(length) }, ROOMY)
    }

    #[test]
    fn a_claimed_length_counts_where_upstream_tells_none() {
        let mut download = claiming(10);
        assert_eq!(download.on(Event::Answered(Some(12))), Action::Receive);
        assert_eq!((download.announced(), download.relies_on_claim()), (Some(12), false));
        let mut download = claiming(10);
        assert_eq!(download.on(Event::Answered(None)), Action::Receive);
        assert_eq!((download.announced(), download.relies_on_claim()), (Some(10), true));
        download.on(Event::Received(11));
        assert_eq!(download.next(), fail(Failure::WrongLength { expected: 10, told: 11 }));
        let small = Limits { max_length: Some(5), ..ROOMY };
        let long = Download::new(Expected { verified: None, claimed: Some(6) }, small);
        assert_eq!(long.next(), Action::End(Outcome::Unstored(Unstored::TooLong)));
    }

    fn arrived(bytes: u64) -> [Event; 2] {
        [Event::Received(bytes), Event::Written(bytes)]
    }

    #[test]
    fn a_download_holds_its_last_byte_until_the_digest_holds() {
        let mut download = Download::new(of(10), ROOMY);
        assert_eq!(download.announced(), None);
        assert_eq!(download.on(Event::Answered(Some(10))), Action::Receive);
        assert_eq!(download.announced(), Some(10));
        assert_eq!(download.on(Event::Received(10)), Action::Write);
        assert_eq!(download.on(Event::Written(10)), Action::Verify);
        assert_eq!(download.readable(), 9);
        assert_eq!(download.on(Event::Verified(true)), Action::Commit);
        assert_eq!(download.readable(), 10);
        assert_eq!(download.on(Event::Committed), Action::End(Outcome::Stored));
    }

    #[test]
    fn a_wrong_digest_gives_the_last_byte_to_nobody() {
        let download =
            run(Some(2), ROOMY, &[&[Event::Answered(None)], &arrived(2)[..], &[Event::Verified(false)]].concat());
        assert_eq!(download.next(), fail(Failure::WrongDigest));
        assert_eq!(download.readable(), 1);
    }

    #[test]
    fn an_upstream_length_that_differs_is_refused_before_anything_is_announced() {
        let download = run(Some(10), ROOMY, &[Event::Answered(Some(9))]);
        assert_eq!(download.next(), fail(Failure::WrongLength { expected: 10, told: 9 }));
        assert_eq!((download.announced(), download.readable()), (None, 0));
    }

    #[test]
    fn an_interrupted_download_goes_on_from_where_it_was() {
        let cut = Event::Interrupted { retryable: true };
        let mut download = run(Some(10), ROOMY, &[&[Event::Answered(Some(10))], &arrived(4)[..]].concat());
        assert_eq!(download.on(cut), Action::Ask { from: 4, pause: Duration::from_millis(100) });
        assert_eq!(download.on(Event::Answered(Some(10))), Action::Receive);
        assert_eq!(download.on(Event::Ended), Action::Ask { from: 4, pause: Duration::from_millis(200) });
        for _ in 2..MAX_FRUITLESS_TRIES {
            download.on(cut);
        }
        assert_eq!(download.next(), fail(Failure::Upstream));
    }

    #[test]
    fn without_any_length_nothing_is_announced_before_the_end() {
        let asked = run(None, ROOMY, &[Event::Answered(None)]);
        assert_eq!(asked.next(), Action::AskLength);
        let events = [&[Event::Answered(None), Event::LengthTold(None)], &arrived(3)[..]].concat();
        let mut download = run(None, ROOMY, &events);
        assert_eq!((download.announced(), download.readable()), (None, 0));
        assert_eq!(download.on(Event::Ended), Action::Verify);
        download.on(Event::Verified(true));
        assert_eq!((download.announced(), download.readable()), (Some(3), 3));
    }

    #[test]
    fn what_is_too_long_or_has_no_room_is_not_stored() {
        let small = Limits { max_length: Some(5), room: 3 };
        let long = Action::End(Outcome::Unstored(Unstored::TooLong));
        let no_room = Action::End(Outcome::Unstored(Unstored::NoRoom));
        assert_eq!(run(Some(6), small, &[]).next(), long);
        assert_eq!(run(None, small, &[Event::Answered(Some(6))]).next(), long);
        assert_eq!(run(None, small, &[Event::Answered(Some(4))]).next(), no_room);
        assert_eq!(run(None, Limits { room: 0, ..ROOMY }, &[]).next(), no_room);
        let endless = [Event::Answered(None), Event::LengthTold(None), Event::Received(6)];
        assert_eq!(run(None, small, &endless).next(), long);
    }

    #[test]
    fn a_full_disk_tells_from_where_others_go_on() {
        let full = [&[Event::Answered(Some(10))], &arrived(4)[..], &[Event::Received(4), Event::WriteFailed]].concat();
        assert_eq!(run(Some(10), ROOMY, &full).next(), Action::End(Outcome::Spilled { at: 4 }));
    }

    fn events() -> impl Strategy<Value = Event> {
        let small = 0..6_u64;
        prop_oneof![
            proptest::option::of(small.clone()).prop_map(Event::Answered),
            proptest::option::of(small.clone()).prop_map(Event::LengthTold),
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

    /// An event that answers this action, picked by `event` where there is a choice.
    fn answer(action: Action, event: Event, length: Option<u64>) -> Event {
        match (action, event) {
            (Action::Ask { .. }, Event::Received(_) | Event::Written(_)) => Event::Answered(length),
            (Action::AskLength, _) => Event::LengthTold(length),
            (Action::Receive, Event::Answered(_) | Event::Verified(_)) => Event::Received(1),
            (Action::Write, Event::Answered(_) | Event::Received(_)) => Event::Written(1),
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
            let mut download = Download::new(Expected { verified: length, claimed: None }, ROOMY);
            let (mut written, mut verified) = (0, false);
            for (event, honest) in script {
                let before = download.next();
                let event = if honest { answer(before, event, length) } else { event };
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
            let mut download = Download::new(of(5), ROOMY);
            for answered in cuts {
                if answered {
                    download.on(Event::Answered(Some(5)));
                }
                download.on(Event::Interrupted { retryable: true });
            }
            prop_assert!(matches!(download.next(), Action::End(Outcome::Failed(_))));
        }
    }
}
