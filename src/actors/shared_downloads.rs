//! Downloads of blobs that the replicas of a fleet share: one replica receives a blob from upstream, and the others
//! receive it from that one while it arrives. Where its leader does not respond any more, another goes on from the byte
//! that it has.
//!
//! It stands between the blob cache and upstream: the cache verifies each blob by itself, whoever sends it. A blob that
//! is in the bucket, or that another replica has received before, comes from there: for groups with a granted link at
//! once, for others after upstream has confirmed it to the account of the request now.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use quick_cache::sync::Cache;

use super::received::Received;
use super::upstream_fetcher::{GetBlob, GetBlobRange, HeadBlob, Requests, UpstreamHandle};
use crate::domain::digest::Digest;
use crate::domain::fleet::messages::BlobOf;
use crate::domain::origin::Origin;
use crate::store::content::ContentStore;
use crate::store::fleet::{Claim, Claims, Leader, key_of_blob};
use crate::upstream::replicas::{ReplicaBytes, ReplicaClient};
use crate::upstream::{Content, ContentHead, MirrorContent, UpstreamError};

/// Requests for blobs, shared with the other replicas. Cheap to clone.
#[derive(Clone)]
pub struct SharedDownloads {
    upstream: UpstreamHandle,
    claims: Claims,
    replicas: ReplicaClient,
    content: ContentStore,
    /// Blobs that this replica has received, by itself or from another one: it may send them to others.
    received: Received,
    /// Numbers of leads whose replica has not responded, by blob.
    failed: Arc<Cache<Digest, i64>>,
}

/// Maximum number of leads that are known to have failed.
const MAX_FAILED: usize = 1_000;
/// Maximum number of leaders to which a request is sent.
const MAX_LEADERS: usize = 4;

impl SharedDownloads {
    /// Shares the downloads from this upstream.
    pub fn new(upstream: UpstreamHandle, claims: Claims, replicas: ReplicaClient, content: ContentStore) -> Self {
        let (received, failed) = (Received::default(), Arc::new(Cache::new(MAX_FAILED)));
        Self { upstream, claims, replicas, content, received, failed }
    }

    /// Returns true if this replica may send the blob to another one: it has received it for this origin.
    pub fn has_received(&self, origin: &Origin, digest: &Digest) -> bool {
        self.received.has(&key_of_blob(origin, digest))
    }

    async fn get(self, request: GetBlob) -> Result<Content, UpstreamError> {
        let key = key_of_blob(&request.origin, &request.digest);
        if let Some(content) = self.of_bucket(&request).await? {
            count("bucket");
            self.received.note(key);
            return Ok(content);
        }
        let mut failed = self.failed.get(&key);
        for _ in 0..MAX_LEADERS {
            let Some(claim) = self.claims.claim(&key, failed).await else { break };
            let leader = match claim {
                Claim::Lead { epoch } => return self.lead(request, key, epoch).await,
                Claim::Follow(leader) => leader,
            };
            match self.follow(&request, key, &leader).await {
                Some((content, is_stored)) => {
                    // It may have been fetched long ago: upstream decides whether this account may have it now.
                    let is_confirmed = !is_stored || self.is_confirmed(&request, content.head.length).await?;
                    if !is_confirmed {
                        break;
                    }
                    self.received.note(key);
                    return Ok(content);
                }
                None => failed = Some(leader.epoch),
            }
        }
        count("alone");
        self.received.note(key);
        self.upstream.request(request).await
    }

    /// Returns the blob from the bucket; `None` if that does not send it, or upstream has something else. A new
    /// download for groups without a link is confirmed by upstream first: the bucket grants nothing.
    async fn of_bucket(&self, request: &GetBlob) -> Result<Option<Content>, UpstreamError> {
        let Some(copy) = self.content.copy(&request.digest).await else { return Ok(None) };
        if !self.is_confirmed(request, Some(copy.length())).await? {
            return Ok(None);
        }
        let Some(bytes) = copy.bytes(request.from).await else { return Ok(None) };
        // After an interruption the rest comes from elsewhere.
        let stream = bytes.map_err(|reason| UpstreamError::Interrupted { reason }).boxed();
        let head = ContentHead { length: Some(copy.length()), digest: Some(request.digest), media_type: None };
        let sender = MirrorContent::of_other(move || copy.report_wrong());
        Ok(Some(Content { head, stream, mirror: Some(sender) }))
    }

    /// Returns true if content of this length, which does not come from upstream now, may be given: the groups that
    /// wait for it have a link, or upstream confirms it to the account of the request, with this length or with the
    /// digest. A download that goes on was confirmed before.
    async fn is_confirmed(&self, request: &GetBlob, length: Option<u64>) -> Result<bool, UpstreamError> {
        if request.granted || request.from > 0 {
            return Ok(true);
        }
        let (origin, digest) = (request.origin.clone(), request.digest);
        let head = self.upstream.request(HeadBlob { group: None, origin, digest }).await?;
        Ok(length.is_some_and(|length| head.affirms(&digest, length)))
    }

    /// Receives the blob from upstream, for the others as well.
    async fn lead(self, request: GetBlob, key: Digest, epoch: i64) -> Result<Content, UpstreamError> {
        count("led");
        // Before the first byte, because the others send their requests at once.
        self.received.note(key);
        match self.upstream.request(request).await {
            Ok(content) => Ok(self.completing(content, key, epoch)),
            Err(error) => {
                self.received.forget(&key);
                self.claims.release(&key, epoch).await.ok();
                Err(error)
            }
        }
    }

    /// Returns content whose end is recorded.
    fn completing(self, content: Content, key: Digest, epoch: i64) -> Content {
        let stream = stream::unfold((content.stream, self), move |(mut stream, shared)| async move {
            let item = stream.next().await;
            if item.is_none() {
                let claims = shared.claims.clone();
                actix_rt::spawn(async move { claims.complete(&key, epoch).await.ok() });
            }
            item.map(|item| (item, (stream, shared)))
        });
        Content { stream: stream.boxed(), ..content }
    }

    /// Receives the blob from another replica; `None` if that has none, or does not respond.
    async fn follow(&self, request: &GetBlob, key: Digest, leader: &Leader) -> Option<(Content, bool)> {
        let blob = BlobOf { origin: request.origin.clone(), digest: request.digest, from: request.from };
        let begun = self.replicas.while_alive(leader.at(), self.replicas.blob(leader.at(), &blob)).await??;
        count("followed");
        let head = ContentHead { length: Some(begun.length), digest: Some(request.digest), media_type: None };
        let stream = self.clone().watched(begun.stream, key, leader.clone());
        Some((Content { head, stream, mirror: None }, begun.is_stored))
    }

    /// Returns the stream of a leader, which ends with an error where it is not alive any more.
    fn watched(
        self,
        stream: ReplicaBytes,
        key: Digest,
        leader: Leader,
    ) -> BoxStream<'static, Result<Bytes, UpstreamError>> {
        let state = Some((stream, self, leader));
        let next = move |state: Option<(ReplicaBytes, Self, Leader)>| async move {
            let (mut stream, shared, leader) = state?;
            match shared.replicas.while_alive(leader.at(), stream.next()).await {
                Some(Some(Ok(bytes))) => Some((Ok(bytes), Some((stream, shared, leader)))),
                Some(None) => None,
                Some(Some(Err(reason))) => Some((Err(UpstreamError::Interrupted { reason }), None)),
                None => {
                    shared.failed.insert(key, leader.epoch);
                    let reason = "another replica, which was receiving it, does not respond".to_owned();
                    Some((Err(UpstreamError::Interrupted { reason }), None))
                }
            }
        };
        stream::unfold(state, next).boxed()
    }
}

fn count(role: &'static str) {
    metrics::counter!("dependency_proxy_fleet_downloads_total", "role" => role).increment(1);
}

impl Requests<GetBlob> for SharedDownloads {
    fn request(&self, request: GetBlob) -> BoxFuture<'static, Result<Content, UpstreamError>> {
        self.clone().get(request).boxed()
    }
}

impl Requests<HeadBlob> for SharedDownloads {
    fn request(&self, request: HeadBlob) -> BoxFuture<'static, Result<ContentHead, UpstreamError>> {
        self.upstream.request(request)
    }
}

impl Requests<GetBlobRange> for SharedDownloads {
    fn request(&self, request: GetBlobRange) -> BoxFuture<'static, Result<Option<Content>, UpstreamError>> {
        self.upstream.request(request)
    }
}
