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
use crate::auth::fleet_secret::FleetSecret;
use crate::auth::random;
use crate::domain::directory::Version;
use crate::domain::fleet::State;
use crate::store::error::{FleetError, StoreError};

/// The change log. Cheap to clone.
#[derive(Clone)]
pub struct ChangeLog {
    runtime: Handle,
    store: Arc<AmazonS3>,
    prefix: Path,
    /// Signs the objects: who can write to the store must not change identities.
    secret: Arc<FleetSecret>,
}

/// Object that a log has from its beginning on.
const BEGUN: &str = "begun";
/// Object that a log has once another history has begun.
const ENDED: &str = "ended";
/// Maximum length of an object in bytes.
const MAX_OBJECT_BYTES: u64 = 64 << 20;
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
    pub fn new(
        options: &BucketOptions,
        identities: &FleetIdentities,
        secret: Arc<FleetSecret>,
    ) -> Result<Self, StoreError> {
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
        Ok(Self { runtime: identities.database().runtime().clone(), store, prefix, secret })
    }

    /// Returns the change with this number; `None` if there is none yet.
    ///
    /// # Errors
    ///
    /// Fails if the store does not respond in time, if the object is damaged or not signed by a replica, or if the log
    /// has ended.
    pub async fn get(&self, history: &str, version: Version, limit: Duration) -> Result<Option<Change>, StoreError> {
        let Some(text) = self.read(self.path(history, version), limit).await? else {
            return match self.read(self.marker(history, ENDED), limit).await? {
                None => Ok(None),
                Some(_) => Err(unsuitable("the change log has ended: the database was restored to an earlier state")),
            };
        };
        let (signature, text) = text.split_once('\n').unwrap_or_default();
        if !self.secret.has_signed(signed_text(history, version, text).as_bytes(), signature) {
            return Err(StoreError::Damaged(format!("change {version} in the change log was not signed by a replica")));
        }
        let change = change_of(text)?;
        if change.version == version {
            Ok(Some(change))
        } else {
            Err(StoreError::Damaged(format!("the change log has change {} under the number {version}", change.version)))
        }
    }

    /// Checks that this is the log of the database, and that the log has no later change than that: then the database
    /// was restored to an earlier state, and another history begins.
    ///
    /// # Errors
    ///
    /// Fails if an engine cannot be reached, or the store has no log of this database.
    pub async fn verify(&self, identities: &FleetIdentities) -> Result<State, StoreError> {
        let (state, begun) = identities.state().await?;
        let marker = self.marker(&state.history, BEGUN);
        if !begun {
            self.create(marker, BEGUN.to_owned()).await?;
            identities.note_begun().await?;
        } else if self.read(marker, REQUEST_TIMEOUT).await?.is_none() {
            return Err(unsuitable(
                "the bucket has no change log of this database: fleet.bucket_url must be the same on all replicas",
            ));
        }
        let is_ahead = self.get(&state.history, state.version.next(), REQUEST_TIMEOUT).await?.is_some();
        // A change that was committed meanwhile is no reason.
        if is_ahead && identities.state().await?.0 == state {
            self.begin_anew(identities, &state).await?;
            return Ok(identities.state().await?.0);
        }
        Ok(state)
    }

    /// Ends the log of a history and begins another one after this state, unless another replica has done so. Returns
    /// the present history, and the last change that its log has.
    ///
    /// # Errors
    ///
    /// Fails if an engine cannot be reached.
    pub async fn begin_anew(
        &self,
        identities: &FleetIdentities,
        from: &State,
    ) -> Result<(String, Version), StoreError> {
        tracing::error!(
            version = %from.version,
            "the database was restored to an earlier state than the change log has: credentials that were revoked since are \
             valid again. Another history of changes begins"
        );
        let next = hex::encode(random::bytes::<16>());
        // First, so that nobody goes on with the old log once the database has the new history.
        self.create(self.marker(&from.history, ENDED), ENDED.to_owned()).await?;
        self.create(self.marker(&next, BEGUN), BEGUN.to_owned()).await?;
        identities.begin_history(&from.history, &next, from.version).await
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
        let before = Version(change.version.0.saturating_sub(1));
        let from = State { history: change.history.clone(), version: before };
        let (history, logged) = self.begin_anew(identities, &from).await?;
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
        // Of a change that was committed before, the text is read, too.
        let last = if change.text.is_some() { Version(version.0.saturating_sub(1)) } else { version };
        let mut added = logged;
        if logged < last {
            for (version, text) in identities.texts(logged, last).await? {
                if version != added.next() || !self.put(history, version, text).await? {
                    return Ok(false);
                }
                added = version;
            }
            if added != last {
                return Err(StoreError::Damaged("a change is missing in the database".to_owned()));
            }
        }
        match &change.text {
            Some(text) => self.put(history, version, text.clone()).await,
            None => Ok(true),
        }
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

    /// Checks that the store shows an object at once that was looked for just before, because replicas look for changes
    /// before they exist, and that it creates an object only once.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be reached, refuses a request, or cannot hold a change log.
    pub async fn check(&self) -> Result<(), StoreError> {
        let path = self.prefix.clone().join("check").join(hex::encode(random::bytes::<16>()));
        if self.read(path.clone(), REQUEST_TIMEOUT).await?.is_some() || !self.create(path.clone(), "1".into()).await? {
            return Err(unsuitable("it has an object that was never written"));
        }
        if self.read(path.clone(), REQUEST_TIMEOUT).await?.is_none() {
            return Err(unsuitable(
                "it does not show an object that was just written, so that replicas would miss changes",
            ));
        }
        if self.create(path.clone(), "2".into()).await? {
            return Err(unsuitable("it writes an object that exists (If-None-Match is ignored)"));
        }
        let store = self.store.clone();
        self.within(REQUEST_TIMEOUT, async move { store.delete(&path).await }).await
    }

    /// Adds one change. Returns false if the log has another one with this number.
    async fn put(&self, history: &str, version: Version, text: String) -> Result<bool, StoreError> {
        let signature = self.secret.sign(signed_text(history, version, &text).as_bytes());
        let (path, text) = (self.path(history, version), format!("{signature}\n{text}"));
        if self.create(path.clone(), text.clone()).await? {
            return Ok(true);
        }
        // Another writer may have added it, for a writer that crashed; perhaps with another secret of the fleet.
        let found = self.read(path, REQUEST_TIMEOUT).await?;
        let change = |text: &str| text.split_once('\n').map(|(_, change)| change.to_owned());
        Ok(found.is_some_and(|found| change(&found) == change(&text)))
    }

    /// Creates an object. Returns false if it exists.
    async fn create(&self, path: Path, text: String) -> Result<bool, StoreError> {
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
    async fn read(&self, path: Path, limit: Duration) -> Result<Option<String>, StoreError> {
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

    fn marker(&self, history: &str, name: &str) -> Path {
        self.prefix.clone().join("changes").join(history).join(name)
    }

    fn path(&self, history: &str, version: Version) -> Path {
        self.prefix.clone().join("changes").join(history).join(format!("{:020}", version.0))
    }
}

/// Returns the text of a change that is signed.
fn signed_text(history: &str, version: Version, text: &str) -> String {
    format!("change\n{history}\n{version}\n{text}")
}

fn unsuitable(problem: &str) -> StoreError {
    FleetError::Unsuitable(problem.to_owned()).into()
}

fn failed(error: &object_store::Error) -> StoreError {
    use object_store::Error::{PermissionDenied, Unauthenticated};
    // Another attempt does not help.
    let is_refused = matches!(error, PermissionDenied { .. } | Unauthenticated { .. });
    let reason = error.to_string();
    if is_refused { FleetError::Unsuitable(reason).into() } else { FleetError::ObjectStore(reason).into() }
}
