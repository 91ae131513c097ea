//! The process of the service in an interleaving, and the faults of its disk and of its blocking work.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use actix_rt::Arbiter;

use super::scenario::Scenario;
use super::upstream::Upstream;
use super::world::World;
use crate::actors::blob_cache::BlobCacheHandle;
use crate::actors::blob_cache::handle::tests::scene::{LIMITS, most};
use crate::actors::cache_limits::CacheLimits;
use crate::actors::evictor::Evictor;
use crate::actors::reads::Reads;
use crate::auth::sha256;
use crate::domain::id::GroupId;
use crate::domain::quota::Quota;
use crate::store::blobs::BlobFiles;
use crate::store::spool::Spool;

/// The process of the service, from a start to its end.
#[derive(Clone)]
pub(super) struct Process {
    pub(super) blobs: BlobCacheHandle,
    pub(super) files: BlobFiles,
    pub(super) evictor: Evictor,
}

thread_local! {
    /// Number of bytes that the disk of this thread takes.
    pub(super) static DISK: Cell<u64> = const { Cell::new(u64::MAX) };
    /// One of this number of pieces of blocking work is lost on this thread; 0: none.
    pub(super) static LOSSES: Cell<u64> = const { Cell::new(0) };
}

impl Process {
    /// Starts it over this store.
    pub(super) fn start(world: &World, scenario: &Scenario, upstream: &Upstream) -> Self {
        let quota = match &scenario.other {
            Some(other) => Quota::Bytes(scenario.length() + other.len() as u64 - 1),
            None => Quota::Unlimited,
        };
        let files = world.files(quota);
        let spool = Spool::open_with(world.folder.path(), write).unwrap();
        if let Some(other) = &scenario.other {
            let (spooled, disk) = (spool.create().unwrap(), DISK.replace(u64::MAX));
            spooled.write_at(0, other).unwrap();
            DISK.set(disk);
            files.commit(spooled, &sha256::digest(other)).unwrap();
        }
        let evictor = Evictor::new(world.content.clone(), files.clone(), Reads::default());
        let group_quota = scenario.group_quota;
        let blobs = BlobCacheHandle::start(
            &Arbiter::current(),
            Arc::new(upstream.clone()),
            (world.content.clone(), files.clone(), spool),
            (evictor.clone(), Arc::new(move |group| group_quota.filter(|_| group == GroupId(2)))),
            (scenario.options.clone(), CacheLimits { max_waiters: most(scenario.max_waiters), ..LIMITS }),
        );
        let max = scenario.options.max_unstored_streams.get();
        upstream.bounded_by(blobs.shared.unstored_streams.clone(), max);
        Self { blobs, files, evictor }
    }
}

/// Writes to the disk of this thread.
fn write(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let fitting = bytes.len().min(DISK.get().saturating_sub(offset) as usize);
    file.write_all_at(&bytes[..fitting], offset)?;
    if fitting < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
}
