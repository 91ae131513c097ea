//! The hash of a download's bytes, computed on a blocking thread while the bytes are written and later ones are
//! received.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle};

use crate::auth::sha256::Hasher;
use crate::store::blocking::spawn_blocking;

/// Maximum number of bytes of a download that wait to be hashed. Where hashing is slower than writing, it never waits
/// for the next batch.
const MAX_WAITING_BYTES: usize = 512 * 1024;

/// Received bytes, in order.
pub(super) type Batch = Arc<Vec<Bytes>>;

/// The hash of the batches that were added so far.
#[derive(Default)]
pub(super) struct Hashing {
    queue: Arc<Queue>,
    /// The work that was started last.
    running: Option<JoinHandle<()>>,
}

/// The hash of a download, and of all of it but the last batch.
#[derive(Clone, Default)]
pub(super) struct Hashes {
    pub(super) whole: Hasher,
    pub(super) before_last: Hasher,
}

struct Queue {
    state: Mutex<State>,
    /// One permit for each byte that may still be added. Closed if the work was lost. No admission limit: it slows one
    /// download down and refuses nobody.
    room: Semaphore,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Batch>,
    hashes: Hashes,
    is_running: bool,
}

impl Hashing {
    /// Adds a batch, and waits as long as it would exceed [`MAX_WAITING_BYTES`]. The hash is computed later.
    ///
    /// # Errors
    ///
    /// Fails if the work on a blocking thread was lost.
    pub(super) async fn add(&mut self, batch: Batch) -> Result<(), JoinError> {
        let queue = Arc::clone(&self.queue);
        let Ok(room) = queue.room.acquire_many(permits(&batch)).await else { return self.settled().await };
        room.forget();
        let mut state = queue.state();
        state.waiting.push_back(batch);
        if !mem::replace(&mut state.is_running, true) {
            drop(state);
            let work = Work { queue: Arc::clone(&self.queue), is_done: false };
            self.running = Some(spawn_blocking(move || work.run()));
        }
        Ok(())
    }

    /// Waits until all batches are hashed.
    ///
    /// # Errors
    ///
    /// Fails if the work on a blocking thread was lost.
    pub(super) async fn finish(&mut self) -> Result<Hashes, JoinError> {
        self.settled().await?;
        Ok(self.queue.state().hashes.clone())
    }

    async fn settled(&mut self) -> Result<(), JoinError> {
        match self.running.take() {
            Some(running) => running.await,
            None => Ok(()),
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self { state: Mutex::default(), room: Semaphore::new(MAX_WAITING_BYTES) }
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hashes until no batch waits.
struct Work {
    queue: Arc<Queue>,
    is_done: bool,
}

impl Work {
    fn run(mut self) {
        let mut hashes = self.queue.state().hashes.clone();
        while let Some(batch) = self.next(&hashes) {
            hashes.before_last = hashes.whole.clone();
            batch.iter().for_each(|bytes| hashes.whole.update(bytes));
            self.queue.room.add_permits(permits(&batch) as usize);
        }
    }

    /// Returns the next batch. Without one, stores the hashes and ends the work.
    fn next(&mut self, hashes: &Hashes) -> Option<Batch> {
        let mut state = self.queue.state();
        let next = state.waiting.pop_front();
        if next.is_none() {
            state.hashes = hashes.clone();
            state.is_running = false;
            self.is_done = true;
        }
        next
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // It panicked, or never ran: nothing takes batches from the queue any more.
        if !self.is_done {
            self.queue.room.close();
        }
    }
}

/// Returns the permits for a batch, one for each byte. One that is larger than the queue needs all of them.
fn permits(batch: &Batch) -> u32 {
    length(batch).min(MAX_WAITING_BYTES) as u32
}

/// Returns the number of bytes in a batch.
pub(super) fn length(batch: &[Bytes]) -> usize {
    batch.iter().map(Bytes::len).sum()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test; a panic is its subject")]
mod tests {
    use super::*;
    use crate::auth::sha256::digest;

    #[tokio::test]
    async fn the_hash_is_that_of_all_batches_and_without_the_last_that_of_the_others() {
        let content: Vec<u8> = (0..5 * MAX_WAITING_BYTES / 2).map(|n| (n / 7) as u8).collect();
        for size in [300_000, MAX_WAITING_BYTES, 2 * MAX_WAITING_BYTES] {
            let mut hashing = Hashing::default();
            for batch in content.chunks(size) {
                let (half, rest) = batch.split_at(batch.len() / 2);
                hashing.add(Arc::new(vec![Bytes::copy_from_slice(half), Bytes::copy_from_slice(rest)])).await.unwrap();
            }
            for _again in 0..2 {
                let Hashes { whole, before_last } = hashing.finish().await.unwrap();
                assert_eq!(whole.finish(), digest(&content));
                let last = content.chunks(size).last().unwrap().len();
                assert_eq!(before_last.finish(), digest(&content[..content.len() - last]));
            }
            assert_eq!(hashing.queue.room.available_permits(), MAX_WAITING_BYTES, "nothing is left over");
        }
    }

    #[tokio::test]
    async fn bytes_can_be_added_after_the_hash_was_needed() {
        let mut hashing = Hashing::default();
        for text in ["hello ", "world"] {
            hashing.add(Arc::new(vec![Bytes::from(text)])).await.unwrap();
            hashing.finish().await.unwrap();
        }
        assert_eq!(hashing.finish().await.unwrap().whole.finish(), digest(b"hello world"));
    }

    #[tokio::test]
    async fn lost_work_is_an_error_also_for_those_who_wait_for_room() {
        let mut hashing = Hashing::default();
        let work = Work { queue: Arc::clone(&hashing.queue), is_done: false };
        hashing.queue.state().is_running = true;
        hashing.running = Some(tokio::spawn(async move {
            let _lost = work;
            panic!("a test of lost work");
        }));
        let batch = Arc::new(vec![Bytes::from(vec![0; MAX_WAITING_BYTES])]);
        let first = hashing.add(Arc::clone(&batch)).await;
        assert!(first.is_err() || hashing.add(batch).await.is_err());
    }
}
