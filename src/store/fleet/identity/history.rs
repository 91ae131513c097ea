//! The changes that are kept in the database, and what it knows of the change log.

use tokio_postgres::types::Type;

use super::FleetIdentities;
use super::changes::{signed, unsigned};
use crate::domain::directory::Version;
use crate::domain::fleet::State;
use crate::store::error::StoreError;
use crate::store::fleet::database::work;

/// Time in seconds for which changes are kept.
const KEPT_SECS: i64 = 7 * 24 * 3600;

impl FleetIdentities {
    /// Returns the last change, its history, and whether the log of the first history exists.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn state(&self) -> Result<(State, bool), StoreError> {
        const STATE: &str = "SELECT version, history, begun FROM fence";
        let read = work(|client| Box::pin(async move { client.query_typed_one(STATE, &[]).await }));
        let row = self.database.run(read).await?;
        Ok((State { version: unsigned(row.get(0)), history: row.get(1) }, row.get(2)))
    }

    /// Records that the log of the first history exists.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn note_begun(&self) -> Result<(), StoreError> {
        const NOTE: &str = "UPDATE fence SET begun = true";
        let note = work(|client| Box::pin(async move { client.execute_typed(NOTE, &[]).await }));
        self.database.run(note).await.map(drop)
    }

    /// Records that the change log has all changes up to this one.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn note_logged(&self, history: &str, version: Version) -> Result<(), StoreError> {
        const NOTE: &str = "UPDATE fence SET logged = greatest(logged, $1) WHERE history = $2";
        let (version, history) = (signed(version), history.to_owned());
        let note = work(move |client| {
            Box::pin(async move { client.execute_typed(NOTE, &[(&version, Type::INT8), (&history, Type::TEXT)]).await })
        });
        self.database.run(note).await.map(drop)
    }

    /// Returns the changes after `from`, up to `to`, as the change log has them.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn texts(&self, from: Version, to: Version) -> Result<Vec<(Version, String)>, StoreError> {
        const TEXTS: &str =
            "SELECT version, writes::text FROM change WHERE version > $1 AND version <= $2 ORDER BY version";
        let (from, to) = (signed(from), signed(to));
        let read = work(move |client| {
            Box::pin(async move { client.query_typed(TEXTS, &[(&from, Type::INT8), (&to, Type::INT8)]).await })
        });
        Ok(self.database.run(read).await?.iter().map(|row| (unsigned(row.get(0)), row.get(1))).collect())
    }

    /// Lets another history of changes begin after the change `before`, unless another replica has begun one already.
    /// Returns the present one, and the last change that its log has. Their logs must exist.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn begin_history(
        &self,
        former: &str,
        next: &str,
        before: Version,
    ) -> Result<(String, Version), StoreError> {
        const BEGIN: &str = "UPDATE fence SET history = $2, logged = $3 WHERE history = $1";
        let (former, next, logged) = (former.to_owned(), next.to_owned(), signed(before));
        let begin = work(move |client| {
            Box::pin(async move {
                let values = [(&former as _, Type::TEXT), (&next as _, Type::TEXT), (&logged as _, Type::INT8)];
                client.execute_typed(BEGIN, &values).await?;
                client.query_typed_one("SELECT history, logged FROM fence", &[]).await
            })
        });
        let row = self.database.run(begin).await?;
        Ok((row.get(0), unsigned(row.get(1))))
    }

    /// Forgets changes that are so old that no replica needs them. Returns their numbers.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn forget_old_changes(&self) -> Result<Vec<Version>, StoreError> {
        // The last change stays, so that a replica that has it finds no gap.
        const FORGET: &str = "DELETE FROM change WHERE at < now() - make_interval(secs => $1) \
            AND version < (SELECT logged FROM fence) RETURNING version";
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let kept = KEPT_SECS as f64;
        let forget =
            work(move |client| Box::pin(async move { client.query_typed(FORGET, &[(&kept, Type::FLOAT8)]).await }));
        Ok(self.database.run(forget).await?.iter().map(|row| unsigned(row.get(0))).collect())
    }
}
