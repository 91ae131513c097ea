//! Numbers that nobody counts as they change: looked up now and then.

use jiff::{SignedDuration, Timestamp};

use crate::domain::directory::Directory;
use crate::store::blobs::BlobFiles;

/// A token that expires is told of so many days ahead.
const DAYS: [(i64, &str); 3] = [(1, "1"), (7, "7"), (30, "30")];

/// Publishes them. Blocks.
pub(super) fn publish(directory: &Directory, files: &BlobFiles, now: Timestamp) {
    for ((_, days), number) in DAYS.iter().zip(expiring(directory, now)) {
        metrics::gauge!("dependency_proxy_tokens_expiring", "days" => *days).set(f64::from(number));
    }
    if let Ok(free) = files.free() {
        metrics::gauge!("dependency_proxy_free_bytes").set(free as f64);
    }
}

/// How many active tokens expire within each of [`DAYS`].
fn expiring(directory: &Directory, now: Timestamp) -> [u32; 3] {
    let active = directory.tokens().filter(|token| token.is_active(now));
    let ends: Vec<Timestamp> = active.filter_map(|token| token.expires_at).collect();
    DAYS.map(|(days, _)| {
        let within = |end: &&Timestamp| end.duration_since(now) <= SignedDuration::from_hours(24 * days);
        u32::try_from(ends.iter().filter(within).count()).unwrap_or(u32::MAX)
    })
}
