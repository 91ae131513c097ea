//! Requests to the other replicas of a fleet, on their internal ports. Each is signed with the secret of the fleet, and
//! so is its response. `http::replicas` responds.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use reqwest::{Client, Response, StatusCode, redirect};
use tokio::time::{Instant, sleep, timeout};

use crate::domain::deadlines;
use crate::domain::digest::Digest;
use crate::domain::fleet::State;
use crate::domain::fleet::messages::{
    BLOB_LENGTH, BLOB_PATH, BLOB_STATE, BlobOf, DIGEST, MANIFEST_PATH, MEDIA_TYPE, MINUTE, ManifestOf, NONCE,
    ReplicaVersion, SIGNATURE, STORED, VERSION_PATH, request_text, response_text,
};
use crate::domain::id::ReplicaId;

/// The client for other replicas. Cheap to clone.
#[derive(Clone)]
pub struct ReplicaClient {
    client: Client,
    signing: Arc<dyn Signing>,
}

/// A response whose signature was not checked yet.
struct Unverified {
    response: Response,
    /// The nonce of the request, which the signature has.
    nonce: String,
}

/// Signatures of requests and responses between replicas.
pub trait Signing: Send + Sync {
    /// Returns a random text that no other request has.
    fn nonce(&self) -> String;
    /// Returns the minute, counted from 1970.
    fn minute(&self) -> u64;
    /// Returns the signature of a message.
    fn sign(&self, message: &str) -> String;
    /// Returns true if a replica of the fleet has signed this message.
    fn has_signed(&self, message: &str, signature: &str) -> bool;
}

/// A manifest that another replica sends.
pub struct ReplicaManifest {
    /// Its media type, as upstream sent it.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: Bytes,
}

/// A blob that another replica sends. Its bytes are not signed: the receiver verifies them by their digest.
pub struct ReplicaBlob {
    /// Length of the whole blob in bytes.
    pub length: u64,
    /// True if the replica has all of it, from an earlier request.
    pub is_stored: bool,
    /// The bytes from the requested offset on; an error is the last item.
    pub stream: ReplicaBytes,
}

/// Bytes from another replica; an error is the last item.
pub type ReplicaBytes = BoxStream<'static, Result<Bytes, String>>;

/// Maximum length of a response with a version, in bytes.
const MAX_VERSION_BYTES: usize = 4096;
/// Maximum length of a manifest in bytes, as of one from upstream.
const MAX_MANIFEST_BYTES: usize = 16 << 20;
/// Time without a byte after which a request checks that the replica is alive.
const SILENCE_TIMEOUT: Duration = Duration::from_millis(1500);
/// Time that the replica has to respond to it.
const ALIVE_TIMEOUT: Duration = Duration::from_millis(1500);
/// Pause before a failed request is repeated.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

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

    /// Waits until the directory of the replica with this id, at this address, has reached the state `wanted`, for at
    /// most this time. Returns true if it has.
    pub async fn wait_for(&self, at: (ReplicaId, &str), wanted: &State, limit: Duration) -> bool {
        let began = Instant::now();
        while began.elapsed() < limit {
            match self.version(at, wanted, limit.saturating_sub(began.elapsed())).await {
                Some(found) if found.state().covers(wanted) => return true,
                Some(_) | None => sleep(RETRY_INTERVAL).await,
            }
        }
        false
    }

    /// Returns true if the replica with this id, at this address, responds within this time.
    pub async fn is_alive(&self, at: (ReplicaId, &str), limit: Duration) -> bool {
        let found = timeout(limit, self.version(at, &State::default(), Duration::ZERO)).await;
        found.is_ok_and(|found| found.is_some())
    }

    /// Returns what is wrong with the replica with this id, at this address, as a part of a sentence.
    pub async fn problem_of(&self, (id, address): (ReplicaId, &str)) -> String {
        let target = format!("{VERSION_PATH}?at_least={}&history=&wait_ms=0", State::default().version);
        match timeout(deadlines::VERSION, self.send((id, address), &target)).await {
            Err(_) => "it does not respond in time".to_owned(),
            Ok(Err(error)) => format!("it cannot be reached: {}", error.without_url()),
            Ok(Ok(Unverified { response, .. })) if response.status() == StatusCode::UNAUTHORIZED => {
                "it refuses requests: its clock differs by more than two minutes, it has another id or another \
                 fleet.secret_file"
                    .to_owned()
            }
            Ok(Ok(Unverified { response, .. })) if !response.status().is_success() => {
                format!("it responds with {}", response.status())
            }
            Ok(Ok(_)) => "it responds, but was late".to_owned(),
        }
    }

    /// Requests a blob that the replica at this address is receiving, or has received; `None` if it has none, or does
    /// not respond.
    pub async fn blob(&self, at: (ReplicaId, &str), blob: &BlobOf) -> Option<ReplicaBlob> {
        let target = format!("{BLOB_PATH}?of={}", hex::encode(serde_json::to_string(blob).ok()?));
        let unverified = self.get(at, &target).await?;
        let (length, state) = (unverified.header(BLOB_LENGTH)?, unverified.header(BLOB_STATE)?);
        let response = self.verified(unverified, &format!("{length}\n{state}"))?;
        let stream = response.bytes_stream().map_err(|error| error.without_url().to_string()).boxed();
        Some(ReplicaBlob { length: length.parse().ok()?, is_stored: state == STORED, stream })
    }

    /// Requests a manifest that the replica at this address is fetching, or has fetched; `None` if it has none, or does
    /// not respond.
    pub async fn manifest(&self, at: (ReplicaId, &str), manifest: &ManifestOf) -> Option<ReplicaManifest> {
        let target = format!("{MANIFEST_PATH}?of={}", hex::encode(serde_json::to_string(manifest).ok()?));
        let unverified = self.get(at, &target).await?;
        let (media_type, digest) = (unverified.header(MEDIA_TYPE)?, unverified.header(DIGEST)?);
        let mut response = self.verified(unverified, &format!("{media_type}\n{digest}"))?;
        // The receiver compares the bytes with the digest.
        let bytes = body(&mut response, MAX_MANIFEST_BYTES).await?;
        Some(ReplicaManifest { media_type, digest: digest.parse().ok()?, bytes })
    }

    /// Waits for something from a replica; `None` once that does not respond to another request either.
    pub async fn while_alive<T>(
        &self,
        (id, address): (ReplicaId, &str),
        waiting: impl Future<Output = T>,
    ) -> Option<T> {
        let mut waiting = pin!(waiting);
        loop {
            if let Ok(done) = timeout(SILENCE_TIMEOUT, &mut waiting).await {
                return Some(done);
            }
            if !self.is_alive((id, address), ALIVE_TIMEOUT).await {
                return None;
            }
        }
    }

    async fn get(&self, at: (ReplicaId, &str), target: &str) -> Option<Unverified> {
        self.send(at, target).await.ok()
    }

    /// Sends a signed request.
    async fn send(&self, (id, address): (ReplicaId, &str), target: &str) -> Result<Unverified, reqwest::Error> {
        let (nonce, minute) = (self.signing.nonce(), self.signing.minute().to_string());
        let request = self.client.get(format!("http://{address}{target}")).header(NONCE, &nonce);
        let request = request.header(MINUTE, &minute);
        let request = request.header(SIGNATURE, self.signing.sign(&request_text(id, &minute, target, &nonce)));
        Ok(Unverified { response: request.send().await?, nonce })
    }

    /// Returns a successful response once a replica has signed this text for it.
    fn verified(&self, unverified: Unverified, text: &str) -> Option<Response> {
        let signature = unverified.header(SIGNATURE)?;
        let Unverified { response, nonce } = unverified;
        let holds = self.signing.has_signed(&response_text(text, &nonce), &signature);
        Some(response).filter(|response| response.status().is_success() && holds)
    }

    async fn version(
        &self,
        (id, address): (ReplicaId, &str),
        wanted: &State,
        wait: Duration,
    ) -> Option<ReplicaVersion> {
        let State { history, version } = wanted;
        let wait = wait.as_millis();
        let target = format!("{VERSION_PATH}?at_least={version}&history={history}&wait_ms={wait}");
        let mut unverified = timeout(deadlines::VERSION, self.get((id, address), &target)).await.ok()??;
        let body = body(&mut unverified.response, MAX_VERSION_BYTES).await?;
        let body = std::str::from_utf8(&body).ok()?;
        self.verified(unverified, body)?;
        serde_json::from_str(body).ok().filter(|found: &ReplicaVersion| found.replica == id)
    }
}

impl Unverified {
    fn header(&self, name: &str) -> Option<String> {
        self.response.headers().get(name).and_then(|value| value.to_str().ok().map(str::to_owned))
    }
}

/// Reads the body of a response. Returns `None` if it is longer than this, or breaks off.
async fn body(response: &mut Response, max_bytes: usize) -> Option<Bytes> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > max_bytes {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body.freeze())
}
