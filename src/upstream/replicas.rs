//! Requests to the other replicas of a fleet, on their internal ports. Each is signed with the secret of the fleet, and
//! so is its response. `http::replicas` responds.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use reqwest::{Client, redirect};
use tokio::time::{Instant, sleep, timeout};

use crate::domain::directory::Version;
use crate::domain::fleet::messages::{
    BLOB_LENGTH, BLOB_PATH, BlobOf, NONCE, ReplicaVersion, SIGNATURE, VERSION_PATH, request_text, response_text,
};
use crate::domain::id::ReplicaId;

/// The client for other replicas. Cheap to clone.
#[derive(Clone)]
pub struct ReplicaClient {
    client: Client,
    signing: Arc<dyn Signing>,
}

/// Signatures of requests and responses between replicas.
pub trait Signing: Send + Sync {
    /// Returns a random text that no other request has.
    fn nonce(&self) -> String;
    /// Returns the signature of a message.
    fn sign(&self, message: &str) -> String;
    /// Returns true if a replica of the fleet has signed this message.
    fn has_signed(&self, message: &str, signature: &str) -> bool;
}

/// A blob that another replica sends. Its bytes are not signed: the receiver verifies them by their digest.
pub struct ReplicaBlob {
    /// Length of the whole blob in bytes.
    pub length: u64,
    /// The bytes from the requested offset on; an error is the last item.
    pub stream: BoxStream<'static, Result<Bytes, String>>,
}

/// Pause before a failed request is repeated.
const PAUSE: Duration = Duration::from_millis(50);

impl ReplicaClient {
    /// Returns the client. It uses no proxy, and follows no redirects.
    ///
    /// # Errors
    ///
    /// Fails if the TLS library cannot be used.
    pub fn new(signing: Arc<dyn Signing>) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(Duration::from_secs(1))
            .pool_idle_timeout(Duration::from_secs(30))
            .build()?;
        Ok(Self { client, signing })
    }

    /// Waits until the replica with this id, at this address, has a version of the directory, for at most this time.
    /// Returns whether it has.
    pub async fn wait_for(&self, (id, address): (ReplicaId, &str), version: Version, limit: Duration) -> bool {
        let began = Instant::now();
        while began.elapsed() < limit {
            match self.version(address, version, limit.saturating_sub(began.elapsed())).await {
                Some(found) if found.replica == id && found.version >= version => return true,
                Some(_) | None => sleep(PAUSE).await,
            }
        }
        false
    }

    /// Returns whether the replica with this id, at this address, responds within this time.
    pub async fn is_alive(&self, (id, address): (ReplicaId, &str), limit: Duration) -> bool {
        let found = timeout(limit, self.version(address, Version::default(), limit)).await;
        found.is_ok_and(|found| found.is_some_and(|found| found.replica == id))
    }

    /// Requests a blob that the replica at this address is receiving, or has received; `None` if it has none, or does not
    /// respond.
    pub async fn blob(&self, address: &str, blob: &BlobOf) -> Option<ReplicaBlob> {
        let target = format!("{BLOB_PATH}?of={}", hex::encode(serde_json::to_string(blob).ok()?));
        let nonce = self.signing.nonce();
        let request = self.client.get(format!("http://{address}{target}")).header(NONCE, &nonce);
        let response =
            request.header(SIGNATURE, self.signing.sign(&request_text(&target, &nonce))).send().await.ok()?;
        let signature = response.headers().get(SIGNATURE)?.to_str().ok()?;
        let length = response.headers().get(BLOB_LENGTH)?.to_str().ok()?;
        if !response.status().is_success() || !self.signing.has_signed(&response_text(length, &nonce), signature) {
            return None;
        }
        let length = length.parse().ok()?;
        let stream = response.bytes_stream().map_err(|error| error.without_url().to_string()).boxed();
        Some(ReplicaBlob { length, stream })
    }

    async fn version(&self, address: &str, at_least: Version, limit: Duration) -> Option<ReplicaVersion> {
        let target = format!("{VERSION_PATH}?at_least={at_least}");
        let nonce = self.signing.nonce();
        let request = self.client.get(format!("http://{address}{target}")).timeout(limit).header(NONCE, &nonce);
        let response =
            request.header(SIGNATURE, self.signing.sign(&request_text(&target, &nonce))).send().await.ok()?;
        let signature = response.headers().get(SIGNATURE)?.to_str().ok()?.to_owned();
        let body = response.text().await.ok()?;
        if !self.signing.has_signed(&response_text(&body, &nonce), &signature) {
            return None;
        }
        serde_json::from_str(&body).ok()
    }
}
