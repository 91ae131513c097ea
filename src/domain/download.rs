//! The download of a blob as a state machine: it receives events and returns the next action. Does no I/O, sees no
//! bytes and reads no clock; its driver holds the stream, the file and the running hash.
//!
//! ```text
//! Request -> (RequestLength) -> Receive -> Write -> Receive -> ... -> Verify -> Commit -> End(Stored)
//!    ^                             |
//!    +-------- interrupted --------+
//! ```
//!
//! Two invariants hold for every sequence of events: [`Action::Commit`] follows only after the digest was verified,
//! and [`Download::readable`] does not include the last byte before that. An event that does not belong to the
//! current action ends the download.
//!
//! Two tests run seeded orders of events: `tests::interleavings` around this machine alone, and
//! `actors::blob_cache::handle::tests::interleavings` around the whole cache of blobs. The second prints the seed and
//! the trace of an order that violates something.

mod outcome;

use std::time::Duration;

pub use self::outcome::{Failure, Outcome, Unstored};
use super::retries::Retries;

/// One download of one blob, from the first request to the committed file.
#[derive(Clone, Debug)]
pub struct Download {
    limits: Limits,
    length: Option<u64>,
    claimed: Option<u64>,
    by_claim: bool,
    has_response: bool,
    written: u64,
    verified: bool,
    retries: Retries,
    next: Action,
}

/// The length of a blob in bytes, as far as it is known before upstream delivers the content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// The length that upstream has reported before; any other is an error.
    pub verified: Option<u64>,
    /// The length that a manifest claims. It is used only if upstream reports none; the digest decides.
    pub claimed: Option<u64>,
}

/// The limits on what is stored, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum length of a blob that is stored; `None`: no maximum.
    pub max_length: Option<u64>,
    /// Maximum size of all that the group caches for which it is downloaded; `None`: no maximum.
    pub group_quota: Option<u64>,
    /// The space that is left for blobs on the disk.
    pub free_space: u64,
}

/// The next action of the driver. For each, except [`Action::End`], the driver reports one of the events that are
/// named with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Wait for the pause, then request the content from upstream: [`Event::Responded`] or [`Event::Interrupted`].
    Request {
        /// The offset of the first byte to request.
        from: u64,
        /// The time to wait before the request, without jitter.
        pause: Duration,
    },
    /// Request the length alone from upstream, and keep the stream open: [`Event::LengthReported`].
    RequestLength,
    /// Read the next bytes of the stream: [`Event::Received`], [`Event::Ended`] or [`Event::Interrupted`].
    Receive,
    /// Write the received bytes, and hash them: [`Event::Written`] or [`Event::WriteFailed`].
    Write,
    /// Compare the hash of all bytes with the digest: [`Event::Verified`].
    Verify,
    /// Make the file durable under its digest: [`Event::Committed`] or [`Event::CommitFailed`].
    Commit,
    /// Stop; this is the outcome.
    End(Outcome),
}

/// An event that the driver reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Upstream has begun to deliver the content and reported this length of the whole.
    Responded(Option<u64>),
    /// The length that upstream reported in response to [`Action::RequestLength`]; `None` if it reported none.
    LengthReported(Option<u64>),
    /// This number of bytes has arrived, at least one.
    Received(u64),
    /// The stream ended as if it were complete.
    Ended,
    /// The request or its stream failed.
    Interrupted {
        /// True if another request may succeed.
        retryable: bool,
    },
    /// This number of received bytes is in the file.
    Written(u64),
    /// The file could not be written: the disk is full or faulty.
    WriteFailed,
    /// The digest was compared; true if it matches.
    Verified(bool),
    /// The file is durable under its digest.
    Committed,
    /// The file could not be made durable.
    CommitFailed,
}

impl Download {
    /// Starts a download of a blob of this length, as far as it is known. [`Self::next`] returns the first action.
    pub fn new(expected: Expected, limits: Limits) -> Self {
        let Expected { verified: length, claimed } = expected;
        let mut download = Self {
            limits,
            length,
            claimed,
            by_claim: false,
            has_response: false,
            written: 0,
            verified: false,
            retries: Retries::default(),
            next: Action::Request { from: 0, pause: Duration::ZERO },
        };
        if let Some(reason) = download.limits.refuses(length.or(claimed).unwrap_or(0)) {
            download.next = Action::End(Outcome::Unstored(reason));
        }
        download
    }

    /// Returns the next action.
    pub fn next(&self) -> Action {
        self.next
    }

    /// Returns the length of the content once it may be sent to clients: upstream delivers the content, and its last
    /// byte can be held back. Returns `None` while no length is known, until all content is here and verified, and
    /// after the blob is refused.
    pub fn announced(&self) -> Option<u64> {
        let refused = matches!(self.next, Action::End(Outcome::Unstored(_) | Outcome::Failed(_)));
        self.length.filter(|&length| !refused && (self.verified || (self.has_response && length > 0)))
    }

    /// Returns true if the length is only a manifest's claim. If the download fails, a wrong claim may be the reason.
    pub fn relies_on_claim(&self) -> bool {
        self.by_claim
    }

    /// Returns the number of bytes, from the first on, that may be sent to clients.
    pub fn readable(&self) -> u64 {
        match self.length {
            Some(length) if self.verified => length,
            // The last byte is held back until the digest is verified, so that a wrong blob is never complete at a
            // client.
            Some(length) => self.written.min(length.saturating_sub(1)),
            None => 0,
        }
    }

    /// Handles an event; returns the next action.
    pub fn on(&mut self, event: Event) -> Action {
        self.next = match (self.next, event) {
            (Action::Request { .. }, Event::Responded(reported)) => self.on_response(reported),
            (Action::RequestLength, Event::LengthReported(reported)) => self.on_length(reported),
            (Action::Request { .. } | Action::Receive, Event::Interrupted { retryable }) => self.interrupted(retryable),
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

    fn on_response(&mut self, reported: Option<u64>) -> Action {
        let first = !self.has_response;
        self.has_response = true;
        match (self.length, reported) {
            (Some(expected), Some(reported)) if expected != reported => {
                fail(Failure::WrongLength { expected, reported })
            }
            (None, None) if first && self.claimed.is_some() => {
                self.by_claim = true;
                self.on_length(self.claimed)
            }
            (None, None) if first => Action::RequestLength,
            (Some(_), _) => self.receive_or_verify(),
            (None, reported) => self.on_length(reported),
        }
    }

    fn on_length(&mut self, reported: Option<u64>) -> Action {
        self.length = reported;
        match (self.unstored(), reported) {
            (Some(reason), _) => Action::End(Outcome::Unstored(reason)),
            // Without a length at first, bytes may have been written already; fewer than those cannot be the whole.
            (None, Some(reported)) if reported < self.written => {
                fail(Failure::WrongLength { expected: self.written, reported })
            }
            (None, _) => self.receive_or_verify(),
        }
    }

    fn received(&mut self, bytes: u64) -> Action {
        let total = self.written.saturating_add(bytes);
        match self.length {
            Some(expected) if total > expected => fail(Failure::WrongLength { expected, reported: total }),
            Some(_) => Action::Write,
            None => match self.limits.refuses(total) {
                Some(reason) => Action::End(Outcome::Unstored(reason)),
                None => Action::Write,
            },
        }
    }

    fn wrote(&mut self, bytes: u64) -> Action {
        self.written = self.written.saturating_add(bytes);
        self.retries.progressed();
        match self.length {
            Some(expected) if self.written > expected => {
                fail(Failure::WrongLength { expected, reported: self.written })
            }
            _ => self.receive_or_verify(),
        }
    }

    fn ended(&mut self) -> Action {
        match self.length {
            // Fewer bytes than announced: the stream was cut, even if it ended cleanly.
            Some(_) => self.interrupted(true),
            None => Action::Verify,
        }
    }

    fn interrupted(&mut self, retryable: bool) -> Action {
        match self.retries.interrupted(self.written).filter(|_| retryable) {
            Some(pause) => Action::Request { from: self.written, pause },
            None => fail(Failure::Upstream),
        }
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
        } else if self.group_quota.is_some_and(|quota| length > quota) {
            Some(Unstored::OverGroupQuota)
        } else if self.free_space == 0 || length > self.free_space {
            Some(Unstored::NoSpace)
        } else {
            None
        }
    }
}

fn fail(failure: Failure) -> Action {
    Action::End(Outcome::Failed(failure))
}

#[cfg(test)]
mod tests;
