//! Work that is under way for several askers at once: the first starts it, the others wait for the same outcome. Starts
//! nothing itself.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// What is under way, by what it is for, and who waits for it.
pub(super) struct Flights<K, T> {
    waiters: HashMap<K, Vec<oneshot::Sender<T>>>,
    landed: HashMap<K, (Instant, Recall<T>)>,
    landings: VecDeque<(Instant, K)>,
    limit: usize,
}

/// Gives an outcome once more, as long as it is to be had.
pub(super) type Recall<T> = Box<dyn Fn() -> Option<T> + Send>;

/// A place among those who wait.
pub(super) enum Boarding<T> {
    /// The asker has to start the work.
    First(oneshot::Receiver<T>),
    /// The work is under way, or was a moment ago.
    Joined(oneshot::Receiver<T>),
    /// Too much is under way already.
    Full,
}

/// Outcomes are at hand for this time.
const KEEP: Duration = Duration::from_secs(2);

impl<K: Eq + Hash + Clone, T: Clone> Flights<K, T> {
    /// At most `limit` different things at once.
    pub(super) fn new(limit: usize) -> Self {
        Self { waiters: HashMap::new(), landed: HashMap::new(), landings: VecDeque::new(), limit }
    }

    /// Waits for the work of this key.
    pub(super) fn board(&mut self, key: &K) -> Boarding<T> {
        self.board_unless(key, |_, _| false)
    }

    /// The same for one to whom an outcome of the last seconds will do, if it is so recent: that is as good as joined.
    pub(super) fn board_unless(&mut self, key: &K, will_do: impl Fn(Instant, &T) -> bool) -> Boarding<T> {
        let (sender, receiver) = oneshot::channel();
        let under_way = self.waiters.len();
        if let Some(waiters) = self.waiters.get_mut(key) {
            waiters.retain(|waiter| !waiter.is_closed());
            waiters.push(sender);
            return Boarding::Joined(receiver);
        }
        let landed = self.landed.get(key).and_then(|(landed_at, recall)| Some((*landed_at, recall()?)));
        if let Some((_, outcome)) = landed.filter(|(landed_at, outcome)| will_do(*landed_at, outcome)) {
            drop(sender.send(outcome));
            return Boarding::Joined(receiver);
        }
        if under_way >= self.limit {
            return Boarding::Full;
        }
        self.waiters.insert(key.clone(), vec![sender]);
        Boarding::First(receiver)
    }

    /// Gives everyone who waits the outcome, and keeps it for a moment.
    pub(super) fn land(&mut self, key: &K, outcome: &T)
    where
        T: Send + 'static,
    {
        let kept = outcome.clone();
        self.land_with(key, outcome, Box::new(move || Some(kept.clone())));
    }

    /// As [`Self::land`], for an outcome that is too large to be kept: `recall` gives it as long as somebody else has it.
    pub(super) fn land_with(&mut self, key: &K, outcome: &T, recall: Recall<T>) {
        for waiter in self.waiters.remove(key).unwrap_or_default() {
            drop(waiter.send(outcome.clone()));
        }
        let now = Instant::now();
        self.forget_before(now.checked_sub(KEEP));
        self.landed.insert(key.clone(), (now, recall));
        self.landings.push_back((now, key.clone()));
    }

    /// Forgets what has landed: nobody joins it any more.
    pub(super) fn forget_landed(&mut self) {
        self.landed.clear();
        self.landings.clear();
    }

    /// How many different things are under way.
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    fn forget_before(&mut self, oldest: Option<Instant>) {
        while let Some((landed_at, key)) =
            self.landings.pop_front_if(|(at, _)| oldest.is_some_and(|oldest| *at < oldest))
        {
            if self.landed.get(&key).is_some_and(|(at, _)| *at == landed_at) {
                self.landed.remove(&key);
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::panic, clippy::unwrap_used, reason = "a failed test panics")]
mod tests {
    use super::*;

    #[test]
    fn one_who_came_before_the_landing_has_joined_and_one_who_came_after_has_not() {
        let mut flights = Flights::new(1);
        let before = Instant::now();
        let Boarding::First(_first) = flights.board(&"key") else { panic!("nothing was under way") };
        assert!(matches!(flights.board(&"other"), Boarding::Full));
        flights.land(&"key", &7);
        let Boarding::Joined(mut late) = flights.board_unless(&"key", |at, _| before < at) else {
            panic!("it has just landed")
        };
        assert_eq!(late.try_recv().unwrap(), 7);
        assert!(matches!(flights.board(&"key"), Boarding::First(_)));
    }
}
