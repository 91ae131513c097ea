//! Whether the connections that come to a thread stay or go: many clients have one for each request. Counts, and does nothing.

/// What the connections that came last did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turnover {
    /// So many came since it was looked at last.
    accepted: usize,
    /// So many had gone by then.
    served_before: usize,
    quick: bool,
}

/// After so many connections it is looked at again.
const LOOK_EVERY: usize = 32;

impl Turnover {
    /// The same with one more connection, by which time so many in all have gone.
    pub(super) fn accepted(self, served: usize) -> Self {
        let accepted = self.accepted + 1;
        if accepted < LOOK_EVERY {
            return Self { accepted, ..self };
        }
        let gone = served.wrapping_sub(self.served_before);
        Self { accepted: 0, served_before: served, quick: gone > LOOK_EVERY / 2 }
    }

    /// Whether as many go as come, more or less.
    pub(super) fn is_quick(self) -> bool {
        self.quick
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_quick_while_connections_go_as_they_come() {
        // As many come as it takes to look again, by which time so many in all have gone.
        let come =
            |turnover: Turnover, gone: usize| (0..LOOK_EVERY).fold(turnover, |turnover, _| turnover.accepted(gone));
        let all_stay = come(Turnover::default(), 0);
        assert!(!all_stay.is_quick());
        let few_go = come(all_stay, LOOK_EVERY / 4);
        assert!(!few_go.is_quick());
        let most_go = come(few_go, LOOK_EVERY);
        assert!(most_go.is_quick());
        assert!(most_go.accepted(LOOK_EVERY).is_quick(), "until it is looked at again");
        assert!(!come(most_go, LOOK_EVERY).is_quick(), "no more have gone");
    }
}
