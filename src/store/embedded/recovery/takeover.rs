//! Creation of a journal where there is none: for an empty folder, or a database of a version without journals.

use std::collections::HashSet;

use super::found::{Found, Witness};
use super::{Files, Refusal};
use crate::domain::directory::{Directory, RecordKey};
use crate::store::embedded::changes::{self, Position};
use crate::store::embedded::export;
use crate::store::embedded::journal::Journal;
use crate::store::embedded::records::RecordsDatabase;
use crate::store::error::StoreError;

impl Found {
    /// Begins a journal with the content of the database. Fails if another file shows that there was a journal, or
    /// that the database lost changes.
    pub(super) fn begin(&mut self, files: &Files) -> Result<(RecordsDatabase, Journal), Refusal> {
        let refuse = |reason: String| Err(Refusal::Reason(reason));
        for (witness, name) in [(&self.in_database, "the database"), (&self.in_export, "the export")] {
            if let Witness::At(position) = witness {
                let (path, number) = (files.journal.display(), position.number);
                return refuse(format!("the journal {path} is missing, and {name} knows of change {number}"));
            }
        }
        if self.in_database == Witness::Nothing && self.in_export != Witness::Nothing {
            return refuse("the database is empty, but there is an export".to_owned());
        }
        let database = self.take_database(files)?;
        let records = database.texts()?;
        let directory = changes::directory_of(&records)?;
        let exported = (self.in_export == Witness::Unnumbered).then(|| export::read(&self.export)).transpose()?;
        if exported.is_some_and(|exported| is_newer(&exported.directory, &directory)) {
            return refuse("the export has changes that the database lacks".to_owned());
        }
        let position = Position::of_new_history(u64::from(!records.is_empty()));
        let journal = Journal::create(&files.journal, position, &records)?;
        if !records.is_empty() {
            tracing::info!(records = records.len(), "the journal of identities begins with what is in the database");
            database.apply(&[], position)?;
        }
        Ok((database, journal))
    }

    fn take_database(&mut self, files: &Files) -> Result<RecordsDatabase, StoreError> {
        let database = self.database.take().unwrap_or_else(|| RecordsDatabase::open(&files.database))?;
        match &self.in_database {
            Witness::Unreadable(reason) => Err(StoreError::Damaged(reason.clone())),
            Witness::Nothing | Witness::Unnumbered | Witness::At(_) => Ok(database),
        }
    }
}

/// Returns true if directory `one` shows a change that `other` lacks: a number was assigned, a resource is gone
/// whose number is never assigned again, or a token is revoked. Not every change can be detected.
fn is_newer(one: &Directory, other: &Directory) -> bool {
    let given = |directory: &Directory| {
        let service = directory.service();
        [service.last_user, service.last_group, service.last_token]
    };
    let (newest, present) = (given(one), keys(one));
    let gone = keys(other).into_iter().any(|key| {
        let was_given = match key {
            RecordKey::User(id) => id.0 <= newest[0],
            RecordKey::Group(id) => id.0 <= newest[1],
            RecordKey::Token(id) => id.0 <= newest[2],
            RecordKey::Membership(..) | RecordKey::Tombstone(_) | RecordKey::Service => false,
        };
        was_given && !present.contains(&key)
    });
    let mut tokens = one.tokens().filter(|token| token.revoked_at.is_some());
    let revoked = tokens.any(|token| other.token(token.id).is_some_and(|token| token.revoked_at.is_none()));
    given(one).iter().zip(given(other)).any(|(one, other)| *one > other) || gone || revoked
}

fn keys(directory: &Directory) -> HashSet<RecordKey> {
    directory.records().map(|record| record.key()).collect()
}
