//! Objects as they are read.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::{GetOptions, GetRange, ObjectStore};
use tokio::time::timeout;

use super::{Bucket, FIRST_BYTE_TIMEOUT, ObjectBytes, failed, too_slow};
use crate::auth::sha256;
use crate::domain::digest::Digest;
use crate::store::error::{FleetError, StoreError};
use crate::store::fleet::run_on;

/// Time without a byte after which an object counts as interrupted.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

impl Bucket {
    /// Returns the bytes of an object from this offset on; `None` if there is no such object.
    ///
    /// # Errors
    ///
    /// Fails if the store does not send the first byte within two seconds.
    pub(in crate::store::fleet) async fn get(&self, name: &str, from: u64) -> Result<Option<ObjectBytes>, StoreError> {
        let (store, path) = (self.store.clone(), self.path(name));
        let range = (from > 0).then_some(GetRange::Offset(from));
        let begun = run_on(&self.runtime, async move {
            let begin = async {
                let found = store.get_opts(&path, GetOptions { range, ..GetOptions::default() }).await?;
                let mut bytes = found.into_stream();
                let first = bytes.try_next().await?;
                Ok((first, bytes))
            };
            match timeout(FIRST_BYTE_TIMEOUT, begin).await.map_err(|_| too_slow())? {
                Ok(begun) => Ok(Some(begun)),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(failed(&error)),
            }
        });
        let Some((first, rest)) = begun.await? else { return Ok(None) };
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
        Ok(Some(first.chain(stream::unfold(Some(rest), next)).boxed()))
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
        let Some(mut stream) = self.get(name, 0).await? else { return Ok(None) };
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
}
