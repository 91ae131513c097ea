//! Copies of content that the replicas of a fleet share: objects of the object store. Without a fleet there are none.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use url::Url;

use super::ContentStore;
use crate::domain::digest::Digest;
use crate::domain::origin::Origin;
use crate::domain::reference::Tag;
use crate::store::fleet::{FleetContent, StoredObject};

/// The copy of a content that all replicas can read. It grants nothing: whether a group may have the content, its links
/// or upstream decide. Cheap to clone.
#[derive(Clone)]
pub struct SharedCopy {
    fleet: Arc<FleetContent>,
    digest: Digest,
    object: StoredObject,
}

/// Bytes of a copy. Unverified. An error is the reason for which they broke off.
pub type CopyBytes = BoxStream<'static, Result<bytes::Bytes, String>>;

impl ContentStore {
    /// Returns true if blobs can come from a copy that replicas share, so that upstream has not served them to whoever
    /// waits for them.
    pub fn has_copies(&self) -> bool {
        self.shared().is_some()
    }

    /// Returns true if each pull of what is stored passes this process. Otherwise an image that nobody pulls here may
    /// be pulled at another replica, and [`remove_unpulled`](Self::remove_unpulled) removes what nobody pulls anywhere.
    pub fn sees_all_pulls(&self) -> bool {
        self.shared().is_none()
    }

    /// Returns the copy of a content; `None` if there is none, or if an engine does not respond.
    pub async fn copy(&self, digest: &Digest) -> Option<SharedCopy> {
        let fleet = self.shared()?;
        let object = fleet.object(digest).await?;
        Some(SharedCopy { fleet: fleet.clone(), digest: *digest, object })
    }

    /// Works as [`copy`](Self::copy), also makes sure that clients can read the copy, and uses for a minute what was
    /// found before.
    pub async fn readable_copy(&self, digest: &Digest) -> Option<SharedCopy> {
        let fleet = self.shared()?;
        let object = fleet.known_object(digest).await?.object;
        Some(SharedCopy { fleet: fleet.clone(), digest: *digest, object })
    }

    /// Returns what upstream has confirmed for a tag to another replica that was requesting it, and waits for that for
    /// at most this time; `None` if this replica has to request it, or if the other one does not finish in time.
    pub async fn revalidated_elsewhere(&self, origin: &Origin, tag: &Tag, limit: Duration) -> Option<Digest> {
        let fleet = self.shared()?;
        if fleet.may_revalidate(origin, tag).await {
            return None;
        }
        Some(fleet.revalidated(origin, tag, limit).await?.digest)
    }
}

impl SharedCopy {
    /// Returns the length in bytes.
    pub fn length(&self) -> u64 {
        self.object.size
    }

    /// Returns the bytes from this offset on; `None` if the object store does not send any.
    pub async fn bytes(&self, from: u64) -> Option<CopyBytes> {
        let bytes = self.fleet.bytes(&self.digest, &self.object, from).await?;
        let fleet = self.fleet.clone();
        Some(bytes.inspect_err(move |_| fleet.note_interrupted()).boxed())
    }

    /// Returns a URL by which a client gets the bytes for a minute; `None` without a setting for it, or if the
    /// credentials cannot be had.
    pub async fn url(&self) -> Option<Url> {
        self.fleet.url(&self.object).await
    }

    /// Looks again at a copy that a client may have found wrong. Returns true if it may be: it is read back in the
    /// background then, and is not used any more if it is. False: it was read back a short time ago.
    pub async fn suspect(&self) -> bool {
        self.fleet.suspect(&self.digest).await
    }

    /// Removes the copy: its bytes do not have the digest.
    pub fn report_wrong(&self) {
        self.fleet.report_wrong(self.digest, self.object.clone());
    }
}
