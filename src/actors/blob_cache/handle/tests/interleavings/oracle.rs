//! Conditions that must hold in every interleaving. The oracle knows the right content and everything that upstream has
//! sent, and records what each caller gets and what is stored.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use crate::actors::blob_cache::BlobError;
use crate::domain::origin::Origin;

/// Kind of a request to upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Content,
    Range,
    Head,
}

#[derive(Clone)]
pub(super) struct Oracle(Arc<Mutex<Known>>);

#[derive(Default)]
pub(super) struct Known {
    content: Bytes,
    /// Number of requests of each kind that are under way.
    under_way: HashMap<(Origin, Kind), usize>,
    pub(super) requests: usize,
    /// The origins of which upstream has accepted a request.
    pub(super) accepted: HashSet<Origin>,
    /// Wrong bytes that upstream has sent, with their position.
    wrong: HashSet<(Kind, u64, u8)>,
    /// True if upstream or a manifest has stated a wrong length.
    pub(super) is_length_wrong: bool,
    /// True if upstream has ended a response early as if it were complete.
    pub(super) is_cut: bool,
    /// The bytes of the content that upstream has sent right, in response to requests for the content.
    sent: Vec<bool>,
    pub(super) seen: HashSet<&'static str>,
    pub(super) violations: Vec<String>,
}

impl Oracle {
    pub(super) fn new(content: Bytes) -> Self {
        let sent = vec![false; content.len()];
        Self(Arc::new(Mutex::new(Known { content, sent, ..Known::default() })))
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap()
    }

    pub(super) fn violated(&self, violation: String) {
        self.known().violations.push(violation);
    }

    /// Counts a request, until the result is dropped. Of each origin there may be at most `max` at once.
    pub(super) fn begin(&self, origin: &Origin, kind: Kind, max: usize) -> UnderWay {
        let mut known = self.known();
        known.requests += 1;
        let key = (origin.clone(), kind);
        let number = known.under_way.entry(key.clone()).or_default();
        *number += 1;
        let number = *number;
        if number > max {
            known.violations.push(format!("{number} requests of kind {kind:?} at once, of at most {max}"));
        }
        UnderWay { oracle: self.clone(), key }
    }

    /// Records bytes that upstream sends as those at this position.
    pub(super) fn sends(&self, kind: Kind, position: u64, bytes: &[u8]) {
        let mut known = self.known();
        if let Some(right) = known.right(position, bytes) {
            if kind == Kind::Content {
                known.sent[right].fill(true);
            }
            return;
        }
        for (position, byte) in (position..).zip(bytes) {
            if known.content.get(position as usize) != Some(byte) {
                known.wrong.insert((kind, position, *byte));
                known.seen.insert("a wrong byte");
            } else if kind == Kind::Content {
                known.sent[position as usize] = true;
            }
        }
    }

    /// Returns true if upstream has sent each byte of the content right, so that a digest may have held.
    pub(super) fn is_all_sent(&self) -> bool {
        self.known().sent.iter().all(|sent| *sent)
    }

    /// Checks bytes that a caller got as those at this position: upstream has accepted a request of its origin, and the
    /// bytes are right, or what upstream has sent.
    pub(super) fn gets(&self, origin: &Origin, position: u64, bytes: &[u8]) {
        let mut known = self.known();
        if !known.accepted.contains(origin) {
            known.violations.push("bytes for an account for which upstream has accepted nothing".to_owned());
        }
        if known.right(position, bytes).is_some() {
            return;
        }
        for (position, byte) in (position..).zip(bytes) {
            let is_right = known.content.get(position as usize) == Some(byte);
            if !is_right
                && ![Kind::Content, Kind::Range].iter().any(|kind| known.wrong.contains(&(*kind, position, *byte)))
            {
                known.violations.push(format!("byte {position} is neither right nor what upstream sent"));
                return;
            }
        }
    }

    /// Checks all bytes of a response that ended without an error: those of a range, or of the whole if there is none.
    pub(super) fn finishes(&self, range: Option<Range<u64>>, bytes: &[u8]) {
        let mut known = self.known();
        let length = known.content.len() as u64;
        let violation = match range {
            None if *bytes != known.content => "a wrong content was finished as if it were right",
            Some(range) if bytes.len() as u64 != range.end - range.start => "a range was finished too early",
            // Bytes of a range are verified if they come from a download, whose end comes only after the digest.
            Some(range)
                if range.end == length
                    && !known.is_length_wrong
                    && !known.wrong.iter().any(|(kind, ..)| *kind == Kind::Range)
                    && *bytes != known.content[range.start as usize..] =>
            {
                "a range to the end was finished with wrong bytes"
            }
            _ => return,
        };
        known.violations.push(violation.to_owned());
    }

    /// Checks an error that a caller got: upstream is not blamed for what it has not done.
    pub(super) fn fails(&self, error: &BlobError) {
        let mut known = self.known();
        let is_upstreams = !known.wrong.is_empty() || known.is_length_wrong || known.is_cut;
        if matches!(error, BlobError::WrongDigest | BlobError::WrongLength { .. }) && !is_upstreams {
            known.violations.push(format!("upstream was right: {error}"));
        }
    }

    /// Checks the bytes of a stored file.
    pub(super) fn stores(&self, bytes: &[u8]) {
        let mut known = self.known();
        if *bytes != known.content {
            known.violations.push("a wrong content is stored".to_owned());
        } else if !known.sent.iter().all(|sent| *sent) {
            known.violations.push("a content is stored that upstream has not sent".to_owned());
        }
    }
}

impl Known {
    /// Returns the range of these bytes if they are the right ones at this position.
    fn right(&self, position: u64, bytes: &[u8]) -> Option<Range<usize>> {
        let range = position as usize..position as usize + bytes.len();
        (self.content.get(range.clone()) == Some(bytes)).then_some(range)
    }

    /// Notes that something has happened that is not to be rare.
    pub(super) fn sees(&mut self, what: &'static str) {
        self.seen.insert(what);
    }
}

/// A request that is under way.
pub(super) struct UnderWay {
    oracle: Oracle,
    key: (Origin, Kind),
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(number) = self.oracle.known().under_way.get_mut(&self.key) {
            *number -= 1;
        }
    }
}
