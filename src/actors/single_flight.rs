//! Single flight: several callers that need the same outcome share one piece of work. The first caller starts it,
//! the others wait for its outcome. Bookkeeping only: starts no work.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// Work that is under way, with the callers that wait for it, and recent outcomes; each by its key.
pub(super) struct SingleFlight<K, T> {
    waiters: HashMap<K, Vec<oneshot::Sender<T>>>,
    recent: HashMap<K, (Instant, Recall<T>)>,
    completions: VecDeque<(Instant, K)>,
    limit: usize,
}

/// Function that returns a recent outcome once more, as long as its content is still in memory.
pub(super) type Recall<T> = Box<dyn Fn() -> Option<T> + Send>;

/// The role of a caller that needs an outcome.
pub(super) enum Join<T> {
    /// The caller has to start the work.
    First(oneshot::Receiver<T>),
    /// The work is under way, or has ended recently.
    Coalesced(oneshot::Receiver<T>),
    /// The maximum number of keys is under way already.
    Full,
}

/// Time for which an outcome is kept for later callers.
const RECENT_TTL: Duration = Duration::from_secs(2);

impl<K: Eq + Hash + Clone, T: Clone> SingleFlight<K, T> {
    /// Allows work for at most `limit` different keys at once.
    pub(super) fn new(limit: usize) -> Self {
        Self { waiters: HashMap::new(), recent: HashMap::new(), completions: VecDeque::new(), limit }
    }

    /// Waits for the work of this key. Reuses a kept outcome if `is_recent_enough` accepts it, given the time at which
    /// it was completed.
    pub(super) fn join_or_reuse(&mut self, key: &K, is_recent_enough: impl Fn(Instant, &T) -> bool) -> Join<T> {
        let (sender, receiver) = oneshot::channel();
        let under_way = self.waiters.len();
        if let Some(waiters) = self.waiters.get_mut(key) {
            waiters.retain(|waiter| !waiter.is_closed());
            waiters.push(sender);
            return Join::Coalesced(receiver);
        }
        let recent = self.recent.get(key).and_then(|(completed_at, recall)| Some((*completed_at, recall()?)));
        if let Some((_, outcome)) = recent.filter(|(completed_at, outcome)| is_recent_enough(*completed_at, outcome)) {
            drop(sender.send(outcome));
            return Join::Coalesced(receiver);
        }
        if under_way >= self.limit {
            return Join::Full;
        }
        self.waiters.insert(key.clone(), vec![sender]);
        Join::First(receiver)
    }

    /// Removes a key whose work the caller does not start.
    pub(super) fn abandon(&mut self, key: &K) {
        self.waiters.remove(key);
    }

    /// Completes the work of this key: sends the outcome to all callers that wait, and keeps it for later ones.
    pub(super) fn complete(&mut self, key: &K, outcome: &T)
    where
        T: Send + 'static,
    {
        let kept = outcome.clone();
        self.complete_with(key, outcome, Box::new(move || Some(kept.clone())));
    }

    /// As [`Self::complete`], for an outcome that is too large to be kept: `recall` returns it as long as another
    /// holder keeps it in memory.
    pub(super) fn complete_with(&mut self, key: &K, outcome: &T, recall: Recall<T>) {
        for waiter in self.waiters.remove(key).unwrap_or_default() {
            drop(waiter.send(outcome.clone()));
        }
        // The clock of the runtime, as in the times from which callers wait.
        let now = tokio::time::Instant::now().into_std();
        self.forget_before(now.checked_sub(RECENT_TTL));
        self.recent.insert(key.clone(), (now, recall));
        self.completions.push_back((now, key.clone()));
    }

    /// Forgets the kept outcomes, so that later callers start new work.
    pub(super) fn forget_recent(&mut self) {
        self.recent.clear();
        self.completions.clear();
    }

    /// Returns the number of keys whose work is under way.
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    fn forget_before(&mut self, oldest: Option<Instant>) {
        while let Some((completed_at, key)) =
            self.completions.pop_front_if(|(at, _)| oldest.is_some_and(|oldest| *at < oldest))
        {
            // A newer outcome of the same key has an entry of its own.
            if self.recent.get(&key).is_some_and(|(at, _)| *at == completed_at) {
                self.recent.remove(&key);
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::panic, clippy::unwrap_used, reason = "a failed test panics")]
mod tests {
    use super::*;

    fn never_reuse(single_flight: &mut SingleFlight<&'static str, u8>, key: &&'static str) -> Join<u8> {
        single_flight.join_or_reuse(key, |_, _| false)
    }

    #[test]
    fn a_caller_before_the_completion_is_coalesced_and_a_later_one_is_not() {
        let mut single_flight = SingleFlight::new(1);
        let before = Instant::now();
        let Join::First(_first) = never_reuse(&mut single_flight, &"key") else { panic!("no work was under way") };
        assert!(matches!(never_reuse(&mut single_flight, &"other"), Join::Full));
        single_flight.complete(&"key", &7);
        let Join::Coalesced(mut late) = single_flight.join_or_reuse(&"key", |at, _| before < at) else {
            panic!("the work has just ended")
        };
        assert_eq!(late.try_recv().unwrap(), 7);
        assert!(matches!(never_reuse(&mut single_flight, &"key"), Join::First(_)));
    }
}
