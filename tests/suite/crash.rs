//! The service is killed at random moments, damaged, filled up and stopped: acknowledged changes exist afterwards,
//! served content is correct, and no partial file stays. The moments follow from a seed, which is printed;
//! `DEPENDENCY_PROXY_TEST_SEED` sets another one.

mod caller;
mod changes;
mod damage;
mod downloads;
mod folder;
mod full_disk;
mod identities;
mod ledger;
mod order;
mod owners;
mod regained;
mod restoring;
mod starting;
mod stopping;

use std::time::Duration;

/// Pseudo-random moments and choices, the same for the same seed.
pub(crate) struct Chances(u64);

impl Chances {
    /// Creates the generator from the seed of this run; `part` distinguishes tests.
    pub(crate) fn announced(part: &str) -> Self {
        let seed = std::env::var("DEPENDENCY_PROXY_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u64);
        eprintln!("{part}: DEPENDENCY_PROXY_TEST_SEED={seed}");
        Self(part.bytes().fold(seed, |mixed, byte| mixed.wrapping_mul(31).wrapping_add(byte.into())))
    }

    /// Returns another generator that follows from this one.
    pub(crate) fn branch(&mut self) -> Self {
        Self(self.next())
    }

    /// Returns a number from 0 to below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Returns a duration from zero to below `end` milliseconds.
    pub(crate) fn moment(&mut self, end: u64) -> Duration {
        Duration::from_micros(self.below(end * 1000))
    }

    /// Returns the next number (SplitMix64).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

pub(crate) use folder::files;
