//! Whether the connections that come to a thread are over in a moment: many clients have one for each request. Counts, and does
//! nothing.

use std::time::{Duration, Instant};

/// A connection that lasts no longer than this was for one short request.
pub(super) const BRIEF: Duration = Duration::from_millis(50);

/// What the connections that came last did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turnover {
    /// So many came since it was looked at last.
    accepted: usize,
    /// So many brief ones were over by then.
    brief_before: usize,
    looked_at: Option<Instant>,
    quick: bool,
}

/// After so many connections it is looked at again.
const LOOK_EVERY: usize = 32;
/// What was so much earlier says nothing of now.
const RECENT: Duration = Duration::from_secs(1);

impl Turnover {
    /// The same with one more connection, by which time so many brief ones in all are over.
    pub(super) fn accepted(self, brief: usize, now: Instant) -> Self {
        if self.looked_at.is_none_or(|at| now.duration_since(at) > RECENT) {
            return Self { accepted: 1, brief_before: brief, looked_at: Some(now), quick: false };
        }
        let accepted = self.accepted + 1;
        if accepted < LOOK_EVERY {
            return Self { accepted, ..self };
        }
        let over = brief.wrapping_sub(self.brief_before);
        Self { accepted: 0, brief_before: brief, looked_at: Some(now), quick: over > LOOK_EVERY / 2 }
    }

    /// Whether most of them are brief, and many come.
    pub(super) fn is_quick(self) -> bool {
        self.quick
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_quick_while_many_brief_connections_come() {
        let start = Instant::now();
        // As many come as it takes to look again, by which time so many brief ones are over.
        let come = |turnover: Turnover, brief: usize| {
            (0..LOOK_EVERY).fold(turnover, |turnover, _| turnover.accepted(brief, start))
        };
        let all_stay = come(Turnover::default(), 0);
        assert!(!all_stay.is_quick());
        let few_are_brief = come(all_stay, LOOK_EVERY / 4);
        assert!(!few_are_brief.is_quick());
        let most_are = come(few_are_brief, LOOK_EVERY);
        assert!(most_are.is_quick());
        assert!(most_are.accepted(LOOK_EVERY, start).is_quick(), "until it is looked at again");
        assert!(!come(most_are, LOOK_EVERY).is_quick(), "no more are over");
        assert!(!most_are.accepted(2 * LOOK_EVERY, start + 2 * RECENT).is_quick(), "that was long ago");
    }
}
