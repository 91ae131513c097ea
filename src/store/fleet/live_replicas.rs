//! The number of replicas that are alive, as one of them has last found it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_postgres::{Client, Error};

/// The number of replicas that are alive, this one included. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct LiveReplicas(Arc<AtomicUsize>);

// Replicas record every second that they are alive.
const COUNT: &str = "SELECT count(*) FROM replica WHERE seen_at > now() - interval '5 seconds'";

impl LiveReplicas {
    /// Returns the last known number; 1 before the first look.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts the replicas.
    pub(super) async fn look(&self, client: &Client) -> Result<(), Error> {
        let row = client.query_typed_one(COUNT, &[]).await?;
        let count = usize::try_from(row.get::<_, i64>(0)).unwrap_or(1);
        self.0.store(count.max(1), Ordering::Relaxed);
        Ok(())
    }
}

impl Default for LiveReplicas {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(1)))
    }
}
