//! Queue of purges. Bookkeeping only: it does not run them.

use std::collections::VecDeque;

use crate::domain::id::GroupId;

/// The running purge and those that wait. Purges run one at a time, because each reads the whole index. A
/// group waits at most once.
#[derive(Default)]
pub(super) struct Purges {
    running: bool,
    waiting: VecDeque<GroupId>,
}

impl Purges {
    /// Queues a purge. Returns the purge to start now, if any.
    pub(super) fn add(&mut self, group: GroupId) -> Option<GroupId> {
        if !self.waiting.contains(&group) {
            self.waiting.push_back(group);
        }
        if self.running { None } else { self.next() }
    }

    /// Records that the running purge has ended. Returns the purge to start now, if any.
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
    fn purges_run_one_at_a_time_and_a_group_that_is_added_meanwhile_runs_once() {
        let (mut purges, one, other) = (Purges::default(), GroupId(1), GroupId(2));
        assert_eq!(purges.add(one), Some(one));
        for _ in 0..1000 {
            assert_eq!((purges.add(one), purges.add(other)), (None, None));
        }
        assert_eq!([purges.ended(), purges.ended(), purges.ended()], [Some(one), Some(other), None]);
        assert_eq!(purges.add(one), Some(one));
    }
}
