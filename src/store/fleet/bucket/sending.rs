//! The sending of content to an object.

use std::io::Read;

use bytes::Bytes;
use object_store::buffered::BufWriter;
use tokio::time::timeout;

use super::{REQUEST_TIMEOUT, failed, too_slow};
use crate::auth::sha256::Hasher;
use crate::domain::digest::Digest;
use crate::store::blocking::blocking;
use crate::store::error::StoreError;

/// Number of bytes that are read from a file at once.
const READ_BYTES: usize = 1 << 20;

/// Sends content to the writer, without ending the object. Returns its length and digest.
pub(super) async fn send(
    mut content: impl Read + Send + 'static,
    mut writer: BufWriter,
) -> Result<(BufWriter, u64, Digest), StoreError> {
    let (mut hasher, mut size) = (Hasher::default(), 0);
    loop {
        let (chunk, read, hashed) = blocking(move || {
            let mut chunk = Vec::with_capacity(READ_BYTES);
            (&mut content).take(READ_BYTES as u64).read_to_end(&mut chunk)?;
            hasher.update(&chunk);
            Ok((Bytes::from(chunk), content, hasher))
        })
        .await?;
        (content, hasher) = (read, hashed);
        if chunk.is_empty() {
            return Ok((writer, size, hasher.finish()));
        }
        size += chunk.len() as u64;
        let sent = timeout(REQUEST_TIMEOUT, writer.put(chunk)).await;
        if let Err(error) = sent.map_err(|_| too_slow()).and_then(|sent| sent.map_err(|error| failed(&error))) {
            // Parts of an object that is never completed cost space until a rule of the bucket removes them.
            drop(timeout(REQUEST_TIMEOUT, writer.abort()).await);
            return Err(error);
        }
    }
}
