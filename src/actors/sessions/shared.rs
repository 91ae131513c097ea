//! Sessions in the database that replicas share. Each request for a page reads its session from there. Therefore a
//! session that one replica has ended is over at the next request to any replica.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::SessionError;
use crate::auth::sha256;
use crate::domain::digest::Digest;
use crate::domain::id::CredentialId;
use crate::domain::session::{ListedSession, MAX_SESSIONS, Session, SessionTimes, SessionUse, StartedFrom};
use crate::store::error::StoreError;
use crate::store::fleet::FleetSessions;
use crate::telemetry::LineLimit;

/// All sessions, as one replica sees them. Cheap to clone.
#[derive(Clone)]
pub(super) struct SharedSessions {
    store: FleetSessions,
    times: SessionTimes,
    /// The passwords of sessions that this replica has found, some of which may have ended. Used only for limits.
    presumed: Arc<Mutex<HashMap<Digest, CredentialId>>>,
}

impl SharedSessions {
    pub(super) fn new(store: FleetSessions, times: SessionTimes) -> Self {
        Self { store, times, presumed: Arc::default() }
    }

    pub(super) async fn start(
        &self,
        (id, secret): (String, &str),
        credential: CredentialId,
        from: StartedFrom,
    ) -> Result<(), SessionError> {
        let digest = sha256::digest(secret.as_bytes());
        self.store.start((id, digest), credential, from, self.times).await.map_err(unavailable)?;
        self.presume(digest, credential);
        Ok(())
    }

    pub(super) async fn find(&self, secret: &str, by: SessionUse) -> Result<Option<Session>, SessionError> {
        let digest = sha256::digest(secret.as_bytes());
        let found = self.store.find(digest, by, self.times).await.map_err(unavailable)?;
        match &found {
            Some(session) => self.presume(digest, session.credential),
            None => drop(self.presumed().remove(&digest)),
        }
        Ok(found)
    }

    pub(super) fn presumed_credential(&self, secret: &str) -> Option<CredentialId> {
        self.presumed().get(&sha256::digest(secret.as_bytes())).copied()
    }

    pub(super) async fn note_done(&self, secret: &str, sentence: String) {
        let noted = self.store.note_done(sha256::digest(secret.as_bytes()), sentence).await;
        let _: Result<(), SessionError> = noted.map_err(unavailable);
    }

    pub(super) async fn end(&self, secret: &str) -> Result<(), SessionError> {
        self.store.end(sha256::digest(secret.as_bytes())).await.map_err(unavailable)
    }

    pub(super) async fn of(&self, credential: CredentialId) -> Result<Vec<ListedSession>, SessionError> {
        self.store.of(credential, self.times).await.map_err(unavailable)
    }

    pub(super) async fn end_named(&self, id: &str) -> Result<(), SessionError> {
        self.store.end_named(id.to_owned()).await.map_err(unavailable)
    }

    pub(super) async fn end_all_of(&self, credential: CredentialId) -> Result<(), SessionError> {
        self.store.end_all_of(credential).await.map_err(unavailable)
    }

    fn presume(&self, digest: Digest, credential: CredentialId) {
        let mut presumed = self.presumed();
        if presumed.len() >= MAX_SESSIONS && !presumed.contains_key(&digest) {
            // All that are in use come back with their next requests.
            presumed.clear();
        }
        presumed.insert(digest, credential);
    }

    fn presumed(&self) -> MutexGuard<'_, HashMap<Digest, CredentialId>> {
        self.presumed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Converts an error, whose reason is for the operator.
fn unavailable(error: StoreError) -> SessionError {
    static LINES: LineLimit<()> = LineLimit::new();
    if let Some(left_out) = LINES.admit(&()) {
        tracing::warn!(%error, left_out, "the sessions of the console cannot be read or changed");
    }
    SessionError::Unavailable
}
