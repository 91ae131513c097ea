//! Which purge runs and which wait. Purges nothing itself.

use std::collections::VecDeque;

use crate::domain::id::GroupId;

/// Purges run one at a time: each reads the whole index. A group that waits already need not wait twice.
#[derive(Default)]
pub(super) struct Purges {
    running: bool,
    waiting: VecDeque<GroupId>,
}

impl Purges {
    /// The purge to start now, if any.
    pub(super) fn ask(&mut self, group: GroupId) -> Option<GroupId> {
        if !self.waiting.contains(&group) {
            self.waiting.push_back(group);
        }
        if self.running { None } else { self.next() }
    }

    /// The purge to start after the one that ended, if any.
    pub(super) fn ended(&mut self) -> Option<GroupId> {
        self.next()
    }

    fn next(&mut self) -> Option<GroupId> {
        let next = self.waiting.pop_front();
        self.running = next.is_some();
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purges_run_one_at_a_time_and_what_was_asked_for_meanwhile_runs_once() {
        let (mut purges, one, other) = (Purges::default(), GroupId(1), GroupId(2));
        assert_eq!(purges.ask(one), Some(one));
        for _ in 0..1000 {
            assert_eq!((purges.ask(one), purges.ask(other)), (None, None));
        }
        assert_eq!([purges.ended(), purges.ended(), purges.ended()], [Some(one), Some(other), None]);
        assert_eq!(purges.ask(one), Some(one));
    }
}
