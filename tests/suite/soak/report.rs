//! The report of a soak: what was done, what was seen, and what was wrong.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::time::Instant;

/// Numbers of what happened, and the violations.
pub(super) struct Report {
    started: Instant,
    /// Requests of clients that pull.
    pub(super) requests: Count,
    pub(super) hits: Count,
    /// Bytes of complete responses, all of which were those of upstream.
    bytes: Count,
    /// Responses that were cut off, and requests that got none, because of faults and kills.
    pub(super) cut: Count,
    /// Refusals because of a fault of upstream.
    pub(super) unavailable: Count,
    /// Clients that left before the end of a response.
    pub(super) left: Count,
    /// Requests for content of another account, all of which were refused.
    pub(super) denied: Count,
    /// Acknowledged changes of tokens, members and images.
    pub(super) changes: Count,
    /// Credentials that were revoked, each of which failed at the next request.
    pub(super) revoked: Count,
    /// Images whose removal was acknowledged, each of which was gone.
    pub(super) removed: Count,
    /// Acknowledged changes that were found again after a kill.
    pub(super) held: Count,
    /// Faulty responses of upstream, and times at which it was down.
    pub(super) faults: Count,
    pub(super) kills: Count,
    pub(super) evicted: Count,
    /// The latest fault of upstream.
    upstream: RefCell<String>,
    violations: RefCell<Vec<String>>,
}

#[derive(Default)]
pub(super) struct Count(Cell<u64>);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.set(self.0.get() + more);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.get()
    }
}

impl Report {
    pub(super) fn start() -> Self {
        let started = Instant::now();
        let [requests, hits, bytes, cut, unavailable, left, denied] = Default::default();
        let [changes, revoked, removed, held, faults, kills, evicted] = Default::default();
        let (upstream, violations) = Default::default();
        Self {
            started,
            requests,
            hits,
            bytes,
            cut,
            unavailable,
            left,
            denied,
            changes,
            revoked,
            removed,
            held,
            faults,
            kills,
            evicted,
            upstream,
            violations,
        }
    }

    /// Counts a response whose bytes were compared.
    pub(super) fn verified(&self, body: &[u8]) {
        self.bytes.add(body.len() as u64);
    }

    /// Notes something that must not happen, which ends the soak.
    pub(super) fn violated(&self, violation: &str) {
        eprintln!("{}, upstream had {}, violation: {violation}", self.progress(), self.upstream.borrow());
        self.violations.borrow_mut().push(violation.to_owned());
    }

    pub(super) fn upstream_begins(&self, fault: String) {
        *self.upstream.borrow_mut() = fault;
    }

    pub(super) fn has_violations(&self) -> bool {
        !self.violations.borrow().is_empty()
    }

    /// Returns what has not happened yet.
    pub(super) fn missing(&self) -> Option<&'static str> {
        self.counts().into_iter().find(|(_, count)| count.get() == 0).map(|(name, _)| name)
    }

    pub(super) fn progress(&self) -> String {
        let seconds = self.started.elapsed().as_secs();
        let [requests, faults, kills] = [&self.requests, &self.faults, &self.kills].map(Count::get);
        format!("after {seconds} s: {requests} requests, {faults} faults, {kills} kills")
    }

    /// Fails if there was a violation, or if something has not happened that the soak is about.
    pub(super) fn must_be_complete_and_without_violations(&self) {
        let violations = self.violations.borrow();
        assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
        assert_eq!(self.missing(), None, "has not happened even once");
    }

    fn counts(&self) -> [(&'static str, &Count); 14] {
        [
            ("requests", &self.requests),
            ("  hits", &self.hits),
            ("  cut off", &self.cut),
            ("  unavailable", &self.unavailable),
            ("  clients left", &self.left),
            ("  others' denied", &self.denied),
            ("bytes verified", &self.bytes),
            ("changes", &self.changes),
            ("  revocations", &self.revoked),
            ("  removals", &self.removed),
            ("  held after kills", &self.held),
            ("faults injected", &self.faults),
            ("kills", &self.kills),
            ("files evicted", &self.evicted),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<20}{:>15}", "seconds", self.started.elapsed().as_secs())?;
        for (name, count) in self.counts() {
            writeln!(f, "{name:<20}{:>15}", count.get())?;
        }
        match &self.violations.borrow()[..] {
            [] => write!(f, "nothing is lost, and no response was wrong"),
            violations => write!(f, "VIOLATIONS: {}", violations.join("\n")),
        }
    }
}
