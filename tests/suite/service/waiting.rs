//! Waiting for something that happens soon, with a deadline: what never happens is a failure, not a test that hangs.

use std::time::{Duration, Instant};

use super::{Answer, Client};

/// Maximum time that a test waits. Long, because a busy machine is slow; what waits does not wait longer than it must.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(10);

/// Waits until a condition holds. Panics with `what` at the deadline.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {} seconds: {what}", DEADLINE.as_secs());
        tokio::time::sleep(INTERVAL).await;
    }
}

impl Client {
    /// Pulls a blob until it is a hit. The last byte is sent shortly before the file is renamed into place, and that is
    /// shortly before the group's link is written.
    pub async fn stored_blob(&self, group: &str, image: &str, digest: &str) -> Answer {
        let mut last = None;
        eventually("the blob is stored", async || {
            let answer = self.blob(group, image, digest).await;
            let stored = answer.header("x-cache") == "hit";
            last = Some(answer);
            stored
        })
        .await;
        last.unwrap()
    }

    /// Pulls a blob once a download of it by others has ended and is stored: as a miss, or as a hit.
    pub async fn settled_blob(&self, group: &str, image: &str, digest: &str) -> Answer {
        let mut last = None;
        eventually("the download has ended", async || {
            let answer = self.blob(group, image, digest).await;
            let settled = !["coalesced", "revalidated"].contains(&answer.header("x-cache"));
            last = Some(answer);
            settled
        })
        .await;
        last.unwrap()
    }
}
