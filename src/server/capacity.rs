//! Numbers of threads and connections, which depend on the machine beside the settings.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use crate::domain::deadlines;
use crate::settings::{Cache, Server};
use crate::telemetry;

// `telemetry` does not depend on `domain`, so its part of the stop is checked here.
const _: () = assert!(telemetry::LAST_LINES_TIMEOUT.as_nanos() <= deadlines::LAST_LINES.as_nanos());
const _: () = assert!(telemetry::LAST_SPANS_TIMEOUT.as_nanos() <= deadlines::LAST_SPANS.as_nanos());

/// Returns the maximum number of connections in all and from one address, if the process may have this many files
/// open. At most half of the files are reserved for stored blobs, downloads and their connections to upstreams. If
/// fewer connections than configured are possible, the share of one address shrinks in proportion.
pub(super) fn connections(server: &Server, cache: &Cache, open_files: Option<u64>) -> (usize, usize) {
    let (wanted, each) = (server.max_connections.get(), server.max_connections_per_address.get());
    let open_files = open_files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    let downloads = [cache.blobs.max_downloads, cache.blobs.max_unstored_streams, cache.blobs.max_range_streams];
    let downloads: usize = downloads.into_iter().map(NonZeroUsize::get).sum();
    let reserve = (cache.open_blobs.get() + FILES_PER_DOWNLOAD * downloads + OTHER_FILES).min(open_files / 2);
    let connections = wanted.min(open_files - reserve).max(1);
    // No limit per address if one may have all of them: further connections of any address wait for a permit.
    let each = (each < wanted).then(|| (each as u128 * connections as u128 / wanted as u128).max(1));
    (connections, each.and_then(|each| usize::try_from(each).ok()).unwrap_or(usize::MAX))
}

/// Files that one download holds open: its own, and two connections to upstream.
const FILES_PER_DOWNLOAD: usize = 3;
/// Files for stores, logs, threads and listeners.
const OTHER_FILES: usize = 200;

/// Returns the number of worker threads.
pub(super) fn workers(server: &Server) -> usize {
    match server.workers {
        0 => available_parallelism().map_or(1, NonZeroUsize::get),
        workers => workers,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::settings;

    #[test]
    fn there_are_no_more_connections_than_open_files_leave_and_an_address_keeps_its_share() {
        let mut settings = settings::Settings::load(None, []).unwrap();
        settings.server.max_connections = 20_000.try_into().unwrap();
        settings.server.max_connections_per_address = 10_000.try_into().unwrap();
        let connections = |files| connections(&settings.server, &settings.cache, files);
        assert_eq!(connections(None), (20_000, 10_000));
        assert_eq!(connections(Some(1 << 20)), (20_000, 10_000));
        let (some, each) = connections(Some(10_000));
        assert!((5_000..10_000).contains(&some) && each == some / 2, "{some}, {each}");
        assert_eq!(connections(Some(1024)), (512, 256));
        assert_eq!(connections(Some(1)), (1, 1));
        settings.server.max_connections_per_address = settings.server.max_connections;
        assert_eq!(super::connections(&settings.server, &settings.cache, Some(1024)), (512, usize::MAX));
    }
}
