//! Verification of what is stored in the background, on one thread of low priority. First the database of the index is compared with
//! its files. Then blobs are verified: each once after a start, those used last first,
//! and again on a schedule, at a bounded rate; and at once those that are under suspicion. What does not hold is removed: the next pull
//! fetches it again. Nobody waits for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::repeats::Repeats;
use crate::actors::places::refused;
use crate::domain::digest::Digest;
use crate::store::blobs::{BlobFiles, Stamp, Verified, lower_priority};
use crate::store::error::StoreError;
use crate::store::index::Index;

/// How stored blobs are verified.
#[derive(Clone, Copy, Debug)]
pub struct VerifyOptions {
    /// The maximum of bytes that are read in a second; 0: only what is under suspicion is verified.
    pub bytes_per_second: u64,
    /// From the begin of one round through all blobs to that of the next.
    pub interval: Duration,
}

/// The handle. Once it is dropped, the thread ends.
pub(super) struct Verifier {
    suspects: SyncSender<Digest>,
    repeats: Repeats,
}

/// To open a file counts as reading so many bytes.
const FILE_COST: u64 = 16 << 10;

/// The maximum of blobs under suspicion that wait.
const MAX_SUSPECTS: usize = 256;

/// Blobs under suspicion are read so much faster than all others, and at least at [`MIN_SUSPECT_RATE`] ...
const SUSPECT_FACTOR: u64 = 8;
const MIN_SUSPECT_RATE: u64 = 160 << 20;

/// ... and after one that held not again for so long, unless its file was changed since.
const TRUSTED_FOR: Duration = Duration::from_secs(60);

/// The maximum of blobs that are remembered for that.
const MAX_TRUSTED: usize = 4096;

/// Where there are no rounds, so long nothing is to be done but what is under suspicion.
const IDLE: Duration = Duration::from_secs(24 * 3600);

const QUEUE: &str = "blob_suspects";

impl Verifier {
    /// Starts the thread.
    pub(super) fn start(files: BlobFiles, index: Arc<Index>, options: VerifyOptions) -> Self {
        let (suspects, queue) = sync_channel(MAX_SUSPECTS);
        let work = Work { files, index, options, queue, trusted: HashMap::new(), ended: false };
        if let Err(error) = thread::Builder::new().name("verifier".to_owned()).spawn(move || work.run()) {
            tracing::error!(%error, "stored blobs are not verified: no thread could be started");
        }
        Self { suspects, repeats: Repeats::new() }
    }

    /// Notes that a stored blob is given whole to this client. If it was a moment ago, the blob is under suspicion.
    pub(super) fn given(&self, client: u64, digest: &Digest) {
        if self.repeats.again(client, digest) {
            self.suspect(digest);
        }
    }

    /// Verifies this blob as soon as possible. One that finds no place in the queue is verified in its turn.
    pub(super) fn suspect(&self, digest: &Digest) {
        if self.suspects.try_send(*digest).is_err() {
            refused(QUEUE);
            return;
        }
        metrics::gauge!("dependency_proxy_queue_length", "queue" => QUEUE).increment(1);
    }
}

struct Work {
    files: BlobFiles,
    index: Arc<Index>,
    options: VerifyOptions,
    queue: Receiver<Digest>,
    /// What held when it was under suspicion, when that was, and the file that it was.
    trusted: HashMap<Digest, (Instant, Option<Stamp>)>,
    ended: bool,
}

impl Work {
    fn run(mut self) {
        lower_priority();
        if let Err(error) = self.index.check_against_files() {
            tracing::warn!(%error, "the index could not be compared with its files, which are used instead");
        }
        while !self.ended {
            let begin = Instant::now();
            let next = if self.options.bytes_per_second > 0 {
                self.round();
                self.options.interval
            } else {
                IDLE
            };
            self.pause(next.saturating_sub(begin.elapsed()));
        }
    }

    /// Verifies all blobs that are stored now.
    fn round(&mut self) {
        let blobs = self.files.by_last_use().unwrap_or_else(|error| {
            tracing::warn!(%error, "the stored blobs cannot be listed, and are not verified");
            Vec::new()
        });
        let (files, rate) = (self.files.clone(), self.options.bytes_per_second);
        for digest in &blobs {
            let verified = files.verify(digest, &mut |read| {
                count(read);
                self.pause(time_for(read, rate));
                !self.ended
            });
            tell(digest, verified);
            // Many small ones are no more work than few large ones.
            self.pause(time_for(FILE_COST, rate));
            if self.ended {
                return;
            }
        }
        tracing::debug!(blobs = blobs.len(), "all stored blobs were verified");
    }

    /// Waits, and verifies what comes under suspicion meanwhile.
    fn pause(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        loop {
            match self.queue.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(digest) => self.verify_suspect(&digest),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => {
                    self.ended = true;
                    return;
                }
            }
        }
    }

    fn verify_suspect(&mut self, digest: &Digest) {
        metrics::gauge!("dependency_proxy_queue_length", "queue" => QUEUE).decrement(1);
        let stamp = self.files.stamp(digest).unwrap_or_default();
        let trusted = self.trusted.get(digest);
        if trusted.is_some_and(|(since, file)| *file == stamp && since.elapsed() < TRUSTED_FOR) {
            return;
        }
        let rate = self.options.bytes_per_second.saturating_mul(SUSPECT_FACTOR).max(MIN_SUSPECT_RATE);
        let verified = self.files.verify(digest, &mut |read| {
            count(read);
            thread::sleep(time_for(read, rate));
            true
        });
        if matches!(verified, Ok(Verified::Holds)) {
            if self.trusted.len() >= MAX_TRUSTED {
                self.trusted.clear();
            }
            self.trusted.insert(*digest, (Instant::now(), stamp));
        }
        tell(digest, verified);
    }
}

fn time_for(bytes: u64, rate: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64)
}

fn count(read: u64) {
    metrics::counter!("dependency_proxy_verified_bytes_total").increment(read);
}

/// Damage is told where it is found.
fn tell(digest: &Digest, verified: Result<Verified, StoreError>) {
    if let Err(error) = verified {
        tracing::warn!(%digest, %error, "a stored blob cannot be verified");
    }
}
