//! Replicas that are lost: not seen for longer than they may decide without the database. A replica that is only cut
//! off must not be removed before it has stopped deciding. Therefore times are those of this machine, and the removal
//! has two steps: first a mark, after which the replica must register anew before it decides again, and then the
//! removal, once its last lookup in the database is over.

use std::collections::HashMap;
use std::time::Duration;

use crate::domain::fleet::validity::MachineTime;
use crate::domain::id::ReplicaId;
use crate::store::fleet::Sign;

/// The known replicas, and since when they were not seen.
#[derive(Debug, Default)]
pub(super) struct Absences {
    /// The last sign of each replica, and the time of this machine at which it was first found.
    signs: HashMap<ReplicaId, (Sign, MachineTime)>,
    /// The marked replicas, with the time of the mark.
    suspects: HashMap<ReplicaId, MachineTime>,
}

/// The next steps about replicas that are lost.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Steps {
    /// Those to mark.
    pub(super) suspect: Vec<Sign>,
    /// Those to remove.
    pub(super) remove: Vec<ReplicaId>,
}

/// Additional time without a sign of a replica, beyond the time for which it may decide without the database.
const ABSENCE_MARGIN: Duration = Duration::from_secs(60);

impl Absences {
    /// Notes these signs of all replicas, and returns what to do. `longest_bound` is longer than the bound of any.
    pub(super) fn note(&mut self, signs: Vec<Sign>, now: MachineTime, longest_bound: Duration) -> Steps {
        self.signs.retain(|id, _| signs.iter().any(|sign| sign.id == *id));
        self.suspects.retain(|id, _| signs.iter().any(|sign| sign.id == *id));
        let mut steps = Steps::default();
        for sign in signs {
            let (known, since) = self.signs.entry(sign.id).or_insert_with(|| (sign.clone(), now));
            if *known != sign {
                (*known, *since) = (sign.clone(), now);
                self.suspects.remove(&sign.id);
            }
            if now < *since + sign.without_database + ABSENCE_MARGIN {
                continue;
            }
            match self.suspects.get(&sign.id) {
                Some(marked) if now >= *marked + longest_bound => steps.remove.push(sign.id),
                Some(_) => {}
                None => {
                    self.suspects.insert(sign.id, now);
                    steps.suspect.push(sign);
                }
            }
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const BOUND: Duration = Duration::from_secs(10);

    fn sign(seen_at: &str) -> Sign {
        Sign { id: ReplicaId::from_random([1; 16]), seen_at: seen_at.to_owned(), without_database: HOUR }
    }

    fn at(time: Duration) -> MachineTime {
        MachineTime(time)
    }

    #[test]
    fn a_replica_without_a_new_sign_is_marked_and_then_removed() {
        let (mut absences, long) = (Absences::default(), HOUR + ABSENCE_MARGIN);
        assert_eq!(absences.note(vec![sign("1")], at(BOUND), BOUND), Steps::default());
        assert_eq!(absences.note(vec![sign("1")], at(long), BOUND), Steps::default());
        let marked = absences.note(vec![sign("1")], at(BOUND + long), BOUND);
        assert_eq!(marked, Steps { suspect: vec![sign("1")], remove: vec![] });
        assert_eq!(absences.note(vec![sign("1")], at(BOUND + long), BOUND), Steps::default());
        let removed = absences.note(vec![sign("1")], at(BOUND + long + BOUND), BOUND);
        assert_eq!(removed, Steps { suspect: vec![], remove: vec![sign("1").id] });
    }

    #[test]
    fn a_sign_of_life_whatever_its_time_begins_anew() {
        let (mut absences, long) = (Absences::default(), HOUR + ABSENCE_MARGIN);
        absences.note(vec![sign("2")], at(Duration::ZERO), BOUND);
        assert_eq!(absences.note(vec![sign("2")], at(long), BOUND).suspect.len(), 1);
        // The clock of the database has gone back.
        assert_eq!(absences.note(vec![sign("1")], at(long + BOUND), BOUND), Steps::default());
        assert_eq!(absences.note(vec![sign("1")], at(long + BOUND * 2), BOUND), Steps::default());
    }
}
