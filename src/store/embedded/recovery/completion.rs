//! Completion of the database from the journal: its content becomes equal to that of the journal, or it is rebuilt.

use super::found::{Found, Witness};
use super::{Files, Refusal};
use crate::store::embedded::changes::{History, Position, Rest};
use crate::store::embedded::journal::Journal;
use crate::store::embedded::records::RecordsDatabase;
use crate::store::error::StoreError;

impl Found {
    /// Makes the content of the database equal to that of the journal.
    pub(super) fn follow(&mut self, files: &Files, history: &History) -> Result<(RecordsDatabase, Journal), Refusal> {
        if let Rest::Torn(bytes) = history.rest {
            tracing::warn!(
                bytes,
                "the journal of identities ends with an incomplete change that was never acknowledged; the change is dropped"
            );
        }
        let journal = Journal::open(&files.journal, history)?;
        if let Witness::Unreadable(reason) = &self.in_database
            && let Some(Err(error @ (StoreError::Full | StoreError::Io(_)))) = &self.database
        {
            tracing::error!(reason, "the database of identities cannot be opened");
            return Err(Refusal::Failed(error.clone()));
        }
        let database = match self.database.take() {
            Some(Ok(database)) if !matches!(self.in_database, Witness::Unreadable(_)) => database,
            None => RecordsDatabase::open(&files.database)?,
            Some(old) => {
                let database = rebuild_database(files, history, old.ok())?;
                self.mark(&journal, &database, history)?;
                return Ok((database, journal));
            }
        };
        let database = self.complete(files, history, database)?;
        self.mark(&journal, &database, history)?;
        Ok((database, journal))
    }

    /// Records the installation in files of an earlier version, which lack it. If that fails, the next start
    /// repeats it.
    fn mark(&self, journal: &Journal, database: &RecordsDatabase, history: &History) -> Result<(), StoreError> {
        if history.end().installation.is_some() {
            return Ok(());
        }
        let end = history.end().of_installation(self.installation());
        let end = Position { installation: end.installation.or(Position::of_new_history(0).installation), ..end };
        match journal.rewrite(|_| Ok((end, history.records.clone()))) {
            Ok(()) => database.apply(&[], end),
            Err(error) => {
                tracing::warn!(%error, "the journal of identities could not be marked as one of this installation");
                Ok(())
            }
        }
    }

    /// Writes to the database what it lacks, if anything.
    fn complete(
        &self,
        files: &Files,
        history: &History,
        database: RecordsDatabase,
    ) -> Result<RecordsDatabase, StoreError> {
        let difference = database.difference(&history.records);
        // Damaged times of last use and sums of events must not refuse a start, but pages that cannot be read would
        // fail later: the database is rebuilt without them.
        let others = || database.last_used().and_then(|_| database.size_of_sums());
        let difference = match difference.and_then(|difference| others().map(|_| difference)) {
            Err(StoreError::Damaged(_)) => return rebuild_database(files, history, Some(database)),
            difference => difference?,
        };
        let end = history.end();
        if difference.is_empty()
            && let Witness::At(position) = &self.in_database
            && position.is_at(&end)
        {
            // A database of an earlier version has the position without the installation.
            if *position != end {
                database.apply(&[], end)?;
            }
            return Ok(database);
        }
        let (changes, records) = (end.number - self.in_database.number(), difference.len());
        // If the database lost more than the change that was being written, the rest of its content is not trusted
        // either.
        let is_damaged = match &self.in_database {
            Witness::At(_) => changes != 1,
            Witness::Unnumbered => records > 0,
            Witness::Nothing | Witness::Unreadable(_) => false,
        };
        if is_damaged {
            return rebuild_database(files, history, Some(database));
        }
        if changes > 0 || records > 0 {
            warn_of_repair(changes, records);
        }
        database.apply_in_steps(&difference, end)?;
        Ok(database)
    }
}

/// Rebuilds the database from the journal.
fn rebuild_database(
    files: &Files,
    history: &History,
    old: Option<RecordsDatabase>,
) -> Result<RecordsDatabase, StoreError> {
    let database = files.replace_database(old)?;
    let all = database.difference(&history.records)?;
    warn_of_repair(history.end().number, all.len());
    database.apply_in_steps(&all, history.end())?;
    Ok(database)
}

fn warn_of_repair(changes: u64, records: usize) {
    tracing::warn!(
        changes,
        records,
        "changes of identities were missing in the database and are restored from the journal"
    );
}
