//! Sessions of the console in the database. Their times are those of the database, so that no clock of one machine is
//! compared with that of another. The secret of a session is not stored, only its digest.

use std::net::IpAddr;
use std::time::Duration;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::database::{Database, work};
use crate::domain::digest::Digest;
use crate::domain::id::CredentialId;
use crate::domain::session::{
    ListedSession, MAX_SESSIONS, MAX_SESSIONS_OF_ONE, Session, SessionTimes, SessionUse, StartedFrom,
};
use crate::store::error::StoreError;

/// The sessions of all replicas. Cheap to clone.
#[derive(Clone)]
pub struct FleetSessions {
    database: Database,
}

const START: &str =
    "INSERT INTO console_session (digest, id, credential, address, user_agent) VALUES ($1, $2, $3, $4, $5)";
const FIND: &str = "SELECT id, credential, done, used_at < now() - make_interval(secs => $4) FROM console_session \
    WHERE digest = $1 AND used_at > now() - make_interval(secs => $2) AND started_at > now() - make_interval(secs => $3)";
const USE: &str = "UPDATE console_session SET used_at = now() WHERE digest = $1";
const SHOW: &str = "UPDATE console_session SET used_at = now(), done = NULL WHERE digest = $1";
const NOTE: &str = "UPDATE console_session SET done = $2 WHERE digest = $1";
const END: &str = "DELETE FROM console_session WHERE digest = $1";
const END_NAMED: &str = "DELETE FROM console_session WHERE id = $1";
const END_ALL: &str = "DELETE FROM console_session WHERE credential = $1";
const LIST: &str = "SELECT id, address, user_agent, extract(epoch FROM now() - started_at)::float8, \
    extract(epoch FROM now() - used_at)::float8 FROM console_session \
    WHERE credential = $1 AND used_at > now() - make_interval(secs => $2) AND started_at > now() - make_interval(secs => $3) \
    ORDER BY used_at DESC, id";
// Two replicas that do this at once skip the rows of one another instead of waiting.
const TIDY: &str = "DELETE FROM console_session WHERE digest IN (SELECT digest FROM console_session \
    WHERE used_at <= now() - make_interval(secs => $1) OR started_at <= now() - make_interval(secs => $2) \
    FOR UPDATE SKIP LOCKED)";
const SURPLUS_OF_ONE: &str = "DELETE FROM console_session WHERE digest IN (SELECT digest FROM console_session \
    WHERE credential = $1 ORDER BY used_at DESC, id OFFSET $2 FOR UPDATE SKIP LOCKED)";
const SURPLUS: &str = "DELETE FROM console_session WHERE digest IN (SELECT digest FROM console_session \
    ORDER BY used_at DESC, id OFFSET $1 FOR UPDATE SKIP LOCKED)";

/// Time after which a further request is recorded as the last use.
const USE_INTERVAL: Duration = Duration::from_secs(60);

impl FleetSessions {
    /// Returns the sessions in this database.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Starts a session with this name, and the digest of its secret.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn start(
        &self,
        (id, digest): (String, Digest),
        credential: CredentialId,
        from: StartedFrom,
        times: SessionTimes,
    ) -> Result<(), StoreError> {
        let (digest, credential) = (digest.to_string(), credential.to_string());
        let address = from.address.map(|address| address.to_string());
        let start = work(move |client| {
            Box::pin(async move {
                let values = [
                    (&digest as _, Type::TEXT),
                    (&id as _, Type::TEXT),
                    (&credential as _, Type::TEXT),
                    (&address as _, Type::TEXT),
                    (&from.user_agent as _, Type::TEXT),
                ];
                client.execute_typed(START, &values).await?;
                remove_surplus(client, &credential, times).await
            })
        });
        self.database.run(start).await
    }

    /// Returns the session whose secret has this digest.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or the row is damaged.
    pub async fn find(
        &self,
        digest: Digest,
        by: SessionUse,
        times: SessionTimes,
    ) -> Result<Option<Session>, StoreError> {
        let digest = digest.to_string();
        let use_interval = USE_INTERVAL.min(times.idle / 10).as_secs_f64();
        let find = work(move |client| {
            Box::pin(async move {
                let values = [
                    (&digest as _, Type::TEXT),
                    (&times.idle.as_secs_f64() as _, Type::FLOAT8),
                    (&times.longest.as_secs_f64() as _, Type::FLOAT8),
                    (&use_interval as _, Type::FLOAT8),
                ];
                let Some(row) = client.query_typed_opt(FIND, &values).await? else { return Ok(None) };
                let (has_sentence, is_due) = (row.get::<_, Option<&str>>(2).is_some(), row.get::<_, bool>(3));
                let statement = match by {
                    SessionUse::Page if has_sentence => Some(SHOW),
                    SessionUse::Page | SessionUse::Form if is_due => Some(USE),
                    SessionUse::Page | SessionUse::Form | SessionUse::Unattended => None,
                };
                if let Some(statement) = statement {
                    client.execute_typed(statement, &[(&digest, Type::TEXT)]).await?;
                }
                Ok(Some(row))
            })
        });
        let found = self.database.run(find).await?;
        let session = found.as_ref().map(session_of).transpose()?;
        Ok(session.map(|session| Session { done: session.done.filter(|_| by == SessionUse::Page), ..session }))
    }

    /// Keeps a sentence for the next page of a session.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn note_done(&self, digest: Digest, sentence: String) -> Result<(), StoreError> {
        let digest = digest.to_string();
        let note = work(move |client| {
            Box::pin(async move { client.execute_typed(NOTE, &[(&digest, Type::TEXT), (&sentence, Type::TEXT)]).await })
        });
        self.database.run(note).await.map(drop)
    }

    /// Ends the session whose secret has this digest.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn end(&self, digest: Digest) -> Result<(), StoreError> {
        self.delete(END, digest.to_string()).await
    }

    /// Ends the session with this name.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn end_named(&self, id: String) -> Result<(), StoreError> {
        self.delete(END_NAMED, id).await
    }

    /// Ends all sessions of a password.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn end_all_of(&self, credential: CredentialId) -> Result<(), StoreError> {
        self.delete(END_ALL, credential.to_string()).await
    }

    /// Returns the sessions of a password; the one used last comes first.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn of(&self, credential: CredentialId, times: SessionTimes) -> Result<Vec<ListedSession>, StoreError> {
        let credential = credential.to_string();
        let list = work(move |client| {
            Box::pin(async move {
                let values = [
                    (&credential as _, Type::TEXT),
                    (&times.idle.as_secs_f64() as _, Type::FLOAT8),
                    (&times.longest.as_secs_f64() as _, Type::FLOAT8),
                ];
                client.query_typed(LIST, &values).await
            })
        });
        Ok(self.database.run(list).await?.iter().map(listed_of).collect())
    }

    async fn delete(&self, statement: &'static str, key: String) -> Result<(), StoreError> {
        let delete =
            work(move |client| Box::pin(async move { client.execute_typed(statement, &[(&key, Type::TEXT)]).await }));
        self.database.run(delete).await.map(drop)
    }
}

/// Removes the sessions that have ended, and those beyond the maximum numbers.
async fn remove_surplus(client: &Client, credential: &str, times: SessionTimes) -> Result<(), tokio_postgres::Error> {
    let (idle, longest) = (times.idle.as_secs_f64(), times.longest.as_secs_f64());
    client.execute_typed(TIDY, &[(&idle, Type::FLOAT8), (&longest, Type::FLOAT8)]).await?;
    let most_of_one = i64::try_from(MAX_SESSIONS_OF_ONE).unwrap_or(i64::MAX);
    client.execute_typed(SURPLUS_OF_ONE, &[(&credential, Type::TEXT), (&most_of_one, Type::INT8)]).await?;
    let most = i64::try_from(MAX_SESSIONS).unwrap_or(i64::MAX);
    client.execute_typed(SURPLUS, &[(&most, Type::INT8)]).await.map(drop)
}

fn session_of(row: &Row) -> Result<Session, StoreError> {
    let credential: &str = row.get(1);
    let credential = credential.parse().map_err(|_| StoreError::Damaged("the credential of a session".to_owned()))?;
    Ok(Session { id: row.get(0), credential, done: row.get(2) })
}

fn listed_of(row: &Row) -> ListedSession {
    let address = row.get::<_, Option<&str>>(1).and_then(|address| address.parse::<IpAddr>().ok());
    let time = |column| Duration::try_from_secs_f64(row.get(column)).unwrap_or_default();
    let from = StartedFrom { address, user_agent: row.get(2) };
    ListedSession { id: row.get(0), from, age: time(3), idle: time(4) }
}
