//! A queue in which groups take turns: of each group the oldest, so that many of one group delay those of others by
//! one.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Items of several groups, in the order in which they are taken.
#[derive(Debug)]
pub struct FairQueue<K, T> {
    /// The groups that have items, in the order of their turns.
    turns: VecDeque<K>,
    items: HashMap<K, VecDeque<T>>,
    len: usize,
}

impl<K, T> Default for FairQueue<K, T> {
    fn default() -> Self {
        Self { turns: VecDeque::new(), items: HashMap::new(), len: 0 }
    }
}

impl<K: Copy + Eq + Hash, T> FairQueue<K, T> {
    /// Adds an item of a group.
    pub fn push(&mut self, group: K, item: T) {
        let items = self.items.entry(group).or_default();
        if items.is_empty() {
            self.turns.push_back(group);
        }
        items.push_back(item);
        self.len += 1;
    }

    /// Takes the oldest item of the group whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        let group = self.turns.pop_front()?;
        let items = self.items.get_mut(&group)?;
        let item = items.pop_front();
        if items.is_empty() {
            self.items.remove(&group);
        } else {
            self.turns.push_back(group);
        }
        self.len -= usize::from(item.is_some());
        item
    }

    /// Keeps the items for which this is true.
    pub fn retain(&mut self, mut is_kept: impl FnMut(&T) -> bool) {
        self.items.values_mut().for_each(|items| items.retain(&mut is_kept));
        self.items.retain(|_, items| !items.is_empty());
        self.turns.retain(|group| self.items.contains_key(group));
        self.len = self.items.values().map(VecDeque::len).sum();
    }

    /// Returns the number of items of a group.
    pub fn len_of(&self, group: K) -> usize {
        self.items.get(&group).map_or(0, VecDeque::len)
    }

    /// Returns the number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the number of groups that have items.
    pub fn groups(&self) -> usize {
        self.turns.len()
    }

    /// Returns true if there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_take_turns_and_keep_their_order() {
        let mut queue = FairQueue::default();
        for number in 1..=4 {
            queue.push('a', number);
        }
        queue.push('b', 10);
        queue.push('c', 20);
        queue.push('b', 11);
        queue.retain(|number| *number != 3);
        assert_eq!((queue.len(), queue.len_of('a'), queue.len_of('d')), (6, 3, 0));
        let order: Vec<i32> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [1, 10, 20, 2, 11, 4]);
        assert!(queue.is_empty() && queue.items.is_empty());
    }
}
