//! Shares of groups in what is left of a pull limit, so that one group does not use it up for all. Reads no clock.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::id::GroupId;

/// Pulls of the groups that have used an account a short time ago.
#[derive(Debug, Default)]
pub struct PullShares(HashMap<GroupId, Used>);

#[derive(Clone, Copy, Debug)]
struct Used {
    /// Number of pulls since what is left became low.
    pulls: u64,
    last: Instant,
}

/// Time after its last pull for which a group has a share.
const SHARE_TIMEOUT: Duration = Duration::from_secs(15 * 60);

impl PullShares {
    /// Records a pull of a group while there are enough for all.
    pub fn note(&mut self, group: GroupId, now: Instant) {
        self.0.insert(group, Used { pulls: 0, last: now });
    }

    /// Records a pull of a group while `shared` pulls are shared among the groups. Returns false if the group has used
    /// its share: the others have pulled a short time ago, and may do so again.
    pub fn admit(&mut self, group: GroupId, shared: u64, now: Instant) -> bool {
        self.0.retain(|_, used| now < used.last + SHARE_TIMEOUT);
        let used = self.0.entry(group).or_insert(Used { pulls: 0, last: now });
        used.last = now;
        let (pulls, groups) = (used.pulls, self.0.len() as u64);
        if groups > 1 && pulls >= (shared / groups).max(1) {
            return false;
        }
        self.0.insert(group, Used { pulls: pulls + 1, last: now });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(shares: &mut PullShares, group: u64, now: Instant) -> usize {
        (0..100).take_while(|_| shares.admit(GroupId(group), 24, now)).count()
    }

    #[test]
    fn one_group_may_use_all_and_several_share_it() {
        let now = Instant::now();
        assert_eq!(admitted(&mut PullShares::default(), 1, now), 100, "upstream decides");
        let mut shares = PullShares::default();
        for group in 1..=3 {
            shares.note(GroupId(group), now);
        }
        assert_eq!([1, 2, 1].map(|group| admitted(&mut shares, group, now)), [8, 8, 0]);
        assert_eq!(admitted(&mut shares, 4, now), 6, "one that comes later has a share, too");
    }

    #[test]
    fn a_group_that_pulls_no_more_leaves_its_share() {
        let (mut shares, now) = (PullShares::default(), Instant::now());
        shares.note(GroupId(1), now);
        assert_eq!(admitted(&mut shares, 2, now), 12);
        assert_eq!(admitted(&mut shares, 2, now + SHARE_TIMEOUT), 100);
    }
}
