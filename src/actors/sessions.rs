//! Sessions of the console: in memory, or in the database that replicas share. There, a user who signs in at one
//! replica is signed in at all of them, and one who signs out is signed out at all of them with the next request.
//! Callers decide at each request whether the password of a session is still valid. A cookie has the secret of a
//! session; only the digest of the secret is kept.

mod own;
mod shared;

use std::time::Instant;

use self::own::OwnSessions;
use self::shared::SharedSessions;
use crate::auth::random;
use crate::domain::id::CredentialId;
use crate::domain::session::{ListedSession, Session, SessionTimes, SessionUse, StartedFrom};
use crate::store::fleet::FleetSessions;

/// All sessions. Cheap to clone; clones share them.
#[derive(Clone)]
pub struct Sessions(Kind);

#[derive(Clone)]
enum Kind {
    Own(OwnSessions),
    Shared(SharedSessions),
}

/// Reason why sessions can neither be read nor changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The database of the replicas has not responded, or not as it should. The log says why.
    #[error("The database that has the sessions does not respond. Try it again in a few seconds")]
    Unavailable,
}

/// Length of the name of a session, in bytes.
const ID_BYTES: usize = 8;

/// Length of the secret in a cookie, in bytes.
const SECRET_BYTES: usize = 32;

impl Sessions {
    /// Creates an empty set of sessions in memory, with these times.
    pub fn new(times: SessionTimes) -> Self {
        Self(Kind::Own(OwnSessions::new(times)))
    }

    /// Returns the sessions that replicas share, with these times.
    pub fn shared(store: FleetSessions, times: SessionTimes) -> Self {
        Self(Kind::Shared(SharedSessions::new(store, times)))
    }

    /// Starts a session, and returns its secret for the cookie.
    ///
    /// # Errors
    ///
    /// Fails if the database does not respond.
    pub async fn start(&self, credential: CredentialId, from: StartedFrom) -> Result<String, SessionError> {
        let (id, secret) = (hex::encode(random::bytes::<ID_BYTES>()), hex::encode(random::bytes::<SECRET_BYTES>()));
        match &self.0 {
            Kind::Own(sessions) => sessions.start((id, &secret), credential, from, Instant::now()),
            Kind::Shared(sessions) => sessions.start((id, &secret), credential, from).await?,
        }
        Ok(secret)
    }

    /// Returns the session with this secret, if there is one.
    ///
    /// # Errors
    ///
    /// Fails if the database does not respond.
    pub async fn find(&self, secret: &str, by: SessionUse) -> Result<Option<Session>, SessionError> {
        match &self.0 {
            Kind::Own(sessions) => Ok(sessions.find(secret, by, Instant::now())),
            Kind::Shared(sessions) => sessions.find(secret, by).await,
        }
    }

    /// Returns the password to which a session with this secret belongs, as far as this process knows. It is only for
    /// limits, which are checked before anything expensive: the session may have ended.
    pub fn presumed_credential(&self, secret: &str) -> Option<CredentialId> {
        match &self.0 {
            Kind::Own(sessions) => sessions.credential(secret, Instant::now()),
            Kind::Shared(sessions) => sessions.presumed_credential(secret),
        }
    }

    /// Keeps a sentence with the result of a form for the next page of the session. It is lost if the database does not
    /// respond.
    pub async fn note_done(&self, secret: &str, sentence: String) {
        match &self.0 {
            Kind::Own(sessions) => sessions.note_done(secret, sentence),
            Kind::Shared(sessions) => sessions.note_done(secret, sentence).await,
        }
    }

    /// Ends the session with this secret.
    ///
    /// # Errors
    ///
    /// Fails if the database does not respond. The session may go on.
    pub async fn end(&self, secret: &str) -> Result<(), SessionError> {
        match &self.0 {
            Kind::Own(sessions) => sessions.end(secret),
            Kind::Shared(sessions) => sessions.end(secret).await?,
        }
        Ok(())
    }

    /// Returns the sessions of a password; the one used last comes first.
    ///
    /// # Errors
    ///
    /// Fails if the database does not respond.
    pub async fn of(&self, credential: CredentialId) -> Result<Vec<ListedSession>, SessionError> {
        match &self.0 {
            Kind::Own(sessions) => Ok(sessions.of(credential, Instant::now())),
            Kind::Shared(sessions) => sessions.of(credential).await,
        }
    }

    /// Ends this session.
    ///
    /// # Errors
    ///
    /// Fails if the database does not respond. The session may go on.
    pub async fn end_listed(&self, listed: &ListedSession) -> Result<(), SessionError> {
        match &self.0 {
            Kind::Own(sessions) => sessions.end_named(&listed.id),
            Kind::Shared(sessions) => sessions.end_named(&listed.id).await?,
        }
        Ok(())
    }

    /// Ends all sessions of a password.
    ///
    /// # Errors
    ///
    /// Fails if the database does not respond. The sessions may go on.
    pub async fn end_all_of(&self, credential: CredentialId) -> Result<(), SessionError> {
        match &self.0 {
            Kind::Own(sessions) => sessions.end_all_of(credential),
            Kind::Shared(sessions) => sessions.end_all_of(credential).await?,
        }
        Ok(())
    }
}
