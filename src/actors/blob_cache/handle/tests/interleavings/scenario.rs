//! Content of one interleaving, apart from the order: the blob, the limits, the callers, the disturbances, and the
//! frequency of upstream's faults. All of it follows from the seed.

use std::time::Duration;

use bytes::Bytes;

use super::SEEDS_PER_STORE;
use super::random::Random;
use crate::actors::blob_cache::handle::tests::scene::{most, origin};
use crate::actors::blob_cache::{BlobCacheOptions, OpenBlob, Transfer};
use crate::auth::sha256;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::origin::{Account, Origin};

#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) seed: u64,
    pub(super) content: Bytes,
    pub(super) digest: Digest,
    pub(super) options: BlobCacheOptions,
    pub(super) max_waiters: usize,
    /// The quota of group 2.
    pub(super) group_quota: Option<u64>,
    /// Other content that is stored, and has to be evicted for the blob.
    pub(super) other: Option<Bytes>,
    /// Number of bytes after which the disk is full.
    pub(super) disk: u64,
    /// The lengths that manifests of groups 1 to 3 claim.
    pub(super) claims: [Option<u64>; 3],
    /// Upstream is right in all but one of this number of responses; 0: in all.
    pub(super) faults: u64,
    /// One of this number of pieces of blocking work is lost; 0: none.
    pub(super) losses: u64,
    pub(super) callers: Vec<Caller>,
    /// Disturbances, each with the number of turns of all after which it comes.
    pub(super) disturbances: Vec<(usize, Disturbance)>,
    /// Number of turns after which the process is killed and started again.
    pub(super) killed_after: Option<usize>,
    /// True if everything works again at the end, and another caller comes.
    pub(super) has_last: bool,
}

/// A caller: its group, its request, and the turns at which it comes and leaves.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) group: u64,
    /// True for another repository and account.
    pub(super) elsewhere: bool,
    pub(super) wants: Wants,
    /// Number of turns of all after which it sends its request.
    pub(super) after: usize,
    /// Number of its own turns after which it leaves.
    pub(super) turns: usize,
    /// True if it comes after the restart, where there is one.
    pub(super) after_restart: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Wants {
    Whole(Transfer),
    Ranges(String),
    Head,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Disturbance {
    /// The blob's file is removed.
    Removal,
    /// The files of running downloads are removed, so that they cannot be committed.
    LostSpool,
    /// The disk takes no more bytes.
    FullDisk,
    /// The links of all groups are dropped from memory.
    ForgottenLinks,
    /// Everything that can be is evicted.
    Eviction,
    /// Waits for what is being committed, as at a shutdown.
    Finish,
}

const DISTURBANCES: [Disturbance; 6] = [
    Disturbance::Removal,
    Disturbance::LostSpool,
    Disturbance::FullDisk,
    Disturbance::ForgottenLinks,
    Disturbance::Eviction,
    Disturbance::Finish,
];

/// Length in bytes of a blob that is not kept in memory.
const LARGE_BYTES: u64 = 17_000;

/// Minimum length in bytes of a content that no other seed has.
const UNIQUE_BYTES: usize = 8;

impl Scenario {
    pub(super) fn of(seed: u64) -> Self {
        let mut random = Random::new(seed, 1);
        let length = match random.below(32) {
            0 => 0,
            1 | 2 => 1 + random.below(3),
            3 => LARGE_BYTES + random.below(9),
            _ => UNIQUE_BYTES as u64 + random.below(40),
        };
        let content = bytes(&mut random, length);
        let mut some = |one_in, value: u64| random.one_in(one_in).then_some(value);
        let (max_blob_bytes, group_quota) = (some(10, length / 2), some(10, length / 2));
        let (full, killed) = (some(5, 0).is_some(), some(10, 0).is_some());
        let other =
            (has_database(seed) && length > 0 && !killed && some(3, 0).is_some()).then(|| bytes(&mut random, 20));
        let options = BlobCacheOptions {
            max_blob_bytes,
            max_downloads: most(random.of(&[1, 4, 4])),
            max_unstored_streams: most(random.of(&[1, 2, 4])),
            max_range_streams: most(random.of(&[1, 4])),
            max_downloads_per_group: most(random.of(&[1, 4, 4])),
            response_timeout: Duration::from_secs(random.of(&[2, 24])),
        };
        let claims = [(); 3].map(|()| match random.below(8) {
            0 | 1 => Some(length),
            2 => Some(random.below(length + 3)),
            _ => None,
        });
        let callers = (0..random.of(&[1, 1, 2, 2, 2, 3, 4])).map(|_| caller(&mut random, length)).collect();
        let disturbances = (0..random.of(&[0, 0, 1, 2])).map(|_| (random.below(40) as usize, random.of(&DISTURBANCES)));
        let disturbances = disturbances.collect();
        Self {
            seed,
            digest: sha256::digest(&content),
            content,
            options,
            max_waiters: random.of(&[1, 2, 64, 64, 64, 64]),
            group_quota,
            other,
            disk: if full { random.below(length + 1) } else { u64::MAX },
            claims,
            faults: random.of(&[0, 2, 4, 8]),
            losses: random.of(&[0, 0, 0, 0, 0, 0, 0, 30]),
            callers,
            disturbances,
            has_last: random.one_in(4),
            killed_after: killed.then(|| random.below(40) as usize),
        }
    }

    /// Returns scenarios that are simpler by one thing.
    pub(super) fn simpler(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for number in 0..self.callers.len() {
            let mut simpler = self.clone();
            simpler.callers.remove(number);
            all.push(simpler);
            if self.callers[number].after > 0 {
                let mut simpler = self.clone();
                simpler.callers[number].after = 0;
                all.push(simpler);
            }
        }
        for number in 0..self.disturbances.len() {
            let mut simpler = self.clone();
            simpler.disturbances.remove(number);
            all.push(simpler);
        }
        let mut add = |is_simple: bool, simplify: &dyn Fn(&mut Self)| {
            if !is_simple {
                let mut simpler = self.clone();
                simplify(&mut simpler);
                all.push(simpler);
            }
        };
        add(self.killed_after.is_none(), &|simpler| simpler.killed_after = None);
        add(self.other.is_none(), &|simpler| simpler.other = None);
        add(self.losses == 0, &|simpler| simpler.losses = 0);
        add(self.faults == 0, &|simpler| simpler.faults = 0);
        add(self.disk == u64::MAX, &|simpler| simpler.disk = u64::MAX);
        add(self.group_quota.is_none(), &|simpler| simpler.group_quota = None);
        add(self.options.max_blob_bytes.is_none(), &|simpler| simpler.options.max_blob_bytes = None);
        add(self.claims == [None; 3], &|simpler| simpler.claims = [None; 3]);
        all
    }

    pub(super) fn length(&self) -> u64 {
        self.content.len() as u64
    }

    /// Returns the origin that the callers have in common, or the other one, which has an account of its own.
    pub(super) fn origin(&self, elsewhere: bool) -> Origin {
        // The links of an earlier seed with the same content must not count.
        let user = |word: &str| Account::Username(format!("{word}-{}", self.seed));
        match (elsewhere, self.content.len() < UNIQUE_BYTES) {
            (true, _) => Origin { account: user("other"), repository: "library/other".parse().unwrap(), ..origin() },
            (false, true) => Origin { account: user("some"), ..origin() },
            (false, false) => origin(),
        }
    }

    pub(super) fn wanted(&self, group: u64, elsewhere: bool) -> OpenBlob {
        OpenBlob { group: GroupId(group), origin: self.origin(elsewhere), digest: self.digest }
    }
}

/// Returns true if the store of this seed has a database, without which nothing is evicted.
pub(super) fn has_database(seed: u64) -> bool {
    (seed / SEEDS_PER_STORE).is_multiple_of(16)
}

fn bytes(random: &mut Random, length: u64) -> Bytes {
    (0..length.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).take(length as usize).collect()
}

fn caller(random: &mut Random, length: u64) -> Caller {
    let wants = match random.below(8) {
        0..=3 => Wants::Whole(Transfer::Copy),
        4 => Wants::Whole(Transfer::ZeroCopy),
        5 | 6 => Wants::Ranges(ranges(random, length)),
        _ => Wants::Head,
    };
    Caller {
        group: 1 + random.below(3),
        elsewhere: random.one_in(6),
        wants,
        after: random.of(&[0, 0, 5, 10, 20, 40]),
        turns: if random.one_in(4) { random.below(30) as usize } else { usize::MAX },
        after_restart: random.one_in(2),
    }
}

fn ranges(random: &mut Random, length: u64) -> String {
    let (mut one, mut other) = (random.below(length + 2), random.below(length + 2));
    if one > other {
        (one, other) = (other, one);
    }
    match random.below(5) {
        0 => format!("{one}-"),
        1 => format!("-{}", other + 1),
        2 => format!("0-{one},{}-{}", one + 1, other + 1),
        _ => format!("{one}-{other}"),
    }
}
