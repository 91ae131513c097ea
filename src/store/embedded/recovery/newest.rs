//! The newest copy of the identities: the one whose restore loses the fewest changes, and which a refusal
//! recommends.

use std::fs;
use std::path::{Path, PathBuf};

use super::Files;
use super::agreement::Name;
use super::found::{Found, FoundJournal, Witness, read_journal};
use crate::store::embedded::changes::{Position, Rest};
use crate::store::embedded::export;
use crate::store::embedded::records::RecordsDatabase;
use crate::store::error::{Advice, OpenError};

/// Beginning of the names of folders in which restores have kept the previous files.
const REPLACED_PREFIX: &str = "identity.replaced-";

/// A copy of the identities that can be restored.
#[derive(Clone, Debug)]
struct Copy {
    path: PathBuf,
    end: Position,
    /// True if unreadable changes may follow.
    is_cut: bool,
    /// True if it has every change, including those of the last seconds.
    is_current: bool,
}

impl Found {
    /// Returns the refusal of these files, with the command that restores the newest copy.
    pub(super) fn refusal(&self, files: &Files, reason: String) -> OpenError {
        let newest = self.newest(files);
        let number_if = |is: fn(&Copy) -> bool| newest.as_ref().filter(|copy| is(copy)).map(|copy| copy.end.number);
        let advice = Advice {
            data: files.data.clone(),
            up_to: number_if(|copy| copy.is_cut),
            loses_after: number_if(|copy| !copy.is_current),
            source: newest.as_ref().map_or_else(|| self.export.clone(), |copy| copy.path.clone()),
            key_file: None,
        };
        OpenError::Identities { folder: files.database.clone(), reason, advice: Box::new(advice) }
    }

    /// Returns the copy with the highest number; of several with the same number, the most trusted one. Copies that
    /// are known to be of another history are ignored.
    fn newest(&self, files: &Files) -> Option<Copy> {
        let (agreement, ours) = (self.agreement(), self.installation());
        let is_ours = |copy: &Copy| copy.end.installation.is_none_or(|of| ours.is_none_or(|ours| of == ours));
        let mut copies: Vec<Copy> = replaced_folders(&files.data).iter().flat_map(|folder| copies_in(folder)).collect();
        copies.retain(is_ours);
        let named = [
            (Name::Database, copy_of(&self.in_database, &files.database, true)),
            (Name::Export, copy_of(&self.in_export, &self.export, false)),
            (Name::Journal, copy_of_journal(&self.journal, &files.journal)),
        ];
        let of_history = named.into_iter().filter(|(name, _)| !agreement.excludes(*name)).filter_map(|(_, copy)| copy);
        copies.extend(of_history);
        let current = copies.iter().filter(|copy| copy.is_current).map(|copy| copy.end.number).max();
        let newest = copies.into_iter().max_by_key(|copy| (copy.end.number, !copy.is_cut))?;
        Some(Copy { is_current: current.is_some_and(|current| newest.end.number == current), ..newest })
    }
}

/// Returns the folders that restores have left in the data folder.
fn replaced_folders(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data).into_iter().flatten().flatten();
    let names = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(REPLACED_PREFIX));
    names.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// Returns the copies in such a folder: the database, the export and the journal. It is unknown whether they have
/// every change.
fn copies_in(folder: &Path) -> Vec<Copy> {
    let files = Files::below(folder);
    let database = export::is_database(folder).then(|| RecordsDatabase::open(folder).ok()).flatten();
    let in_database = database.and_then(|database| Witness::of_database(&database).ok()).unwrap_or(Witness::Nothing);
    let copies = [
        copy_of(&in_database, folder, false),
        copy_of(&Witness::of_export(&files.export), &files.export, false),
        copy_of_journal(&read_journal(&files.journal), &files.journal).map(|copy| Copy { is_current: false, ..copy }),
    ];
    copies.into_iter().flatten().collect()
}

fn copy_of(witness: &Witness, path: &Path, is_current: bool) -> Option<Copy> {
    witness.position().map(|end| Copy { path: path.to_owned(), end: *end, is_cut: false, is_current })
}

fn copy_of_journal(journal: &FoundJournal, path: &Path) -> Option<Copy> {
    let FoundJournal::Read(history) = journal else { return None };
    let is_cut = history.rest != Rest::Nothing;
    Some(Copy { path: path.to_owned(), end: history.end(), is_cut, is_current: !is_cut })
}
