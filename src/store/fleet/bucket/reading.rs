//! Descriptions of objects by the store, and their content, read back to verify it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::time::{sleep, timeout};

use super::{Bucket, FIRST_BYTE_TIMEOUT, ObjectBytes, failed, too_slow};
use crate::auth::sha256::{self, Hasher};
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

/// Time without a byte after which an object counts as interrupted.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

impl Bucket {
    /// Opens an object from this offset on; `None` if there is no such object.
    ///
    /// # Errors
    ///
    /// Fails if the store does not send the first byte within two seconds.
    pub(in crate::store::fleet) async fn get(&self, name: &str, from: u64) -> Result<Option<OpenObject>, StoreError> {
        let (store, path) = (self.store.clone(), self.path(name));
        let range = (from > 0).then_some(GetRange::Offset(from));
        let begun = run_on(&self.runtime, async move {
            let begin = async {
                let found = store.get_opts(&path, GetOptions { range, ..GetOptions::default() }).await?;
                let length = found.meta.size;
                let mut bytes = found.into_stream();
                let first = bytes.try_next().await?;
                Ok((length, first, bytes))
            };
            match timeout(FIRST_BYTE_TIMEOUT, begin).await.map_err(|_| too_slow())? {
                Ok(begun) => Ok(Some(begun)),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(failed(&error)),
            }
        });
        let Some((length, first, rest)) = begun.await? else { return Ok(None) };
        let first = stream::iter(first.map(Ok));
        let next = |running: Option<BoxStream<'static, object_store::Result<Bytes>>>| async move {
            let mut rest = running?;
            match timeout(IDLE_TIMEOUT, rest.next()).await {
                Ok(Some(Ok(bytes))) => Some((Ok(bytes), Some(rest))),
                Ok(Some(Err(error))) => Some((Err(error.to_string()), None)),
                Ok(None) => None,
                Err(_) => Some((Err(format!("no byte of the object for {IDLE_TIMEOUT:?}")), None)),
            }
        };
        Ok(Some(OpenObject { length, bytes: first.chain(stream::unfold(Some(rest), next)).boxed() }))
    }

    /// Returns all bytes of an object whose content has this digest and length; `None` if there is no such object.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::get`] does, and with [`StoreError::Damaged`] if the content is another one.
    pub(in crate::store::fleet) async fn read(
        &self,
        name: &str,
        digest: &Digest,
        size: u64,
    ) -> Result<Option<Bytes>, StoreError> {
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        let Some(OpenObject { bytes: mut stream, .. }) = self.get(name, 0).await? else { return Ok(None) };
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(FleetError::ObjectStore)?;
            if (bytes.len() + chunk.len()) as u64 > size {
                break;
            }
            bytes.extend_from_slice(&chunk);
        }
        if sha256::digest(&bytes) != *digest {
            return Err(StoreError::Damaged(format!("an object is not {digest}")));
        }
        Ok(Some(bytes.into()))
    }

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
