//! The report of a soak.

use std::cell::Cell;
use std::fmt;

/// Numbers of what was done and seen.
#[derive(Default)]
pub(super) struct Report {
    /// Requests for manifests and blobs.
    pub(super) requests: Cell<u64>,
    /// Bytes of complete responses, all of which were those of upstream.
    pub(super) verified: Cell<u64>,
    /// Responses that were cut off, and requests that got none, because of faults and kills.
    pub(super) cut: Cell<u64>,
    /// Requests that were refused with 503.
    pub(super) refused: Cell<u64>,
    /// Credentials that were revoked, each of which failed at the next request.
    pub(super) revoked: Cell<u64>,
    /// Faults of upstream.
    pub(super) faults: Cell<u64>,
    /// Kills of the service.
    pub(super) kills: Cell<u64>,
}

impl Report {
    /// Checks that the soak has tested something.
    pub(super) fn must_have_done_everything(&self) {
        for (number, what) in [
            (&self.requests, "requests"),
            (&self.verified, "bytes"),
            (&self.revoked, "revocations"),
            (&self.faults, "faults"),
            (&self.kills, "kills"),
        ] {
            assert!(number.get() > 0, "there were no {what}");
        }
    }
}

pub(super) fn add(number: &Cell<u64>, more: u64) {
    number.set(number.get() + more);
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [requests, verified, cut, refused, revoked, faults, kills] =
            [&self.requests, &self.verified, &self.cut, &self.refused, &self.revoked, &self.faults, &self.kills]
                .map(Cell::get);
        writeln!(f, "requests         {requests}")?;
        writeln!(f, "  cut off        {cut}")?;
        writeln!(f, "  refused        {refused}")?;
        writeln!(f, "bytes verified   {verified}")?;
        writeln!(f, "revocations      {revoked}")?;
        writeln!(f, "faults injected  {faults}")?;
        writeln!(f, "kills            {kills}")?;
        write!(f, "nothing is lost, and no response was wrong")
    }
}
