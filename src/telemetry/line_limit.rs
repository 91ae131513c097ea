//! A limit on log lines that requests cause: a client that retries must neither fill the log nor hide other lines in
//! it. Refusals have a limit of their own, by client (`http::refusals`).

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::line_window::{LineWindow, MAX_LINES_PER_WINDOW};

/// A limit for each key: [`MAX_LINES_PER_WINDOW`] lines in a [`LineWindow`].
pub struct LineLimit<K>(Mutex<BTreeMap<K, LineWindow>>);

/// Maximum number of keys. At the limit those whose window has ended are forgotten; if there are none, further keys get
/// no lines.
const MAX_KEYS: usize = 1_000;

impl<K: Ord> LineLimit<K> {
    /// Creates a limit under which no line was written yet.
    #[expect(clippy::new_without_default, reason = "it is only made for a static")]
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Returns the number of lines that were left out before if a line about this key may be written, and else `None`.
    pub fn admit<Q>(&self, key: &Q) -> Option<LeftOut>
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        self.admit_at(key, Instant::now())
    }

    fn admit_at<Q>(&self, key: &Q, now: Instant) -> Option<LeftOut>
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !windows.contains_key(key) {
            if windows.len() >= MAX_KEYS {
                windows.retain(|_, window| !window.has_ended(now));
            }
            if windows.len() >= MAX_KEYS {
                return None;
            }
            windows.insert(key.to_owned(), LineWindow::new(now));
        }
        let left_out = windows.get_mut(key)?.admit(MAX_LINES_PER_WINDOW, now)?;
        Some(Some(left_out).filter(|left_out| *left_out > 0))
    }
}

/// The number of lines that were left out before a line; `None` if there were none.
pub type LeftOut = Option<u64>;

#[cfg(test)]
mod tests {
    use super::super::line_window::WINDOW_LENGTH;
    use super::*;

    #[test]
    fn a_key_gets_some_lines_a_minute_and_the_next_one_says_how_many_are_missing() {
        let (limit, now) = (LineLimit::<String>::new(), Instant::now());
        let written = (0..25).filter(|_| limit.admit_at("one", now).is_some()).count();
        assert_eq!(written, 10);
        assert_eq!(limit.admit_at("other", now), Some(None));
        assert_eq!(limit.admit_at("one", now + WINDOW_LENGTH), Some(Some(15)));
        assert_eq!(limit.admit_at("one", now + WINDOW_LENGTH), Some(None));
    }

    #[test]
    fn a_flood_of_keys_takes_bounded_room() {
        let (limit, now) = (LineLimit::<u64>::new(), Instant::now());
        assert_eq!((0..5_000).filter(|key| limit.admit_at(key, now).is_some()).count(), MAX_KEYS);
        assert_eq!(limit.admit_at(&9_999, now + WINDOW_LENGTH), Some(None));
        assert_eq!(limit.0.lock().unwrap_or_else(PoisonError::into_inner).len(), 1);
    }
}
