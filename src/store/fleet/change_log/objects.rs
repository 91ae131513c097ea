//! The objects of the store, which are created once, read and removed.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3;
use object_store::client::ClientOptions;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use tokio::runtime::Handle;

use crate::store::error::{FleetError, StoreError};
use crate::store::fleet::bucket::client_of;
use crate::store::fleet::options::BucketOptions;
use crate::store::fleet::run_on;

/// The objects below a prefix of a bucket. Cheap to clone.
#[derive(Clone)]
pub(super) struct Objects {
    runtime: Handle,
    store: Arc<AmazonS3>,
    prefix: Path,
}

/// Maximum length of an object in bytes.
const MAX_OBJECT_BYTES: u64 = 64 << 20;
/// Maximum time for one request.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Time to connect to the store.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

impl Objects {
    /// Returns the objects of this bucket. Sends no request.
    ///
    /// # Errors
    ///
    /// Fails if the options cannot be used.
    pub(super) fn new(options: &BucketOptions, runtime: Handle) -> Result<Self, StoreError> {
        let client = ClientOptions::new().with_timeout(REQUEST_TIMEOUT).with_connect_timeout(CONNECT_TIMEOUT);
        let store = Arc::new(client_of(options, client)?);
        Ok(Self { runtime, store, prefix: Path::from(options.url.path()) })
    }

    /// Returns the path of an object.
    pub(super) fn path(&self, parts: &[&str]) -> Path {
        parts.iter().fold(self.prefix.clone(), |path, part| path.join(*part))
    }

    /// Creates an object. Returns false if it exists.
    ///
    /// # Errors
    ///
    /// Fails if the store does not respond in time, or refuses it.
    pub(super) async fn create(&self, path: Path, text: String) -> Result<bool, StoreError> {
        let store = self.store.clone();
        self.within(REQUEST_TIMEOUT, async move {
            match store.put_opts(&path, text.into(), PutMode::Create.into()).await {
                Ok(_) => Ok(true),
                Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Returns the text of an object; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Fails if the store does not respond in time, or the object is no text.
    pub(super) async fn read(&self, path: Path, limit: Duration) -> Result<Option<String>, StoreError> {
        let store = self.store.clone();
        let bytes = self.within(limit, async move {
            let found = match store.get(&path).await {
                Ok(found) if found.meta.size <= MAX_OBJECT_BYTES => found,
                Ok(_) => return Ok(Some(None)),
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
            Ok(Some(Some(found.bytes().await?)))
        });
        match bytes.await? {
            None => Ok(None),
            Some(None) => Err(StoreError::Damaged("an object of the change log is too large".to_owned())),
            Some(Some(bytes)) => match String::from_utf8(bytes.to_vec()) {
                Ok(text) => Ok(Some(text)),
                Err(error) => Err(StoreError::Damaged(error.to_string())),
            },
        }
    }

    /// Removes an object.
    ///
    /// # Errors
    ///
    /// Fails if the store does not respond in time, or refuses it.
    pub(super) async fn delete(&self, path: Path) -> Result<(), StoreError> {
        let store = self.store.clone();
        self.within(REQUEST_TIMEOUT, async move { store.delete(&path).await }).await
    }

    async fn within<T: Send + 'static>(
        &self,
        limit: Duration,
        request: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<T, StoreError> {
        run_on(&self.runtime, async move {
            match tokio::time::timeout(limit, request).await {
                Ok(done) => done.map_err(|error| failed(&error)),
                Err(_) => Err(FleetError::ObjectStore("it does not respond in time".to_owned()).into()),
            }
        })
        .await
    }
}

fn failed(error: &object_store::Error) -> StoreError {
    use object_store::Error::{NotFound, PermissionDenied, Unauthenticated};
    // Another attempt does not help with these.
    let advice = if matches!(error, PermissionDenied { .. } | Unauthenticated { .. }) {
        advice(&error.to_string())
    } else if matches!(error, NotFound { .. }) {
        // Only the bucket can be missing where an object is written or removed.
        "Look at fleet.bucket_url: there is no such bucket"
    } else {
        return FleetError::ObjectStore(reason(error)).into();
    };
    FleetError::Unsuitable(format!("{}. {advice}", reason(error))).into()
}

/// Returns the setting to look at after this refusal, as a sentence.
fn advice(refusal: &str) -> &'static str {
    // The codes of S3's errors (Amazon S3 API Reference, "Error Responses").
    if refusal.contains("InvalidAccessKeyId") {
        "Look at fleet.bucket_access_key and fleet.bucket_secret_key: the store does not know this key"
    } else if refusal.contains("SignatureDoesNotMatch") {
        "Look at fleet.bucket_access_key and fleet.bucket_secret_key: the secret is not that of this key, or a proxy changes \
         requests"
    } else if refusal.contains("RequestTimeTooSkewed") {
        "Look at the clocks: that of this machine differs by minutes from that of the store"
    } else {
        "Look at fleet.bucket_access_key and fleet.bucket_secret_key, and at the rights of that key in the bucket of \
         fleet.bucket_url"
    }
}

/// Returns the first line of an error, with the code of S3's error: others have the whole response of the store.
fn reason(error: &object_store::Error) -> String {
    let text = error.to_string();
    let (before, response) = text.split_once("<?xml").unwrap_or((&text, ""));
    let line = before.lines().next().unwrap_or_default().trim_end_matches([':', ' ', '.']);
    let code = response.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
    code.map_or_else(|| line.to_owned(), |code| format!("{line} ({code})"))
}
