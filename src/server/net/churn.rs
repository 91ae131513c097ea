//! Detects connection churn: whether most of a worker's recent connections were short-lived, because many clients
//! open one for each request. Bookkeeping only.

use std::time::{Duration, Instant};

/// Maximum lifetime of a connection that counts as brief: long enough for one short request.
pub(super) const MAX_BRIEF_LIFETIME: Duration = Duration::from_millis(50);

/// Churn of the most recent connections of one worker.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Churn {
    /// Number of connections that were accepted since the last sample.
    accepted: usize,
    /// Number of brief connections of the worker that had ended by the last sample.
    brief_before: usize,
    sampled_at: Option<Instant>,
    churns: bool,
}

/// Number of connections between two samples.
const SAMPLE_SIZE: usize = 32;
/// Maximum age of the last sample. An older one says nothing about the present.
const MAX_SAMPLE_AGE: Duration = Duration::from_secs(1);

impl Churn {
    /// Records an accepted connection. `brief` is the number of brief connections of the worker that have ended so
    /// far.
    pub(super) fn accepted(self, brief: usize, now: Instant) -> Self {
        if self.sampled_at.is_none_or(|at| now.duration_since(at) > MAX_SAMPLE_AGE) {
            return Self { accepted: 1, brief_before: brief, sampled_at: Some(now), churns: false };
        }
        let accepted = self.accepted + 1;
        if accepted < SAMPLE_SIZE {
            return Self { accepted, ..self };
        }
        let over = brief.wrapping_sub(self.brief_before);
        Self { accepted: 0, brief_before: brief, sampled_at: Some(now), churns: over > SAMPLE_SIZE / 2 }
    }

    /// Returns whether connections come often and most of them are brief.
    pub(super) fn churns(self) -> bool {
        self.churns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_churn_while_many_brief_ones_come() {
        let start = Instant::now();
        // A full sample of connections arrives, by the end of which `brief` connections have ended.
        let come = |churn: Churn, brief: usize| (0..SAMPLE_SIZE).fold(churn, |churn, _| churn.accepted(brief, start));
        let all_stay = come(Churn::default(), 0);
        assert!(!all_stay.churns());
        let few_are_brief = come(all_stay, SAMPLE_SIZE / 4);
        assert!(!few_are_brief.churns());
        let most_are = come(few_are_brief, SAMPLE_SIZE);
        assert!(most_are.churns());
        assert!(most_are.accepted(SAMPLE_SIZE, start).churns(), "until the next sample");
        assert!(!come(most_are, SAMPLE_SIZE).churns(), "no more are over");
        assert!(!most_are.accepted(2 * SAMPLE_SIZE, start + 2 * MAX_SAMPLE_AGE).churns(), "that was long ago");
    }
}
