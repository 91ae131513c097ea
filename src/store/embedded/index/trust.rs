//! Trust in the index's database: it is used once it was compared with the small files, and no more after it failed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use super::{Index, StoreError};
use crate::store::atomic_file::write_file;
use crate::store::damage::{self, Kind};

/// Name of a file that marks the database in its folder as unreadable: the next start moves the folder aside.
pub(super) const UNREADABLE: &str = "unreadable";

/// Degree to which the database can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Trust {
    /// The database was not compared with the files yet.
    Unchecked,
    /// The database agrees with the files.
    Checked,
    /// The database cannot be read or written.
    Broken,
}

impl Index {
    /// Returns the present trust in the database.
    pub(super) fn trust(&self) -> Trust {
        match self.trust.load(Ordering::Acquire) {
            0 => Trust::Unchecked,
            1 => Trust::Checked,
            _ => Trust::Broken,
        }
    }

    /// Reads or writes the database. If that fails or panics, as sled does on some kinds of damage, returns `None`,
    /// and the database is not used any more until the next start.
    pub(super) fn in_database<T>(&self, work: impl FnOnce() -> Result<T, StoreError>) -> Option<T> {
        if self.trust() == Trust::Broken {
            return None;
        }
        let done = catch_unwind(AssertUnwindSafe(work));
        let error = match done {
            Ok(Ok(done)) => return Some(done),
            Ok(Err(error)) => error,
            Err(_) => StoreError::Damaged("sled could not read its own files".to_owned()),
        };
        self.give_up(&error);
        None
    }

    fn give_up(&self, error: &StoreError) {
        if self.trust.swap(Trust::Broken as u8, Ordering::AcqRel) == Trust::Broken as u8 {
            return;
        }
        damage::found(
            Kind::Index,
            &self.folder,
            error,
            "the small files are used until it is rebuilt at the next start",
        );
        if let Err(error) = write_file(&self.folder.join(UNREADABLE), b"") {
            tracing::warn!(%error, "the index could not be marked as unreadable");
        }
    }

    /// Reads or writes the database as [`Self::in_database`] does. Fails if that fails.
    pub(super) fn or_fail<T>(&self, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.in_database(work).ok_or_else(|| StoreError::Damaged("the index cannot be read".to_owned()))
    }
}
