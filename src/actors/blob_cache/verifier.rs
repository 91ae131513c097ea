//! Background verification of stored content, on one thread of low priority. First the database of the index is
//! compared with its files. Then everything is verified at a bounded rate, once after a start and again on a schedule:
//! blobs, the most recently used first; and in [`scrub`] manifests, the index and what is counted. Suspected blobs are
//! verified at once. A blob whose digest is wrong is removed, and the next pull fetches it again. No request waits for
//! the verification.

mod scrub;

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::repeats::Repeats;
use crate::actors::admission::refused;
use crate::domain::digest::Digest;
use crate::formats::quantity;
use crate::store::blobs::{BlobFiles, Stamp, Verified, lower_priority};
use crate::store::content::ContentStore;
use crate::store::error::StoreError;

/// Options of the verification of stored blobs: its keys of `[storage]`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct VerifyOptions {
    /// Maximum number of bytes that are read per second; 0: only suspected blobs are verified.
    #[serde(rename = "verify_bytes_per_second", deserialize_with = "quantity::bytes")]
    pub bytes_per_second: u64,
    /// Time from the start of one round through all blobs to the start of the next; more than zero.
    #[serde(rename = "verify_interval", deserialize_with = "quantity::long_duration")]
    pub interval: Duration,
}

/// Handle of the verification thread, which ends when the handle is dropped.
pub(super) struct Verifier {
    suspects: SyncSender<Digest>,
    repeats: Repeats,
}

/// Cost of opening a file, as the number of bytes that could be read instead.
const FILE_COST_BYTES: u64 = 16 << 10;

/// Maximum number of suspected blobs that wait.
const MAX_SUSPECTS: usize = 256;

/// Factor by which suspected blobs are read faster than others.
const SUSPECT_FACTOR: u64 = 8;

/// Minimum rate in bytes per second at which suspected blobs are read.
const MIN_SUSPECT_RATE: u64 = 160 << 20;

/// Time after a successful verification for which a suspected blob is not verified again, unless its file was changed.
const TRUST_TTL: Duration = Duration::from_secs(60);

/// Maximum number of blobs that are remembered as verified. At the limit all are dropped.
const MAX_TRUSTED: usize = 4096;

/// Time between checks for a round when rounds are switched off. Suspected blobs are verified meanwhile.
const IDLE_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// Metric label of the queue of suspected blobs.
const QUEUE: &str = "blob_suspects";

impl Verifier {
    /// Starts the verification thread. If that fails, the error is logged and nothing is verified.
    pub(super) fn start(files: BlobFiles, content: ContentStore, options: VerifyOptions) -> Self {
        let (suspects, queue) = sync_channel(MAX_SUSPECTS);
        let work = Work { files, content, options, queue, trusted: HashMap::new(), ended: false };
        if let Err(error) = thread::Builder::new().name("verifier".to_owned()).spawn(move || work.run()) {
            tracing::error!(%error, "stored blobs are not verified: no thread could be started");
        }
        Self { suspects, repeats: Repeats::new() }
    }

    /// Records that a stored blob is sent whole to this client. A repeat makes the blob suspected.
    pub(super) fn given(&self, client: u64, digest: &Digest) {
        if self.repeats.is_repeat(client, digest) {
            self.suspect(digest);
        }
    }

    /// Records that a client is sent to the object store for a whole blob. Returns true for a repeat.
    pub(super) fn is_sent_again(&self, client: u64, digest: &Digest) -> bool {
        self.repeats.is_repeat(client, digest)
    }

    /// Queues this blob for verification as soon as possible. If the queue is full, the next round verifies it.
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
    content: ContentStore,
    options: VerifyOptions,
    queue: Receiver<Digest>,
    /// Suspected blobs that were verified successfully, with the time and the stamp of the file.
    trusted: HashMap<Digest, (Instant, Option<Stamp>)>,
    ended: bool,
}

impl Work {
    fn run(mut self) {
        lower_priority();
        if let Err(error) = self.content.verify() {
            tracing::warn!(%error, "the index could not be compared with its files, which are used instead");
        }
        while !self.ended {
            let begin = Instant::now();
            let next = if self.options.bytes_per_second > 0 {
                self.verify_blobs();
                self.scrub();
                self.options.interval
            } else {
                IDLE_INTERVAL
            };
            self.pause(next.saturating_sub(begin.elapsed()));
        }
    }

    /// Verifies all blobs that are stored now.
    fn verify_blobs(&mut self) {
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
            log_failure(digest, verified);
            if !self.pause_for_file() {
                return;
            }
        }
        tracing::debug!(blobs = blobs.len(), "all stored blobs were verified");
    }

    /// Waits for as long as a file costs, so that many small files are not more work than few large ones. Returns false
    /// once the service ends.
    fn pause_for_file(&mut self) -> bool {
        self.pause(time_for(FILE_COST_BYTES, self.options.bytes_per_second));
        !self.ended
    }

    /// Waits for this time, and verifies the blobs that become suspected meanwhile.
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
        if trusted.is_some_and(|(since, file)| *file == stamp && since.elapsed() < TRUST_TTL) {
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
        log_failure(digest, verified);
    }
}

/// Returns the time that reading these bytes takes at this rate, in bytes per second.
fn time_for(bytes: u64, rate: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64)
}

fn count(read: u64) {
    metrics::counter!("dependency_proxy_verified_bytes_total").increment(read);
}

/// Logs that a blob could not be verified. A wrong digest is logged by the store.
fn log_failure(digest: &Digest, verified: Result<Verified, StoreError>) {
    if let Err(error) = verified {
        tracing::warn!(%digest, %error, "a stored blob cannot be verified");
    }
}
