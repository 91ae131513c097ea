//! The files of identities in the data folder, and how they are moved aside.

use std::path::{Path, PathBuf};

use crate::store::atomic_file;
use crate::store::embedded::records::RecordsDatabase;
use crate::store::error::StoreError;

/// The files of identities in the data folder.
#[derive(Clone, Debug)]
pub(in super::super) struct Files {
    pub(in super::super) data: PathBuf,
    /// The folder of the database.
    pub(in super::super) database: PathBuf,
    pub(in super::super) journal: PathBuf,
    pub(in super::super) export: PathBuf,
}

impl Files {
    /// Returns the paths below this folder.
    pub(in super::super) fn below(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            database: data.join("identity"),
            journal: data.join("identity.journal"),
            export: data.join("identity.jsonl"),
        }
    }

    /// Returns the path to which a damaged database is moved.
    pub(in super::super) fn set_aside_database(&self) -> PathBuf {
        self.database.with_extension("damaged")
    }

    /// Creates an empty database in place of an untrusted one, which is moved aside to `identity.damaged`. Takes
    /// over the times of last use that can be read. Fails if the database cannot be renamed or created.
    pub(super) fn replace_database(&self, old: Option<RecordsDatabase>) -> Result<RecordsDatabase, StoreError> {
        let last_used = old.as_ref().and_then(|old| old.last_used().ok()).unwrap_or_default();
        drop(old);
        let aside = self.set_aside_database();
        if aside.exists() {
            std::fs::remove_dir_all(&aside)?;
        }
        atomic_file::rename(&self.database, &aside)?;
        tracing::warn!(aside = %aside.display(), "the database of identities is damaged; it is moved aside and rebuilt");
        let database = RecordsDatabase::open(&self.database)?;
        database.note_last_used(last_used)?;
        Ok(database)
    }
}
