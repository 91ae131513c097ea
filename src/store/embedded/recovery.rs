//! Recovery of the identities at a start: the [journal](super::journal) is authoritative, the
//! [database](super::records) is completed from it, and the start is refused if another file knows of more changes
//! than the journal.
//!
//! Three files know the number of the last change: the journal, the database and the export. At most one of them is
//! assumed to be damaged, or to belong to [another history](agreement): two that agree outvote the third.
//!
//! Each state of the files leads to one action:
//!
//! - The journal is complete, and no file knows of more changes: every record of the database is compared with it;
//!   missing, surplus and different records are corrected, with a warning. A database that lost more than the last
//!   change, or cannot be read, is moved aside to `identity.damaged` and rebuilt.
//! - The same, with one incomplete line at the end, before which the database ends too: the line is dropped. If its
//!   change had been acknowledged, the database would know its number.
//! - The same, but the database does not show that: refused.
//! - The journal is damaged, ends before a change that another file knows, or is of another history: refused.
//! - No journal, and another file has a number: refused.
//! - No journal and no number in any file (a store of a version without journals, or an empty folder): the records of
//!   the database begin a new journal, unless the export shows that the database lost some.
//!
//! A change whose line is complete but which the database does not know was being written when the process ended.
//! It counts, although it was not acknowledged.
//!
//! | module | content |
//! |---|---|
//! | [`found`], [`files`], [`present`] | what a start finds in the files; their names; the identities of a folder that no service has open |
//! | [`agreement`], [`newest`] | which of them belong to one history; the copy whose restore loses the fewest changes |
//! | [`takeover`], [`completion`], [`replacement`] | a journal where there is none; the database from the journal; a restore |

mod agreement;
mod completion;
mod files;
mod found;
mod newest;
mod present;
mod replacement;
mod takeover;

use std::io;

pub(super) use self::files::Files;
pub use self::present::Present;
pub(super) use self::replacement::Replacement;

use self::agreement::Agreement;
use self::found::{Found, FoundJournal, Witness};
use super::changes::{self, History, Rest};
use super::export;
use super::journal::Journal;
use super::records::RecordsDatabase;
use crate::domain::directory::{Directory, Service};
use crate::domain::id::InstallationId;
use crate::store::error::{OpenError, StoreError};
use crate::store::reserve;

/// The highest numbers that any of the files knows, including damaged ones.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Number of the last change.
    pub(super) change: u64,
    /// Numbers of users, groups and tokens.
    pub(super) service: Service,
    /// The installation that the files belong to.
    pub(super) installation: Option<InstallationId>,
}

/// Reason why the identities cannot be used.
enum Refusal {
    Reason(String),
    Failed(StoreError),
}

/// Opens the identities in these files, or begins an empty store.
///
/// # Errors
///
/// Fails if the files contradict each other or changes may be lost, if the disk is full, or if a file cannot be
/// used.
pub(super) fn open(files: &Files) -> Result<(RecordsDatabase, Journal), OpenError> {
    let mut found = Found::look(files);
    let journal = std::mem::replace(&mut found.journal, FoundJournal::Missing);
    let opened = match &journal {
        FoundJournal::Missing => found.begin(files),
        FoundJournal::Unusable(reason) => Err(Refusal::Reason(reason.clone())),
        FoundJournal::Read(history) => match found.contradiction(files, history) {
            None => found.follow(files, history),
            Some(reason) => Err(Refusal::Reason(reason)),
        },
    };
    found.journal = journal;
    opened.map_err(|refusal| match refusal {
        Refusal::Reason(reason) | Refusal::Failed(StoreError::Damaged(reason)) => found.refusal(files, reason),
        // No change is lost, so that a restore would not help.
        Refusal::Failed(error @ (StoreError::Full | StoreError::Io(_) | StoreError::Closed | StoreError::Fleet(_))) => {
            OpenError::of(&files.database, error, &files.data, reserve::MIN_FREE_BYTES)
        }
    })
}

/// Returns the highest numbers in all files that can be read, even if some are damaged.
pub(super) fn known(files: &Files) -> Known {
    let found = Found::look(files);
    let mut known = Known { installation: found.installation(), ..Known::default() };
    let mut add = |change: u64, directory: Option<Directory>| {
        known.change = known.change.max(change);
        if let Some(directory) = directory {
            known.service = known.service.with_numbers_of(directory.service());
        }
    };
    if let FoundJournal::Read(history) = &found.journal {
        add(history.end().number, changes::directory_of(&history.records).ok());
    }
    if let Some(Ok(database)) = &found.database {
        add(0, database.texts().and_then(|records| changes::directory_of(&records)).ok());
    }
    add(found.in_database.number(), None);
    add(found.in_export.number(), export::read(&found.export).ok().map(|backup| backup.directory));
    known
}

impl Found {
    /// Returns the reason why this journal may lack changes; `None` if it has all of them.
    fn contradiction(&self, files: &Files, history: &History) -> Option<String> {
        if let Rest::Damaged(reason) = &history.rest {
            return Some(format!("the journal is damaged, {reason}"));
        }
        if let Some(reason) = Agreement::of(self, Some(history)).reason(files, self) {
            return Some(reason);
        }
        let end = history.end().number;
        for (witness, name) in [(&self.in_database, "the database"), (&self.in_export, "the export")] {
            let Witness::At(position) = witness else { continue };
            if position.number > end {
                let number = position.number;
                return Some(format!("the journal ends with change {end}, and {name} knows of change {number}"));
            }
        }
        // The loss of an incomplete first change loses nothing that was acknowledged.
        let is_known = end == 0 || matches!(&self.in_database, Witness::At(position) if position.number == end);
        match history.rest {
            Rest::Torn(_) if !is_known => Some(format!(
                "the journal ends with an incomplete line after change {end}, and the database does not show whether that change was acknowledged"
            )),
            Rest::Torn(_) | Rest::Damaged(_) | Rest::Nothing => None,
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.into())
    }
}

#[cfg(test)]
mod tests;
