//! Ids of requests.

use std::cell::Cell;

use crate::auth::random;
use crate::telemetry::RequestId;

/// Returns an id that this thread has not used for a long time: all 2^32 others come first. Ids distinguish
/// requests and are not secret.
pub(super) fn next_request_id() -> RequestId {
    thread_local! {
        static LAST: Cell<u32> = Cell::new(u32::from_ne_bytes(random::bytes()));
    }
    // The step is odd, so that all numbers occur before one is repeated. It is large, so that consecutive ids look
    // different.
    LAST.set(LAST.get().wrapping_add(0x9e37_79b9));
    RequestId::new(LAST.get())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn requests_have_different_ids() {
        let ids: HashSet<String> = (0..100_000).map(|_| next_request_id().to_string()).collect();
        assert_eq!(ids.len(), 100_000);
    }
}
