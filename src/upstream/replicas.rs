//! Requests to the other replicas of a fleet, on their internal ports. Each is signed with the secret of the fleet, and
//! so is its response. `http::replicas` responds.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, redirect};
use tokio::time::{Instant, sleep};

use crate::domain::directory::Version;
use crate::domain::fleet::messages::{NONCE, ReplicaVersion, SIGNATURE, VERSION_PATH, request_text, response_text};
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
