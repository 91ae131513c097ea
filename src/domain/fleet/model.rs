//! A model of replicas, their store and its change log, of which all interleavings are examined: looks at the store
//! that take any time, messages that are lost, replicas that stand still or start again, and writers that crash between
//! any two steps. In no state may a replica decide without a change that was acknowledged.
//!
//! Times are ticks relative to the present one, up to the largest that matters, so that the number of states is finite.

use std::collections::HashSet;
use std::time::Duration;

use super::confirmation::{Confirmation, Verdict};
use super::validity::{Bound, MachineTime};
use crate::domain::id::ReplicaId;

/// The rules of a run. Those of the service are [`RULES`]; the others show that the model finds what is wrong.
#[derive(Clone, Copy)]
struct Rules {
    /// Number of replicas that only read.
    readers: usize,
    /// Number of changes, each by a writer of its own.
    changes: usize,
    /// Ticks for which readers decide after a look.
    validity: u8,
    /// A writer adds what is missing in the log before its own change.
    fills_gaps: bool,
    /// A writer acknowledges although the log may lack its change.
    ignores_log: bool,
}

const RULES: Rules = Rules { readers: 2, changes: 1, validity: BOUND, fills_gaps: true, ignores_log: false };

/// Ticks that a writer counts with.
const BOUND: u8 = 2;

/// Maximum age that is distinguished: all that is older has the same effect.
const MAX_AGE: u8 = BOUND + 2;

/// Maximum number of readers, and of changes.
const MAX: usize = 2;

/// One state. Versions are numbers of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    /// The last committed change.
    committed: usize,
    /// The changes that the log has: that with number 1 first.
    logged: [bool; MAX],
    writers: [Writer; MAX],
    readers: [Reader; MAX],
    /// The last acknowledged change.
    acknowledged: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Writer {
    phase: Phase,
    /// Ticks since the change was logged (true), or the log failed.
    log: Option<(u8, bool)>,
    confirmed_by: [bool; MAX],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Phase {
    #[default]
    Before,
    Committed,
    Over,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Reader {
    version: usize,
    /// Ticks for which it may decide from now on.
    valid_for: u8,
    look: Option<Look>,
}

/// A look at the store that is on its way, with the ticks since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Look {
    Database {
        age: u8,
        shown: Option<usize>,
    },
    /// A look for the change after `version` in the log.
    Log {
        age: u8,
        version: usize,
        shown: Option<bool>,
    },
}

impl State {
    /// Returns true if no reader may decide without an acknowledged change.
    fn is_right(&self, rules: &Rules) -> bool {
        let readers = self.readers.iter().take(rules.readers);
        readers.into_iter().all(|reader| reader.valid_for == 0 || reader.version >= self.acknowledged)
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Returns all states that can follow.
    fn successors(&self, rules: &Rules) -> Vec<Self> {
        let mut next = vec![self.with(Self::tick)];
        (0..rules.changes).for_each(|writer| self.writer_steps(writer, rules, &mut next));
        (0..rules.readers).for_each(|reader| self.reader_steps(reader, rules, &mut next));
        next
    }

    fn tick(&mut self) {
        let older = |age: &mut u8| *age = (*age + 1).min(MAX_AGE);
        for writer in &mut self.writers {
            writer.log.iter_mut().for_each(|(age, _)| older(age));
        }
        for reader in &mut self.readers {
            reader.valid_for = reader.valid_for.saturating_sub(1);
            match &mut reader.look {
                Some(Look::Database { age, .. } | Look::Log { age, .. }) => older(age),
                None => {}
            }
        }
    }

    fn writer_steps(&self, index: usize, rules: &Rules, next: &mut Vec<Self>) {
        let (writer, change) = (&self.writers[index], index + 1);
        match writer.phase {
            Phase::Before if self.committed == index => next.push(self.with(|state| {
                state.committed = change;
                state.writers[index].phase = Phase::Committed;
            })),
            Phase::Before | Phase::Over => {}
            Phase::Committed => {
                // It crashes.
                next.push(self.with(|state| state.writers[index] = Writer { phase: Phase::Over, ..Writer::default() }));
                if writer.log.is_none() {
                    self.log_steps(index, rules, next);
                }
                for reader in (0..rules.readers).filter(|reader| self.readers[*reader].version >= change) {
                    next.push(self.with(|state| state.writers[index].confirmed_by[reader] = true));
                }
                if self.verdict(index, rules) == Verdict::Acknowledge {
                    next.push(self.with(|state| {
                        state.acknowledged = state.acknowledged.max(change);
                        state.writers[index] = Writer { phase: Phase::Over, ..Writer::default() };
                    }));
                }
            }
        }
    }

    fn log_steps(&self, index: usize, rules: &Rules, next: &mut Vec<Self>) {
        let missing = (0..index).find(|earlier| rules.fills_gaps && !self.logged[*earlier]);
        if let Some(earlier) = missing {
            next.push(self.with(|state| state.logged[earlier] = true));
        } else {
            next.push(self.with(|state| {
                state.logged[index] = true;
                state.writers[index].log = Some((0, true));
            }));
        }
        // It fails, and may have been written all the same.
        for written in [self.logged[index], missing.is_none()] {
            next.push(self.with(|state| {
                state.logged[index] |= written;
                state.writers[index].log = Some((0, false));
            }));
        }
    }

    fn verdict(&self, index: usize, rules: &Rules) -> Verdict {
        let replica = |reader: usize| ReplicaId::from_random([u8::try_from(reader).unwrap_or_default(); 16]);
        let mut confirmation = Confirmation::new(ticks(BOUND), (0..rules.readers).map(replica));
        let writer = &self.writers[index];
        let confirmed = (0..rules.readers).filter(|reader| writer.confirmed_by[*reader]);
        confirmed.for_each(|reader| confirmation.confirmed(replica(reader)));
        let now = writer.log.map_or(0, |(age, _)| age);
        match writer.log {
            Some((_, false)) if !rules.ignores_log => confirmation.log_failed(time(0)),
            Some(_) => confirmation.logged(time(0)),
            None => {}
        }
        confirmation.verdict(time(now))
    }

    fn reader_steps(&self, index: usize, rules: &Rules, next: &mut Vec<Self>) {
        let reader = self.readers[index];
        let mut becomes = |reader| next.push(self.with(|state| state.readers[index] = reader));
        let valid_for = |age| {
            let until = ticks(rules.validity).valid_until(time(0)).0.as_secs();
            reader.valid_for.max(u8::try_from(until).unwrap_or(u8::MAX).saturating_sub(age))
        };
        match reader.look {
            None => {
                becomes(Reader { look: Some(Look::Database { age: 0, shown: None }), ..reader });
                let look = Look::Log { age: 0, version: reader.version, shown: None };
                becomes(Reader { look: Some(look), ..reader });
            }
            Some(Look::Database { age, shown: None }) => {
                becomes(Reader { look: Some(Look::Database { age, shown: Some(self.committed) }), ..reader });
                becomes(Reader { look: None, ..reader });
            }
            Some(Look::Log { age, version, shown: None }) => {
                let shown = Some(self.logged.get(version).copied().unwrap_or(false));
                becomes(Reader { look: Some(Look::Log { age, version, shown }), ..reader });
                becomes(Reader { look: None, ..reader });
            }
            Some(Look::Database { age, shown: Some(version) }) => {
                let version = version.max(reader.version);
                becomes(Reader { version, valid_for: valid_for(age), look: None });
            }
            Some(Look::Log { version, shown: Some(true), .. }) => {
                becomes(Reader { version: version + 1, look: None, ..reader });
            }
            Some(Look::Log { age, shown: Some(false), .. }) => {
                becomes(Reader { valid_for: valid_for(age), look: None, ..reader });
            }
        }
        // It starts again, with what the database has.
        becomes(Reader { version: self.committed, valid_for: 0, look: None });
    }
}

fn time(ticks: u8) -> MachineTime {
    MachineTime(Duration::from_secs(ticks.into()))
}

fn ticks(ticks: u8) -> Bound {
    Bound(Duration::from_secs(ticks.into()))
}

/// Examines all states that can be reached. Returns their number and whether the last change was acknowledged in one of
/// them, or a state that is wrong.
fn examine(rules: &Rules) -> Result<(usize, bool), State> {
    let first = State::default();
    let (mut seen, mut open, mut acknowledged) = (HashSet::from([first]), vec![first], false);
    while let Some(state) = open.pop() {
        if !state.is_right(rules) {
            return Err(state);
        }
        acknowledged |= state.acknowledged == rules.changes;
        open.extend(state.successors(rules).into_iter().filter(|next| seen.insert(*next)));
    }
    Ok((seen.len(), acknowledged))
}

fn check(rules: Rules) {
    let (states, acknowledged) = examine(&rules).unwrap_or_default();
    assert!(states > 1_000 && acknowledged, "{states} states are right: {:?}", examine(&rules));
}

#[test]
fn no_replica_decides_without_an_acknowledged_change() {
    check(RULES);
}

#[test]
fn no_replica_decides_without_the_second_of_two_changes() {
    check(Rules { readers: 1, changes: 2, ..RULES });
}

#[test]
fn the_model_finds_replicas_that_trust_too_long() {
    assert!(examine(&Rules { readers: 1, validity: BOUND + 2, ..RULES }).is_err());
}

#[test]
fn the_model_finds_a_change_that_the_log_lacks() {
    assert!(examine(&Rules { readers: 1, ignores_log: true, ..RULES }).is_err());
}

#[test]
fn the_model_finds_a_gap_in_the_log() {
    assert!(examine(&Rules { readers: 1, changes: 2, fills_gaps: false, ..RULES }).is_err());
}
