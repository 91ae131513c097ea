//! Check which of the files belong to one history. The numbers in files of two installations, or of a restored one,
//! cannot be compared: the installation and the running digests distinguish them.

use super::Files;
use super::found::{Found, FoundJournal, Witness};
use crate::domain::id::InstallationId;
use crate::store::embedded::changes::{History, Position};

/// Relation of two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// The files are of one history or one installation.
    Same,
    /// Unknown: a file is missing, or lacks what is needed for the comparison.
    Unknown,
    /// The files are of two installations.
    OtherInstallation,
    /// The files are of two histories, and of one installation as far as is known.
    OtherHistory,
}

/// One of the three files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Journal,
    Database,
    Export,
}

/// Relation of the three files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agreement {
    /// Nothing shows that they are not of one history.
    One,
    /// This file is of another history than the other two, which agree.
    Outvoted(Name, Relation),
    /// These two files are of different histories, and no third file shows which is right.
    Undecided(Name, Name, Relation),
}

impl Relation {
    /// Compares the installations only.
    fn of_installations(one: Option<InstallationId>, other: Option<InstallationId>) -> Self {
        match (one, other) {
            (Some(one), Some(other)) if one != other => Self::OtherInstallation,
            (Some(_), Some(_)) => Self::Same,
            (None, _) | (_, None) => Self::Unknown,
        }
    }

    fn with_journal(history: &History, witness: &Witness) -> Self {
        let Some(position) = witness.position() else { return Self::Unknown };
        let end = history.end();
        let by_installation = Self::of_installations(end.installation, position.installation);
        if by_installation == Self::OtherInstallation {
            return by_installation;
        }
        match history.digest_at(position.number) {
            Some(digest) if digest == position.digest => Self::Same,
            Some(_) => Self::OtherHistory,
            // A journal without an installation, beside a file that has one, was put there from elsewhere.
            None if end.installation.is_none() && position.installation.is_some() && position.number < end.number => {
                Self::OtherInstallation
            }
            None => by_installation,
        }
    }

    fn between(one: &Witness, other: &Witness) -> Self {
        let (Some(one), Some(other)) = (one.position(), other.position()) else { return Self::Unknown };
        let by_installation = Self::of_installations(one.installation, other.installation);
        if by_installation == Self::OtherInstallation || one.number != other.number {
            by_installation
        } else if one.digest == other.digest {
            Self::Same
        } else {
            Self::OtherHistory
        }
    }

    fn is_foreign(self) -> bool {
        matches!(self, Self::OtherInstallation | Self::OtherHistory)
    }

    fn noun(self) -> &'static str {
        if self == Self::OtherInstallation { "installation" } else { "history" }
    }
}

impl Agreement {
    /// Determines the relation of the files. `history` is the readable part of the journal.
    pub(super) fn of(found: &Found, history: Option<&History>) -> Self {
        let with_journal =
            |witness| history.map_or(Relation::Unknown, |history| Relation::with_journal(history, witness));
        let (database, export) = (with_journal(&found.in_database), with_journal(&found.in_export));
        let copies = Relation::between(&found.in_database, &found.in_export);
        match (database.is_foreign(), export.is_foreign()) {
            (true, true) if !copies.is_foreign() => Self::Outvoted(Name::Journal, database),
            (true, _) if export == Relation::Same => Self::Outvoted(Name::Database, database),
            (_, true) if database == Relation::Same => Self::Outvoted(Name::Export, export),
            (true, _) => Self::Undecided(Name::Journal, Name::Database, database),
            (false, true) => Self::Undecided(Name::Journal, Name::Export, export),
            (false, false) if copies.is_foreign() => Self::Undecided(Name::Database, Name::Export, copies),
            (false, false) => Self::One,
        }
    }

    /// Returns the reason why the files cannot be used together; `None` if they can.
    pub(super) fn reason(self, files: &Files, found: &Found) -> Option<String> {
        let path = |name| found.path(files, name).display();
        match self {
            Self::One => None,
            Self::Outvoted(outvoted, relation) => {
                let others = match outvoted {
                    Name::Journal => "the database and the export",
                    Name::Database => "the journal and the export",
                    Name::Export => "the journal and the database",
                };
                Some(format!("{} is of another {} than {others}", path(outvoted), relation.noun()))
            }
            Self::Undecided(one, other, relation) => {
                let (one, other, noun) = (path(one), path(other), relation.noun());
                Some(format!("{one} and {other} are of different {noun}s, and no third file shows which is right"))
            }
        }
    }

    /// Returns true if this file is known to be of another history.
    pub(super) fn excludes(self, name: Name) -> bool {
        matches!(self, Self::Outvoted(outvoted, _) if outvoted == name)
    }
}

impl Found {
    /// Returns the relation of the files.
    pub(super) fn agreement(&self) -> Agreement {
        Agreement::of(self, self.history())
    }

    /// Returns the path of the file that is of another history than the other two.
    pub(super) fn outvoted(&self, files: &Files) -> Option<std::path::PathBuf> {
        if let Agreement::Outvoted(name, _) = self.agreement() { Some(self.path(files, name).to_owned()) } else { None }
    }

    /// Returns the installation that the files belong to, ignoring a file of another history.
    pub(super) fn installation(&self) -> Option<InstallationId> {
        let agreement = self.agreement();
        let of = |name, position: Option<&Position>| {
            position.filter(|_| !agreement.excludes(name)).and_then(|position| position.installation)
        };
        let end = self.history().map(History::end);
        of(Name::Journal, end.as_ref())
            .or_else(|| of(Name::Database, self.in_database.position()))
            .or_else(|| of(Name::Export, self.in_export.position()))
    }

    /// Returns the readable part of the journal.
    pub(super) fn history(&self) -> Option<&History> {
        if let FoundJournal::Read(history) = &self.journal { Some(history) } else { None }
    }

    fn path<'a>(&'a self, files: &'a Files, name: Name) -> &'a std::path::Path {
        match name {
            Name::Journal => &files.journal,
            Name::Database => &files.database,
            Name::Export => &self.export,
        }
    }
}
