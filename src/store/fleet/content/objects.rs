//! Objects with content, as pulls read them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use url::Url;

use super::FleetContent;
use crate::domain::deadlines;
use crate::domain::digest::Digest;
use crate::store::error::{FleetError, StoreError};
use crate::store::fleet::bucket::{ObjectBytes, ObjectHead, OpenObject};
use crate::store::fleet::index::StoredObject;
use crate::store::manifests::Manifest;

/// Time for which objects are known: an object is deleted ten minutes after it was doomed, and a URL is accepted for
/// one. A store that is gone is noticed after it.
const KNOWN_AGE: Duration = Duration::from_secs(60);
/// Time for which it is known that there is no object with some content.
const UNKNOWN_AGE: Duration = Duration::from_secs(2);
/// Maximum length of a manifest in bytes.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;

/// An object that the store had a short time ago, with the length that it must have.
#[derive(Clone, Debug)]
pub struct KnownObject {
    /// The object.
    pub object: StoredObject,
    /// Another text once the object is overwritten.
    pub(super) stamp: String,
}

impl FleetContent {
    /// Returns the object with this content; `None` if there is none, if it is wrong, or if an engine has failed a
    /// moment ago.
    pub async fn object(&self, digest: &Digest) -> Option<StoredObject> {
        if self.database_pause.is_on() || self.bucket_pause.is_on() {
            return None;
        }
        match self.objects.find(digest).await {
            Ok(Some(found)) if self.is_wrong(digest, &found) => {
                // It could not be dropped before.
                self.drop_object(*digest, found);
                None
            }
            Ok(found) => found,
            Err(_) => {
                self.database_pause.begin();
                None
            }
        }
    }

    /// Works as [`Self::object`], also makes sure that the store has it with its length, and uses for a time what was
    /// found before.
    pub async fn known_object(&self, digest: &Digest) -> Option<KnownObject> {
        if self.bucket_pause.is_on() {
            return None;
        }
        if let Some((at, known)) = self.known_objects.get(digest)
            && at.elapsed() < if known.is_some() { KNOWN_AGE } else { UNKNOWN_AGE }
        {
            return known;
        }
        let known = match self.object(digest).await {
            Some(object) => self.checked(digest, object).await?,
            None => None,
        };
        self.known_objects.insert(*digest, (Instant::now(), known.clone()));
        known
    }

    /// Returns an object if the store has it with its length, and drops it otherwise; the outer `None` if the store
    /// does not respond.
    async fn checked(&self, digest: &Digest, object: StoredObject) -> Option<Option<KnownObject>> {
        match self.bucket.head(&object.name).await {
            Ok(Some(ObjectHead { length, stamp })) if length == object.size => {
                return Some(Some(KnownObject { object, stamp }));
            }
            Ok(Some(_)) => self.report_wrong(*digest, object),
            Ok(None) => self.drop_object(*digest, object),
            Err(error) => {
                self.failed(digest, &error);
                return None;
            }
        }
        Some(None)
    }

    /// Returns a URL by which a client gets an object for a minute; `None` without a setting for it, or if the
    /// credentials cannot be had.
    pub async fn url(&self, object: &StoredObject) -> Option<Url> {
        match self.bucket.url(&object.name).await? {
            Ok(url) => Some(url),
            Err(error) => {
                tracing::debug!(%error, "a URL of the object store cannot be signed");
                None
            }
        }
    }

    /// Returns the lengths of those of these contents that are in the bucket, in bytes; none if the database does not
    /// respond.
    pub async fn sizes(&self, digests: &[Digest]) -> HashMap<Digest, u64> {
        if digests.is_empty() || self.database_pause.is_on() {
            return HashMap::new();
        }
        self.objects.sizes(digests).await.unwrap_or_default()
    }

    /// Returns the bytes of an object from this offset on; `None` if the store does not send any.
    pub async fn bytes(&self, digest: &Digest, object: &StoredObject, from: u64) -> Option<ObjectBytes> {
        match self.bucket.get(&object.name, from).await {
            Ok(Some(OpenObject { length, bytes })) if length == object.size => Some(bytes),
            Ok(Some(_)) => {
                self.report_wrong(*digest, object.clone());
                None
            }
            Ok(None) => {
                self.drop_object(*digest, object.clone());
                None
            }
            Err(error) => {
                self.failed(digest, &error);
                None
            }
        }
    }

    /// Returns the manifest of an object; `None` if it cannot be read, or is too long.
    pub async fn manifest(&self, digest: &Digest, object: &StoredObject) -> Option<Manifest> {
        let media_type = object.media_type.clone()?;
        if object.size > MAX_MANIFEST_BYTES || self.bucket_pause.is_on() {
            return None;
        }
        let read = async {
            let _permit = self.reading.acquire().await;
            self.bucket.read(&object.name, digest, object.size).await
        };
        // All together: where many wait, or the store trickles, upstream is faster.
        let late = || Err(FleetError::ObjectStore("it is slow".to_owned()).into());
        match timeout(deadlines::OBJECT_MANIFEST, read).await.unwrap_or_else(|_| late()) {
            Ok(Some(bytes)) => Some(Manifest { digest: *digest, media_type, bytes }),
            Ok(None) => {
                self.drop_object(*digest, object.clone());
                None
            }
            Err(StoreError::Damaged(_)) => {
                self.report_wrong(*digest, object.clone());
                None
            }
            Err(error) => {
                self.failed(digest, &error);
                None
            }
        }
    }

    /// Drops an object whose bytes do not have its digest: nobody reads it any more.
    pub fn report_wrong(&self, digest: Digest, object: StoredObject) {
        if !self.is_wrong(&digest, &object) {
            tracing::error!(
                %digest, object = object.name,
                "an object does not have the content of its digest; it is not used any more"
            );
            metrics::counter!("dependency_proxy_fleet_wrong_objects_total").increment(1);
            self.wrong_objects.insert(digest, object.name.clone());
        }
        self.drop_object(digest, object);
    }

    /// Returns true if an object was found wrong.
    fn is_wrong(&self, digest: &Digest, object: &StoredObject) -> bool {
        self.wrong_objects.get(digest).is_some_and(|name| name == object.name)
    }

    /// Drops an object that is gone or wrong, in the background.
    pub(super) fn drop_object(&self, digest: Digest, object: StoredObject) {
        self.known_objects.remove(&digest);
        let objects = self.objects.clone();
        self.bucket.runtime().spawn(async move { objects.drop(&digest, &object.name).await.ok() });
    }

    /// Lets pulls do without the bucket for a time, after it has broken off.
    pub fn note_interrupted(&self) {
        self.bucket_pause.begin();
    }

    /// Lets pulls do without the bucket for a time.
    pub(super) fn failed(&self, digest: &Digest, error: &StoreError) {
        tracing::debug!(%digest, %error, "an object cannot be read");
        self.note_interrupted();
    }
}
