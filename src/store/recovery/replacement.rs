//! A restore: new identities take the place of those in the folder of all data, which are kept aside. Everything that needs space or can
//! fail comes first, and changes nothing. The rename of the new journal decides; what is left to do after it does a start as well.
//!
//! | stopped after | left |
//! |---|---|
//! | [`Replacement::prepare`] | what was there, and a temporary file |
//! | [`Replacement::keep_aside`] | what was there, with a second name for the journal and the export in `identity.replaced-N/` |
//! | [`Replacement::switch`] | the new journal, and a database that a start makes anew from it |
//! | [`Switched::settle`] | the new journal, and what was there in `identity.replaced-N/` |

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::changes::{self, Position, Records};
use super::super::durable::{self, NewFile};
use super::super::error::{OpenError, StoreError};
use super::super::export;
use super::super::reserve::{self, Reserve};
use super::Files;

/// New identities on their way to the place of others. Dropping it leaves what a killed process would.
pub(in super::super) struct Replacement<'a> {
    files: &'a Files,
    journal: NewFile,
    /// Where the journal and the export that are there are kept, if there is any file of identities.
    aside: Option<PathBuf>,
    /// Files that are to be moved to `aside`, or were.
    pub(super) moved: Vec<PathBuf>,
}

/// The files of the new identities together take at most so many times the length of the journal.
const SPACE_PER_JOURNAL_BYTE: u64 = 5;

impl<'a> Replacement<'a> {
    /// Writes the new journal under a temporary name. Gives up the reserve where the disk is full.
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
        let has_space = || if durable::free_bytes(&files.data)? < needed { Err(StoreError::Full) } else { Ok(()) };
        let write = || {
            let mut journal = NewFile::begin(&files.journal)?;
            changes::write_snapshot(&mut journal, position, records)?;
            journal.sync()?;
            Ok(journal)
        };
        let journal = reserve.or_release(has_space).and_then(|()| write());
        Ok(Self { files, journal: journal.map_err(fail)?, aside: None, moved: Vec::new() })
    }

    /// Carries all of it out. Returns where that is what was there before; nothing where there was nothing. A failure
    /// leaves what was there.
    pub(in super::super) fn carry_out(mut self) -> Result<Option<PathBuf>, OpenError> {
        if let Err(error) = self.keep_aside() {
            self.undo();
            return Err(error);
        }
        Ok(self.switch()?.settle())
    }

    /// Gives the journal and the export a second name in a new folder. One that can be neither linked nor copied is moved there later.
    pub(super) fn keep_aside(&mut self) -> Result<(), OpenError> {
        let before = export::kept(&self.files.export);
        let kept = [&self.files.journal, &self.files.export, &before].into_iter().filter(|path| is_there(path));
        let kept: Vec<PathBuf> = kept.cloned().collect();
        if kept.is_empty() && !is_there(&self.files.database) {
            return Ok(());
        }
        let names = (1_u32..).map(|number| self.files.database.with_extension(format!("replaced-{number}")));
        let Some(aside) = names.into_iter().find(|name| !is_there(name)) else { return Ok(()) };
        durable::create_folder(&aside).map_err(|error| OpenError::Io { path: aside.clone(), error: error.into() })?;
        self.aside = Some(aside.clone());
        for path in kept {
            let name = name_in(&aside, &path);
            if fs::hard_link(&path, &name).is_err() && durable::copy_into(&aside, &path).is_err() {
                self.moved.push(path);
            }
        }
        durable::sync_folder(&aside).map_err(|error| OpenError::Io { path: aside, error: error.into() })
    }

    /// Moves what has no second name, and gives the new journal its name: from then on it is what a start follows.
    pub(super) fn switch(mut self) -> Result<Switched<'a>, OpenError> {
        let (journal, mut done) = (self.files.journal.clone(), Vec::new());
        let failed = |path: &Path, error: io::Error| OpenError::Io { path: path.to_owned(), error: error.into() };
        for path in std::mem::take(&mut self.moved) {
            let Some(aside) = &self.aside else { continue };
            if let Err(error) = durable::rename(&path, &name_in(aside, &path)) {
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
        durable::sync_name(&journal).map_err(|error| failed(&journal, error))?;
        Ok(Switched { files, aside })
    }

    /// Takes back what was done before the new journal has its name.
    pub(super) fn undo(self) {
        put_back(self.aside.as_deref(), &self.moved);
    }
}

/// New identities in their place; those that were there before are not yet all together.
pub(super) struct Switched<'a> {
    files: &'a Files,
    aside: Option<PathBuf>,
}

impl Switched<'_> {
    /// Takes the exports of before out of the folder of all data, which may be of another installation, and puts the database of before
    /// beside them. Where that fails, a start sets it aside as it does with a damaged one.
    pub(super) fn settle(self) -> Option<PathBuf> {
        let aside = self.aside?;
        for path in [export::kept(&self.files.export), self.files.export.clone()] {
            if is_there(&name_in(&aside, &path))
                && let Err(error) = durable::remove_file(&path)
            {
                tracing::warn!(path = %path.display(), %error, "the export of before could not be removed");
            }
        }
        if is_there(&self.files.database)
            && let Err(error) = self.files.move_database_to(&aside)
        {
            let database = self.files.database.display();
            tracing::warn!(%database, aside = %aside.display(), %error, "the database of before could not be kept with its journal");
        }
        Some(aside)
    }
}

impl Files {
    /// Renames the database to this folder, with the files in that folder in it.
    fn move_database_to(&self, aside: &Path) -> io::Result<()> {
        if !self.database.is_dir() {
            return durable::rename(&self.database, &name_in(aside, &self.database));
        }
        for entry in fs::read_dir(aside)? {
            let path = entry?.path();
            fs::rename(&path, name_in(&self.database, &path))?;
        }
        durable::sync_folder(&self.database)?;
        fs::remove_dir(aside)?;
        durable::rename(&self.database, aside)
    }
}

/// Gives files that were moved their names again, and removes the folder with the second names of the others.
fn put_back(aside: Option<&Path>, moved: &[PathBuf]) {
    let Some(aside) = aside else { return };
    let mut moved = moved.iter().filter(|path| is_there(&name_in(aside, path)));
    let outcome = moved.try_for_each(|path| fs::rename(name_in(aside, path), path));
    let outcome = outcome.and_then(|()| fs::remove_dir_all(aside)).and_then(|()| durable::sync_name(aside));
    if let Err(error) = outcome {
        tracing::warn!(aside = %aside.display(), %error, "what was set aside for a restore could not all be put back");
    }
}

fn name_in(folder: &Path, path: &Path) -> PathBuf {
    folder.join(path.file_name().unwrap_or_default())
}

/// Whether anything has this name, readable or not.
fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
