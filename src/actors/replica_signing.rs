//! Signatures of messages between replicas, with the secret of the fleet.

use std::sync::Arc;

use jiff::Timestamp;

pub use crate::upstream::replicas::Signing;

use crate::auth::fleet_secret::FleetSecret;
use crate::auth::random;

/// Signs and verifies messages between replicas. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ReplicaSigning(Arc<FleetSecret>);

impl ReplicaSigning {
    /// Signs with this secret.
    pub fn new(secret: Arc<FleetSecret>) -> Self {
        Self(secret)
    }
}

impl Signing for ReplicaSigning {
    fn nonce(&self) -> String {
        hex::encode(random::bytes::<16>())
    }

    fn minute(&self) -> u64 {
        Timestamp::now().as_second().unsigned_abs() / 60
    }

    fn sign(&self, message: &str) -> String {
        self.0.sign(message.as_bytes())
    }

    fn has_signed(&self, message: &str, signature: &str) -> bool {
        self.0.has_signed(message.as_bytes(), signature)
    }
}
