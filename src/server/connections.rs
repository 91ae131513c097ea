//! Gauge of open client connections, and the size of their write buffers.

use std::sync::LazyLock;

use actix_http::Extensions;
use metrics::Gauge;

/// Size of actix-http's write buffer per connection, in bytes. The next chunk of a body is requested only when less
/// than this waits for the kernel, so it bounds the memory that a slow client takes. It fits a head plus a small
/// body, which then leave in one write; apart, Nagle's algorithm and delayed acknowledgements add 40 ms.
pub(super) const WRITE_BUFFER_BYTES: usize = 4096;

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
