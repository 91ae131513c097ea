//! What the store says of an object, and its content, read back to verify it.

use std::time::{Duration, Instant};

use futures::StreamExt;
use object_store::{ObjectMeta, ObjectStoreExt};
use tokio::time::{sleep, timeout};

use super::{Bucket, FIRST_BYTE_TIMEOUT, ObjectBytes, failed, too_slow};
use crate::auth::sha256::Hasher;
use crate::domain::digest::Digest;
use crate::store::error::{FleetError, StoreError};
use crate::store::fleet::run_on;

/// An object that the store has begun to send.
pub(in crate::store::fleet) struct OpenObject {
    /// The length of the whole object in bytes.
    pub(in crate::store::fleet) length: u64,
    /// The bytes from the offset on.
    pub(in crate::store::fleet) bytes: ObjectBytes,
}

/// Description of an object by the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store::fleet) struct ObjectHead {
    /// The length in bytes.
    pub(in crate::store::fleet) length: u64,
    /// Another text once the object is overwritten.
    pub(in crate::store::fleet) stamp: String,
}

/// Rate in bytes per second at which objects are read back.
const RATE: u64 = 64 << 20;
/// Time by which reading may be ahead of its rate.
const MAX_AHEAD: Duration = Duration::from_millis(20);

impl Bucket {
    /// Returns what the store says of an object; `None` if there is no such object.
    ///
    /// # Errors
    ///
    /// Fails if the store does not respond within two seconds.
    pub(in crate::store::fleet) async fn head(&self, name: &str) -> Result<Option<ObjectHead>, StoreError> {
        let (store, path) = (self.store.clone(), self.path(name));
        run_on(&self.runtime, async move {
            match timeout(FIRST_BYTE_TIMEOUT, store.head(&path)).await.map_err(|_| too_slow())? {
                Ok(found) => Ok(Some(ObjectHead { length: found.size, stamp: stamp(&found) })),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(failed(&error)),
            }
        })
        .await
    }

    /// Reads an object back. Returns true if its content has this digest; `None` if there is no such object.
    ///
    /// # Errors
    ///
    /// Fails if the store does not send all of it.
    pub(in crate::store::fleet) async fn holds(&self, name: &str, digest: &Digest) -> Result<Option<bool>, StoreError> {
        let Some(mut object) = self.get(name, 0).await? else { return Ok(None) };
        let (began, mut read, mut hasher) = (Instant::now(), 0, Hasher::default());
        while let Some(chunk) = object.bytes.next().await {
            let chunk = chunk.map_err(FleetError::ObjectStore)?;
            hasher.update(&chunk);
            read += chunk.len() as u64;
            let ahead = Duration::from_secs_f64(read as f64 / RATE as f64).saturating_sub(began.elapsed());
            if ahead > MAX_AHEAD {
                sleep(ahead).await;
            }
        }
        Ok(Some(hasher.finish() == *digest))
    }
}

fn stamp(found: &ObjectMeta) -> String {
    format!("{} {}", found.last_modified, found.e_tag.as_deref().unwrap_or_default())
}
