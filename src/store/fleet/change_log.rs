//! The changes of identities in the object store, one object each: `changes/<history>/<version>`, with 20 digits. A
//! replica that cannot reach the database reads there what has changed. The log has no gaps, and an object is never
//! changed: a database that was restored to an earlier state gets another history.

mod objects;

use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;

use self::objects::{Objects, REQUEST_TIMEOUT};
use super::identity::{Change, Committed, FleetIdentities, change_of};
use super::options::BucketOptions;
use crate::auth::fleet_secret::FleetSecret;
use crate::auth::random;
use crate::domain::directory::Version;
use crate::domain::fleet::State;
use crate::store::error::{FleetError, StoreError};

/// The change log. Cheap to clone.
#[derive(Clone)]
pub struct ChangeLog {
    objects: Objects,
    /// Signs the objects: who can write to the store must not change identities.
    secret: Arc<FleetSecret>,
}

/// Object that a log has from its beginning on.
const BEGUN: &str = "begun";
/// Object that a log has once another history has begun.
const ENDED: &str = "ended";

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
        Ok(Self { objects: Objects::new(options, identities.database().runtime().clone())?, secret })
    }

    /// Returns the change with this number; `None` if there is none yet.
    ///
    /// # Errors
    ///
    /// Fails if the store does not respond in time, if the object is damaged, or if the log has ended.
    /// [`FleetError::OtherSignature`]: it is signed with none of the secrets of this replica.
    pub async fn get(&self, history: &str, version: Version, limit: Duration) -> Result<Option<Change>, StoreError> {
        let Some(text) = self.objects.read(self.path(history, version), limit).await? else {
            return match self.objects.read(self.marker(history, ENDED), limit).await? {
                None => Ok(None),
                Some(_) => Err(unsuitable("the change log has ended: the database was restored to an earlier state")),
            };
        };
        let (signature, text) = text.split_once('\n').unwrap_or_default();
        if !self.secret.has_signed(signed_text(history, version, text).as_bytes(), signature) {
            return Err(FleetError::OtherSignature(version.0).into());
        }
        let change = change_of(text)?;
        if change.version == version {
            Ok(Some(change))
        } else {
            Err(StoreError::Damaged(format!("the change log has change {} under the number {version}", change.version)))
        }
    }

    /// Checks that this is the log of the database, and that the log has no later change than that: then the database
    /// was restored to an earlier state, and another history begins. Returns the present state, and whether one began.
    ///
    /// # Errors
    ///
    /// Fails if an engine cannot be reached, or the store has no log of this database.
    pub async fn verify(&self, identities: &FleetIdentities) -> Result<(State, bool), StoreError> {
        let (state, begun) = identities.state().await?;
        let marker = self.marker(&state.history, BEGUN);
        if !begun {
            self.objects.create(marker, BEGUN.to_owned()).await?;
            identities.note_begun().await?;
        } else if self.objects.read(marker, REQUEST_TIMEOUT).await?.is_none() {
            return Err(unsuitable(
                "the bucket has no change log of this database: fleet.bucket_url must be the same on all replicas",
            ));
        }
        let is_ahead = self.get(&state.history, state.version.next(), REQUEST_TIMEOUT).await?.is_some();
        // A change that was committed meanwhile is no reason.
        if is_ahead && identities.state().await?.0 == state {
            self.begin_anew(identities, &state).await?;
            return Ok((identities.state().await?.0, true));
        }
        Ok((state, false))
    }

    /// Ends the log of a history and begins another one after this state, unless another replica has done so. Returns
    /// the present history, and the last change that its log has. Whoever has identities of the ended history notices
    /// that by the next look at the database, and reports the restore.
    ///
    /// # Errors
    ///
    /// Fails if an engine cannot be reached.
    pub async fn begin_anew(
        &self,
        identities: &FleetIdentities,
        from: &State,
    ) -> Result<(String, Version), StoreError> {
        let next = hex::encode(random::bytes::<16>());
        // First, so that nobody goes on with the old log once the database has the new history.
        self.objects.create(self.marker(&from.history, ENDED), ENDED.to_owned()).await?;
        self.objects.create(self.marker(&next, BEGUN), BEGUN.to_owned()).await?;
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
            self.objects.delete(self.path(history, *version)).await?;
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
        let path = self.objects.path(&["check", &hex::encode(random::bytes::<16>())]);
        if self.objects.read(path.clone(), REQUEST_TIMEOUT).await?.is_some()
            || !self.objects.create(path.clone(), "1".into()).await?
        {
            return Err(unsuitable("it has an object that was never written"));
        }
        if self.objects.read(path.clone(), REQUEST_TIMEOUT).await?.is_none() {
            return Err(unsuitable(
                "it does not show an object that was just written, so that replicas would miss changes",
            ));
        }
        if self.objects.create(path.clone(), "2".into()).await? {
            return Err(unsuitable("it writes an object that exists (If-None-Match is ignored)"));
        }
        self.objects.delete(path).await
    }

    /// Adds one change. Returns false if the log has another one with this number.
    async fn put(&self, history: &str, version: Version, text: String) -> Result<bool, StoreError> {
        let signature = self.secret.sign(signed_text(history, version, &text).as_bytes());
        let (path, text) = (self.path(history, version), format!("{signature}\n{text}"));
        if self.objects.create(path.clone(), text.clone()).await? {
            return Ok(true);
        }
        // Another writer may have added it, for a writer that crashed; perhaps with another secret of the fleet.
        let found = self.objects.read(path, REQUEST_TIMEOUT).await?;
        let change = |text: &str| text.split_once('\n').map(|(_, change)| change.to_owned());
        Ok(found.is_some_and(|found| change(&found) == change(&text)))
    }

    fn marker(&self, history: &str, name: &str) -> Path {
        self.objects.path(&["changes", history, name])
    }

    fn path(&self, history: &str, version: Version) -> Path {
        self.objects.path(&["changes", history, &format!("{:020}", version.0)])
    }
}

/// Returns the text of a change that is signed.
fn signed_text(history: &str, version: Version, text: &str) -> String {
    format!("change\n{history}\n{version}\n{text}")
}

fn unsuitable(problem: &str) -> StoreError {
    FleetError::Unsuitable(problem.to_owned()).into()
}
