//! The copy of the identities that a restore loses least with: what a refusal advises to restore from.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::changes::Rest;
use super::super::records::RecordsDatabase;
use super::{Files, Found, FoundJournal, Witness, read_journal};

/// The beginning of the names of folders in which restores have kept what was there before.
const KEPT_ASIDE: &str = "identity.replaced-";

impl Found {
    /// The file with the highest number, those of the same number in the order of trust; the export where none has any.
    pub(super) fn newest(&self, files: &Files) -> PathBuf {
        let mut copies: Vec<(Option<u64>, PathBuf)> =
            kept_aside(&files.data).iter().flat_map(|f| copies_in(f)).collect();
        copies.push((number(&self.in_database), files.database.clone()));
        copies.push((number(&self.in_export), self.export.clone()));
        copies.push((number_of_journal(&self.journal), files.journal.clone()));
        let newest = copies.into_iter().filter(|(number, _)| number.is_some()).max_by_key(|(number, _)| *number);
        newest.map_or_else(|| self.export.clone(), |(_, path)| path)
    }
}

/// The folders that restores have left in the folder of all data.
fn kept_aside(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data).into_iter().flatten().flatten();
    let names = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(KEPT_ASIDE));
    names.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// The database, the export and the journal in such a folder.
fn copies_in(folder: &Path) -> Vec<(Option<u64>, PathBuf)> {
    let files = Files::below(folder);
    let database = folder.join("db").is_file().then(|| RecordsDatabase::open(folder).ok()).flatten();
    let in_database = database.and_then(|database| Witness::of_database(&database).ok()).unwrap_or(Witness::Nothing);
    vec![
        (number(&in_database), folder.to_owned()),
        (number(&Witness::of_export(&files.export)), files.export),
        (number_of_journal(&read_journal(&files.journal)), files.journal),
    ]
}

fn number(witness: &Witness) -> Option<u64> {
    if let Witness::At(position) = witness { Some(position.number) } else { None }
}

fn number_of_journal(journal: &FoundJournal) -> Option<u64> {
    match journal {
        FoundJournal::Read(history) if history.rest == Rest::Nothing => Some(history.end().number),
        FoundJournal::Read(_) | FoundJournal::Missing | FoundJournal::Unusable(_) => None,
    }
}
