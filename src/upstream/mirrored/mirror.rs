//! One mirror of an upstream. A mirror that fails is skipped for a while (`domain::backoff`), so that a dead one does
//! not cost its timeouts at each request; content that was wrong is not requested from it for an hour.
//!
//! | outcome | the mirror |
//! |---|---|
//! | a response, also that it does not have the content or refuses it | works |
//! | no connection, no response in time, 429, 5xx, an invalid response, a refused login | is skipped for a while |
//! | the content breaks off | is skipped for a while |
//! | content with another digest or length | is skipped for this content for an hour |

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt, stream};
use url::Url;

use crate::domain::digest::Digest;
use crate::domain::origin::{Account, Origin};
use crate::domain::reference::Reference;
use crate::domain::repository::UpstreamName;
use crate::upstream::content::{self, Content, ManifestHead};
use crate::upstream::error::UpstreamError;
use crate::upstream::mirror_state::{Finding, Item, MirrorContent, MirrorState, finding};
use crate::upstream::registry::RegistryClient;

/// Maximum length in bytes of a manifest that is read to its end before another registry can follow. Longer ones need a
/// share of the memory for transfers, which the caller has.
const MAX_READ_BYTES: u64 = 64 << 10;

/// A mirror and its health.
pub(super) struct Mirror {
    client: RegistryClient,
    state: Arc<MirrorState>,
}

impl Mirror {
    /// Creates a mirror of this upstream that works.
    pub(super) fn new(client: RegistryClient, upstream: UpstreamName) -> Arc<Self> {
        let state = MirrorState::new(&upstream, place_of(client.url()));
        Arc::new(Self { client, state })
    }

    /// Returns the client of the mirror.
    pub(super) fn client(&self) -> &RegistryClient {
        &self.client
    }

    /// Sends a `HEAD` for a manifest; `None` if it is skipped or does not have the manifest.
    pub(super) async fn head_manifest(&self, origin: &Origin, reference: &Reference) -> Option<ManifestHead> {
        let item = Item::of(origin, reference);
        let head = self.attempt(origin, &item, async |client, origin| {
            let head = client.head_manifest(origin, reference).await?;
            if head == ManifestHead::TooSlow {
                return Err(UpstreamError::TimedOut);
            }
            self.check(head.confirmed().and_then(|head| head.digest), reference).map(|()| head)
        });
        let head = head.await?;
        if head.confirmed().is_some() {
            self.state.note_success();
        }
        Some(head)
    }

    /// Requests a manifest. A short one is read to its end, so that another registry can follow if it breaks off.
    pub(super) async fn manifest(&self, origin: &Origin, reference: &Reference) -> Option<Content> {
        let item = Item::of(origin, reference);
        let content = self.attempt(origin, &item, async |client, origin| {
            let content = client.manifest(origin, reference).await?;
            self.check(content.head.digest, reference)?;
            if content.head.length.is_none_or(|length| length > MAX_READ_BYTES) {
                return Ok(content);
            }
            let bytes = content::collect(content.stream, MAX_READ_BYTES as usize).await?;
            Ok(Content { stream: stream::iter([Ok(bytes)]).boxed(), ..content })
        });
        let content = content.await?;
        let end = content.head.length;
        Some(self.watched(content, item, end))
    }

    /// Requests a blob from the offset `from`.
    pub(super) async fn blob(&self, origin: &Origin, digest: &Digest, from: u64) -> Option<Content> {
        let item = Item::Digest(*digest);
        let content =
            self.attempt(origin, &item, async |client, origin| client.blob(origin, digest, from).await).await?;
        let length = content.head.length.map(|length| length.saturating_sub(from));
        Some(self.watched(content, item, length))
    }

    /// Requests a range of a blob.
    pub(super) async fn blob_range(&self, origin: &Origin, digest: &Digest, range: &Range<u64>) -> Option<Content> {
        let item = Item::Digest(*digest);
        let content = self.attempt(origin, &item, async |client, origin| {
            client.blob_range(origin, digest, range).await?.ok_or(UpstreamError::WrongRange)
        });
        let content = content.await?;
        Some(self.watched(content, item, None))
    }

    /// Sends a request whose response is complete.
    pub(super) async fn request<T>(
        &self,
        origin: &Origin,
        item: &Item,
        send: impl AsyncFnOnce(&RegistryClient, &Origin) -> Result<T, UpstreamError>,
    ) -> Option<T> {
        let response = self.attempt(origin, item, send).await?;
        self.state.note_success();
        Some(response)
    }

    /// Sends a request, unless the mirror or this content is skipped, within the header timeout of the mirror. Without
    /// an account if the mirror may not have it.
    async fn attempt<T>(
        &self,
        origin: &Origin,
        item: &Item,
        send: impl AsyncFnOnce(&RegistryClient, &Origin) -> Result<T, UpstreamError>,
    ) -> Option<T> {
        if !self.state.health().admits(item, Instant::now()) {
            self.state.count("skipped");
            return None;
        }
        let mut pending = Pending { mirror: &self.state, outcome: "given_up" };
        let origin = if self.client.has_accounts() {
            Cow::Borrowed(origin)
        } else {
            Cow::Owned(Origin { account: Account::Anonymous, ..origin.clone() })
        };
        // On the heap: the futures of all registries would be parts of one another.
        let sent = Box::pin(send(&self.client, &origin));
        let response = tokio::time::timeout(self.client.header_timeout(), sent).await;
        let error = match response.unwrap_or(Err(UpstreamError::TimedOut)) {
            Ok(response) => {
                pending.outcome = "ok";
                return Some(response);
            }
            Err(error) => error,
        };
        pending.outcome = match finding(&error) {
            Finding::Works => {
                self.state.note_success();
                if error == UpstreamError::NotFound { "not_found" } else { "refused" }
            }
            Finding::Fails => {
                self.state.note_failure(&error);
                "failed"
            }
            Finding::Nothing => "failed",
        };
        None
    }

    /// Fails if this is not the digest that was requested.
    fn check(&self, claimed: Option<Digest>, reference: &Reference) -> Result<(), UpstreamError> {
        match (claimed, reference) {
            (Some(claimed), Reference::Digest(requested)) if claimed != *requested => {
                self.state.report_wrong(&Item::Digest(*requested));
                Err(UpstreamError::InvalidResponse { what: "another digest than the requested one" })
            }
            _ => Ok(()),
        }
    }

    /// Returns the content, whose end shows whether the mirror works. `length` is that of the stream, if it is known.
    fn watched(&self, content: Content, item: Item, length: Option<u64>) -> Content {
        let mirror = self.state.clone();
        let stream =
            stream::unfold((content.stream, mirror.clone(), 0), move |(mut stream, mirror, mut received)| async move {
                let next = stream.next().await;
                match &next {
                    Some(Ok(bytes)) => received += bytes.len() as u64,
                    Some(Err(error)) => mirror.note_failure(error),
                    None if length.is_some_and(|length| received < length) => {
                        mirror
                            .note_failure(&UpstreamError::Interrupted { reason: "the content ended early".to_owned() });
                    }
                    None => mirror.note_success(),
                }
                Some((next?, (stream, mirror, received)))
            });
        Content { stream: stream.boxed(), mirror: Some(MirrorContent::new(mirror, item)), ..content }
    }
}

/// A request under way. On drop it is counted, and the next probe may be sent.
struct Pending<'a> {
    mirror: &'a MirrorState,
    outcome: &'static str,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.mirror.count(self.outcome);
        self.mirror.health().release();
    }
}

/// Returns the host of an address, with its port if that is not the default.
fn place_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
