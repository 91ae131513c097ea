//! A restore: replaces the identities in the data folder with new ones and keeps the previous files. Steps that
//! need space or can fail come first and change nothing. The rename of the new journal is decisive; the steps after
//! it are also done by a start.
//!
//! | stopped after | state of the data folder |
//! |---|---|
//! | [`Replacement::prepare`] | the previous files, and a temporary file |
//! | [`Replacement::keep_aside`] | the previous files, and links to journal and export in `identity.replaced-N/` |
//! | [`Replacement::switch`] | the new journal, and a database that a start rebuilds from it |
//! | [`Switched::settle`] | the new journal, and the previous files in `identity.replaced-N/` |

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::Files;
use crate::store::atomic_file::{self, NewFile};
use crate::store::embedded::changes::{self, Position, Records};
use crate::store::embedded::export;
use crate::store::error::{OpenError, StoreError};
use crate::store::reserve::{self, Reserve};

/// Prepared identities that replace others. Dropping this value leaves the same state as a killed process.
pub(in super::super) struct Replacement<'a> {
    files: &'a Files,
    journal: NewFile,
    /// Folder that keeps the previous journal and export; `None` until it is created, or if there are no previous
    /// files.
    aside: Option<PathBuf>,
    /// Files that cannot be linked or copied: they are moved to `aside`.
    pub(super) moved: Vec<PathBuf>,
}

/// Maximum disk space that all files of the new identities take, as a multiple of the length of the journal.
const SPACE_PER_JOURNAL_BYTE: u64 = 5;

impl<'a> Replacement<'a> {
    /// Writes the new journal under a temporary name. Frees the reserve if the disk is full. Fails if the disk is
    /// full nevertheless, or the file cannot be written.
    pub(in super::super) fn prepare(
        files: &'a Files,
        position: Position,
        records: &Records,
        reserve: &Reserve,
    ) -> Result<Self, OpenError> {
        let length = changes::write_snapshot(&mut io::sink(), position, records);
        let length = length.map_err(|error| OpenError::Io { path: files.journal.clone(), error })?;
        let needed = length.saturating_mul(SPACE_PER_JOURNAL_BYTE).saturating_add(reserve::MIN_FREE_BYTES);
        let fail = |error| OpenError::of(&files.journal, error, &files.data, needed);
        let has_space = || if atomic_file::free_bytes(&files.data)? < needed { Err(StoreError::Full) } else { Ok(()) };
        let write = || {
            let mut journal = NewFile::begin(&files.journal)?;
            changes::write_snapshot(&mut journal, position, records)?;
            journal.sync()?;
            Ok(journal)
        };
        let journal = reserve.or_release(has_space).and_then(|()| write());
        Ok(Self { files, journal: journal.map_err(fail)?, aside: None, moved: Vec::new() })
    }

    /// Carries out all steps. Returns the folder with the previous files; `None` if there were none. On failure the
    /// previous files stay in place. Fails if a file cannot be created or renamed.
    pub(in super::super) fn carry_out(mut self) -> Result<Option<PathBuf>, OpenError> {
        if let Err(error) = self.keep_aside() {
            self.undo();
            return Err(error);
        }
        Ok(self.switch()?.settle())
    }

    /// Creates a new folder with hard links to the journal and the exports, or copies of them. A file that can be
    /// neither linked nor copied is moved there later. Fails if the folder cannot be created.
    pub(super) fn keep_aside(&mut self) -> Result<(), OpenError> {
        let before = export::previous(&self.files.export);
        let kept = [&self.files.journal, &self.files.export, &before].into_iter().filter(|path| is_there(path));
        let kept: Vec<PathBuf> = kept.cloned().collect();
        if kept.is_empty() && !is_there(&self.files.database) {
            return Ok(());
        }
        let names = (1_u32..).map(|number| self.files.database.with_extension(format!("replaced-{number}")));
        let Some(aside) = names.into_iter().find(|name| !is_there(name)) else { return Ok(()) };
        atomic_file::create_folder(&aside)
            .map_err(|error| OpenError::Io { path: aside.clone(), error: error.into() })?;
        self.aside = Some(aside.clone());
        for path in kept {
            let name = name_in(&aside, &path);
            if fs::hard_link(&path, &name).is_err() && atomic_file::copy_into(&aside, &path).is_err() {
                self.moved.push(path);
            }
        }
        atomic_file::sync_folder(&aside).map_err(|error| OpenError::Io { path: aside, error: error.into() })
    }

    /// Moves the files that could not be linked, and renames the new journal to its final name: from then on a
    /// start follows it. Fails if a file cannot be renamed; the moves are undone then.
    pub(super) fn switch(mut self) -> Result<Switched<'a>, OpenError> {
        let (journal, mut done) = (self.files.journal.clone(), Vec::new());
        let failed = |path: &Path, error: io::Error| OpenError::Io { path: path.to_owned(), error: error.into() };
        for path in std::mem::take(&mut self.moved) {
            let Some(aside) = &self.aside else { continue };
            if let Err(error) = atomic_file::rename(&path, &name_in(aside, &path)) {
                self.moved = done;
                self.undo();
                return Err(failed(&path, error));
            }
            done.push(path);
        }
        self.moved = done;
        let Self { files, journal: new, aside, moved } = self;
        if let Err(error) = new.rename() {
            put_back(aside.as_deref(), &moved);
            return Err(failed(&journal, error));
        }
        atomic_file::sync_name(&journal).map_err(|error| failed(&journal, error))?;
        Ok(Switched { files, aside })
    }

    /// Undoes the steps before the rename of the new journal.
    pub(super) fn undo(self) {
        put_back(self.aside.as_deref(), &self.moved);
    }
}

/// New identities in place; the previous files are not all moved yet.
pub(super) struct Switched<'a> {
    files: &'a Files,
    aside: Option<PathBuf>,
}

impl Switched<'_> {
    /// Removes the previous exports, which may be of another installation, from the data folder, and moves the
    /// previous database beside them. If that fails, a start moves the database aside as a damaged one.
    pub(super) fn settle(self) -> Option<PathBuf> {
        let aside = self.aside?;
        for path in [export::previous(&self.files.export), self.files.export.clone()] {
            if is_there(&name_in(&aside, &path))
                && let Err(error) = atomic_file::remove_file(&path)
            {
                tracing::warn!(path = %path.display(), %error, "the previous export could not be removed");
            }
        }
        if is_there(&self.files.database)
            && let Err(error) = self.files.move_database_to(&aside)
        {
            let database = self.files.database.display();
            tracing::warn!(%database, aside = %aside.display(), %error, "the previous database could not be moved to the folder of its journal");
        }
        Some(aside)
    }
}

impl Files {
    /// Moves the database to this folder, together with the files that are in the folder already.
    fn move_database_to(&self, aside: &Path) -> io::Result<()> {
        if !self.database.is_dir() {
            return atomic_file::rename(&self.database, &name_in(aside, &self.database));
        }
        for entry in fs::read_dir(aside)? {
            let path = entry?.path();
            fs::rename(&path, name_in(&self.database, &path))?;
        }
        atomic_file::sync_folder(&self.database)?;
        fs::remove_dir(aside)?;
        atomic_file::rename(&self.database, aside)
    }
}

/// Moves files back to their names, and removes the folder with the links to the others.
fn put_back(aside: Option<&Path>, moved: &[PathBuf]) {
    let Some(aside) = aside else { return };
    let mut moved = moved.iter().filter(|path| is_there(&name_in(aside, path)));
    let outcome = moved.try_for_each(|path| fs::rename(name_in(aside, path), path));
    let outcome = outcome.and_then(|()| fs::remove_dir_all(aside)).and_then(|()| atomic_file::sync_name(aside));
    if let Err(error) = outcome {
        tracing::warn!(aside = %aside.display(), %error, "some files that were moved aside for a restore could not be moved back");
    }
}

fn name_in(folder: &Path, path: &Path) -> PathBuf {
    folder.join(path.file_name().unwrap_or_default())
}

/// Returns true if anything has this name, whether readable or not.
fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
