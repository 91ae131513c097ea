//! The changes of identities in the object store, one object each: `changes/<history>/<version>`, with 20 digits. A
//! replica that cannot reach the database reads there what has changed. The log has no gaps, and an object is never
//! changed: a database that was restored to an earlier state gets another history.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::ClientOptions;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, RetryConfig};
use secrecy::ExposeSecret;
use tokio::runtime::Handle;

use super::identity::{Change, Committed, FleetIdentities, change_of};
use super::options::BucketOptions;
use super::run_on;
use crate::auth::random;
use crate::domain::directory::Version;
use crate::store::error::{FleetError, StoreError};

/// The change log. Cheap to clone.
#[derive(Clone)]
pub struct ChangeLog {
    runtime: Handle,
    store: Arc<AmazonS3>,
    prefix: Path,
}

/// Maximum time for one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Time to connect to the store.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

impl ChangeLog {
    /// Returns the log in this bucket. Sends no request.
    ///
    /// # Errors
    ///
    /// Fails if the options cannot be used.
    pub fn new(options: &BucketOptions, identities: &FleetIdentities) -> Result<Self, StoreError> {
        let client = ClientOptions::new().with_timeout(REQUEST_TIMEOUT).with_connect_timeout(CONNECT_TIMEOUT);
        let is_plain = options.endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme() == "http");
        let mut builder = AmazonS3Builder::from_env()
            .with_client_options(client.with_allow_http(is_plain))
            // The caller repeats what must not fail, and knows better when it is too late.
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_bucket_name(options.url.host_str().unwrap_or_default());
        if let Some(endpoint) = &options.endpoint {
            builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/'));
        }
        if let Some(region) = &options.region {
            builder = builder.with_region(region);
        }
        if let Some((key, secret)) = &options.keys {
            builder = builder.with_access_key_id(key).with_secret_access_key(secret.expose_secret());
        }
        let store = Arc::new(builder.build().map_err(|error| failed(&error))?);
        let prefix = Path::from(options.url.path());
        Ok(Self { runtime: identities.database().runtime().clone(), store, prefix })
    }

    /// Returns the change with this number; `None` if there is none yet.
    ///
    /// # Errors
    ///
    /// Fails if the store does not respond in time, or the object is damaged.
    pub async fn get(&self, history: &str, version: Version, limit: Duration) -> Result<Option<Change>, StoreError> {
        let (store, path) = (self.store.clone(), self.path(history, version));
        let text = self.within(limit, async move {
            match store.get(&path).await {
                Ok(found) => Ok(Some(found.bytes().await?)),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        });
        let Some(text) = text.await? else { return Ok(None) };
        let text = std::str::from_utf8(&text).map_err(|error| StoreError::Damaged(error.to_string()))?;
        let change = change_of(text)?;
        if change.version == version {
            Ok(Some(change))
        } else {
            Err(StoreError::Damaged(format!("the change log has change {} under the number {version}", change.version)))
        }
    }

    /// Adds a committed change, after those before it that the log lacks. Once this returns, the log has all of them.
    ///
    /// # Errors
    ///
    /// Fails if the store or the database cannot be reached. The change may be in the log all the same.
    pub async fn add(&self, change: &Committed, identities: &FleetIdentities) -> Result<(), StoreError> {
        if self.add_all(&change.history, change.logged, change, identities).await? {
            return Ok(());
        }
        tracing::error!(
            version = %change.version,
            "the change log has another change with this number: the database was restored to an earlier state. Credentials \
             that were revoked since then are valid again. The log begins anew"
        );
        let before = Version(change.version.0.saturating_sub(1));
        let (history, logged) = identities.begin_history(&change.history, before).await?;
        if self.add_all(&history, logged.min(before), change, identities).await? {
            Ok(())
        } else {
            Err(FleetError::ObjectStore("the change log has another change with this number".to_owned()).into())
        }
    }

    /// Adds what is missing after `logged`, up to this change. Returns false if the log has another change with one of
    /// the numbers.
    async fn add_all(
        &self,
        history: &str,
        logged: Version,
        change: &Committed,
        identities: &FleetIdentities,
    ) -> Result<bool, StoreError> {
        let version = change.version;
        if logged.next() < version {
            let last = Version(version.0.saturating_sub(1));
            for (version, text) in identities.texts(logged, last).await? {
                if !self.put(history, version, text).await? {
                    return Ok(false);
                }
            }
        }
        self.put(history, version, change.text.clone()).await
    }

    /// Removes changes of a history that no replica needs any more.
    ///
    /// # Errors
    ///
    /// Fails if the store does not respond in time.
    pub async fn remove(&self, history: &str, versions: &[Version]) -> Result<(), StoreError> {
        for version in versions {
            let (store, path) = (self.store.clone(), self.path(history, *version));
            self.within(REQUEST_TIMEOUT, async move { store.delete(&path).await }).await?;
        }
        Ok(())
    }

    /// Checks that the store shows an object at once that was looked for just before: replicas look for changes before
    /// they exist.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be reached, refuses a request, or does not show the object.
    pub async fn check(&self) -> Result<(), StoreError> {
        let (store, path) =
            (self.store.clone(), self.prefix.clone().join("check").join(hex::encode(random::bytes::<16>())));
        let found = self.within(REQUEST_TIMEOUT * 3, async move {
            let before = store.get(&path).await;
            if let Err(error @ object_store::Error::Generic { .. }) = before {
                return Err(error);
            }
            store.put(&path, "checked".into()).await?;
            let found = store.get(&path).await.is_ok();
            store.delete(&path).await?;
            Ok(found)
        });
        if found.await? {
            Ok(())
        } else {
            let problem = "it does not show an object that was just written, so that replicas would miss changes";
            Err(FleetError::Unsuitable(problem.to_owned()).into())
        }
    }

    /// Adds one change. Returns false if the log has another one with this number.
    async fn put(&self, history: &str, version: Version, text: String) -> Result<bool, StoreError> {
        let (store, path) = (self.store.clone(), self.path(history, version));
        self.within(REQUEST_TIMEOUT, async move {
            match store.put_opts(&path, text.clone().into(), PutMode::Create.into()).await {
                Ok(_) => Ok(true),
                // Another writer may have added it, for a writer that crashed.
                Err(object_store::Error::AlreadyExists { .. }) => Ok(store.get(&path).await?.bytes().await? == text),
                Err(error) => Err(error),
            }
        })
        .await
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

    fn path(&self, history: &str, version: Version) -> Path {
        self.prefix.clone().join("changes").join(history).join(format!("{:020}", version.0))
    }
}

fn failed(error: &object_store::Error) -> StoreError {
    FleetError::ObjectStore(error.to_string()).into()
}
