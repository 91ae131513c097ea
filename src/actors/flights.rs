//! Work that is under way for several askers at once: the first starts it, the others wait for the same outcome. Starts
//! nothing itself.

use std::collections::HashMap;
use std::hash::Hash;

use tokio::sync::oneshot;

/// What is under way, by what it is for, and who waits for it.
pub(super) struct Flights<K, T> {
    waiters: HashMap<K, Vec<oneshot::Sender<T>>>,
    limit: usize,
}

/// A place among those who wait.
pub(super) enum Boarding<T> {
    /// The asker has to start the work.
    First(oneshot::Receiver<T>),
    /// The work is under way.
    Joined(oneshot::Receiver<T>),
    /// Too much is under way already.
    Full,
}

impl<K: Eq + Hash + Clone, T: Clone> Flights<K, T> {
    /// At most `limit` different things at once.
    pub(super) fn new(limit: usize) -> Self {
        Self { waiters: HashMap::new(), limit }
    }

    /// Waits for the work of this key.
    pub(super) fn board(&mut self, key: &K) -> Boarding<T> {
        let (sender, receiver) = oneshot::channel();
        let under_way = self.waiters.len();
        match self.waiters.get_mut(key) {
            Some(waiters) => {
                waiters.retain(|waiter| !waiter.is_closed());
                waiters.push(sender);
                Boarding::Joined(receiver)
            }
            None if under_way >= self.limit => Boarding::Full,
            None => {
                self.waiters.insert(key.clone(), vec![sender]);
                Boarding::First(receiver)
            }
        }
    }

    /// Gives everyone who waits the outcome.
    pub(super) fn land(&mut self, key: &K, outcome: &T) {
        for waiter in self.waiters.remove(key).unwrap_or_default() {
            drop(waiter.send(outcome.clone()));
        }
    }

    /// How many different things are under way.
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }
}
