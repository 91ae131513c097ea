//! Knowledge of a refused request: its reason and sentence, which the routes attach to their responses, its subject
//! and its place; and the limits of the lines that [`refusal_log`](super::refusal_log) writes about them.

mod allowance;
mod place;
mod reason;
mod shown;
mod subject;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::HttpResponse;

use self::allowance::{Admission, Allowances, Source};
pub(super) use self::place::{Place, RequestedRepositories};
pub(super) use self::reason::Reason;
pub(super) use self::shown::shown;
pub(super) use self::subject::Subject;

/// A refusal and its reason, as an extension of the response.
#[derive(Debug)]
pub(super) struct Refused {
    /// The reason under which it is counted.
    pub(super) reason: Reason,
    /// The sentence in the response.
    pub(super) sentence: String,
    /// Details for the operator, which the response does not contain.
    pub(super) details: Option<String>,
    /// True where the operator has to see it although it is no fault of this service.
    pub(super) warns: bool,
}

/// Figures of a pull of a manifest that failed, as an extension of the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct FailedPull {
    /// Number of upstream requests that the pull caused.
    pub(super) upstream_calls: u32,
    /// Time that it took, in milliseconds.
    pub(super) ms: u64,
}

/// The limits that decide which refusals are written to the log. Shared by all threads; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Refusals(Arc<Mutex<Allowances>>);

const REPORT_INTERVAL: Duration = Duration::from_secs(60);

impl Refused {
    /// Creates a refusal with this reason and this sentence for the client.
    pub(super) fn new(reason: Reason, sentence: String) -> Self {
        Self { reason, sentence, details: None, warns: false }
    }

    /// Attaches it to the response, for [`refusal_log`](super::refusal_log).
    pub(super) fn attach(self, response: &mut HttpResponse) {
        response.extensions_mut().insert(self);
    }
}

impl Refusals {
    /// Logs every minute the number of lines that were left out. Never returns.
    pub(crate) async fn keep_reporting(self) {
        loop {
            tokio::time::sleep(REPORT_INTERVAL).await;
            self.report(false);
        }
    }

    /// Logs the number of lines that each source had left out, once its minute has ended; with `all`, for every
    /// source at once.
    pub(crate) fn report(&self, all: bool) {
        let ended = self.0.lock().unwrap_or_else(PoisonError::into_inner).ended(Instant::now(), all);
        for (source, left_out) in ended {
            source.write_left_out(left_out);
        }
    }

    /// Returns the number of earlier lines of the same source that were left out if a refusal gets a line, and `None`
    /// if it is counted only.
    pub(super) fn admit(&self, address: IpAddr, subject: &Subject, refused: &Refused) -> Option<u64> {
        let source = Source::new(address, subject.without_unknown_name(), refused.reason);
        let mut allowances = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match allowances.admit(source, Instant::now()) {
            Admission::Written { left_out } => Some(left_out),
            Admission::LeftOut => None,
        }
    }
}
