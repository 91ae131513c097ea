//! 100,000 seeded orders of events around the state machine: readers come, read and leave while upstream delivers,
//! cuts, resumes and sends wrong content, the disk fills, and the blob is committed, evicted, or lost with the process.
//! The machine is the real one; what surrounds it is a model. The tests of `actors::blob_cache` do the same with the
//! real cache around it.

use super::*;

const INTERLEAVINGS: u64 = 100_000;

/// Maximum number of steps after which each reader has an end.
const MAX_STEPS: usize = 2_000;

/// Source of seeded choices: splitmix64.
struct Random(u64);

impl Random {
    /// Returns a number from 0 to below `end`, which is more than zero.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// A blob, its one download, and its readers.
struct Model {
    random: Random,
    length: u64,
    download: Option<Download>,
    /// For each byte of the file, true if it is right.
    file: Vec<bool>,
    /// The bytes that were received and not written.
    batch: Vec<bool>,
    is_requested: bool,
    /// Number of bytes that each reader has got.
    readers: Vec<u64>,
    is_stored: bool,
    /// True once a download has ended well.
    has_ended_well: bool,
    trace: Vec<String>,
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let length = random.below(7);
        let (download, file, batch, readers, trace) = Default::default();
        let (is_requested, is_stored, has_ended_well) = Default::default();
        Self { random, length, download, file, batch, is_requested, readers, is_stored, has_ended_well, trace }
    }

    /// Lets a caller open the blob: the stored one, the running download, or a new download.
    fn come(&mut self) {
        if self.is_stored {
            return;
        }
        if self.download.is_none() {
            let expected = Expected { verified: None, claimed: self.random.one_in(3).then(|| self.random.below(8)) };
            let limits = Limits {
                max_length: self.random.one_in(10).then_some(3),
                free_space: if self.random.one_in(10) { 2 } else { u64::MAX },
                ..UNLIMITED
            };
            (self.file, self.batch, self.is_requested) = Default::default();
            self.download = Some(Download::new(expected, limits));
        }
        self.readers.push(0);
    }

    /// Performs the next action of the download.
    fn act(&mut self) {
        let Some(download) = &self.download else { return };
        let (action, random, length) = (download.next(), &mut self.random, self.length);
        let event = match action {
            Action::End(outcome) => return self.end(outcome),
            Action::Request { from, .. } => {
                assert_eq!(from, self.file.len() as u64, "resumed at another offset than that of the next byte");
                // The driver drops the old response before it requests again.
                self.is_requested = !random.one_in(4);
                if self.is_requested {
                    Event::Responded(reported(random, length))
                } else {
                    Event::Interrupted { retryable: !random.one_in(6) }
                }
            }
            Action::RequestLength => Event::LengthReported(reported(random, length)),
            Action::Receive => {
                assert!(self.is_requested && self.batch.is_empty());
                let left = length.saturating_sub(self.file.len() as u64);
                match random.below(8) {
                    0 => Event::Interrupted { retryable: !random.one_in(6) },
                    1 => Event::Ended,
                    _ if left == 0 && !random.one_in(6) => Event::Ended,
                    _ => {
                        let bytes = 1 + random.below(left.max(1));
                        self.batch = (0..bytes).map(|_| left > 0 && !random.one_in(12)).collect();
                        Event::Received(bytes)
                    }
                }
            }
            Action::Write if random.one_in(20) => Event::WriteFailed,
            Action::Write => {
                let written = self.batch.len() as u64;
                self.file.append(&mut self.batch);
                Event::Written(written)
            }
            Action::Verify => Event::Verified(self.is_right()),
            Action::Commit if random.one_in(8) => Event::CommitFailed,
            Action::Commit => {
                assert!(self.is_right(), "a wrong content is stored");
                self.is_stored = true;
                Event::Committed
            }
        };
        self.trace.push(format!("{action:?}: {event:?}"));
        if let Some(download) = &mut self.download {
            download.on(event);
        }
    }

    fn is_right(&self) -> bool {
        self.file.len() as u64 == self.length && self.file.iter().all(|right| *right)
    }

    /// Lets one reader read what it may.
    fn read(&mut self) {
        let (Some(download), Some(last)) = (&self.download, self.readers.len().checked_sub(1)) else { return };
        let reader = &mut self.readers[self.random.below(last as u64 + 1) as usize];
        if let Some(announced) = download.announced() {
            assert!(download.readable() <= self.file.len() as u64 && *reader <= download.readable());
            *reader = download.readable();
            assert!(*reader < announced || self.is_right(), "a wrong content is finished");
        }
    }

    fn end(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Stored | Outcome::NotCommitted => assert!(self.is_right()),
            Outcome::Spilled { at } => assert_eq!(at, self.file.len() as u64),
            Outcome::Unstored(_) => assert!(self.readers.iter().all(|got| *got == 0), "bytes of what is passed on"),
            Outcome::Failed(failure) => assert_ne!(failure, Failure::OutOfOrder),
        }
        self.has_ended_well |= matches!(outcome, Outcome::Stored | Outcome::NotCommitted);
        self.trace.push(format!("{outcome:?} ends {} readers", self.readers.len()));
        self.download = None;
        self.readers.clear();
    }

    fn step(&mut self, is_last: bool) {
        match self.random.below(10) {
            0 if !is_last => self.come(),
            1 => drop(self.readers.pop()),
            2 | 3 => self.read(),
            4 if self.random.one_in(6) => self.is_stored = false,
            5 if self.random.one_in(20) => (self.download, self.readers) = Default::default(),
            _ => self.act(),
        }
    }
}

/// Returns a length as upstream reports it: the right one, none, or a wrong one.
fn reported(random: &mut Random, length: u64) -> Option<u64> {
    match random.below(8) {
        0 | 1 => None,
        2 => Some(random.below(9)),
        _ => Some(length),
    }
}

#[test]
fn no_order_of_events_stores_or_finishes_what_is_wrong_or_leaves_a_reader_waiting() {
    let mut well = 0;
    for seed in 0..INTERLEAVINGS {
        let mut model = Model::new(seed);
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            model.come();
            let mut steps = 0;
            while steps < 60 || !model.readers.is_empty() {
                model.step(steps >= 60);
                steps += 1;
                assert!(steps < MAX_STEPS, "a reader waits for ever");
            }
        }));
        assert!(run.is_ok(), "seed {seed}: {:#?}", model.trace);
        well += u64::from(model.has_ended_well);
    }
    assert!(well > INTERLEAVINGS / 4, "{well} of {INTERLEAVINGS} ended well");
}
