//! Counts the connections of clients that are open.

use std::sync::LazyLock;

use actix_http::Extensions;
use metrics::Gauge;

/// A connection gets the next piece of a body once the one before it is, but for so many bytes, with the kernel: a slow client
/// holds one of them. Room for a head, because a small body that is sent after its head, not with it, waits 40 ms in the
/// kernel for the client's acknowledgement.
pub(super) const ONE_PIECE: usize = 4096;

static OPEN: LazyLock<Gauge> = LazyLock::new(|| metrics::gauge!("dependency_proxy_connections"));

/// One open connection, counted until it is dropped with the connection's data.
struct Counted;

/// Counts the connection that this data belongs to, until it ends.
pub(super) fn count(data: &mut Extensions) {
    OPEN.increment(1);
    data.insert(Counted);
}

impl Drop for Counted {
    fn drop(&mut self) {
        OPEN.decrement(1);
    }
}
