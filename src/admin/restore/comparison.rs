//! The comparison of a backup with the present identities.

use std::path::Path;

use jiff::Timestamp;

use crate::domain::directory::Directory;
use crate::domain::regained::{self, Regained};
use crate::store::embedded::identity::{EmbeddedIdentities, Present};

/// Difference between the backup and the present identities.
pub enum Comparison {
    /// There are no present identities, so nothing is replaced.
    NothingThere,
    /// The present identities have no user in common with the backup, so that the two cannot be compared.
    OtherService,
    /// The difference cannot be determined, for this reason.
    Unknown(String),
    /// The present identities were read. The difference are credentials that would become valid again.
    Read {
        /// The credentials that would become valid again.
        regained: Vec<Regained>,
        /// The present identities.
        present: Box<Present>,
    },
}

/// Reason why a backup cannot be compared with identities with which it has no user in common.
pub const OTHER_SERVICE: &str = "the present identities belong to another service";

impl Comparison {
    /// Compares the backup with the identities in this data folder.
    pub(super) fn of(backup: &Directory, data: &Path) -> Self {
        match EmbeddedIdentities::present(data) {
            Ok(None) => Self::NothingThere,
            Ok(Some(present)) if regained::are_of_one_service(backup, &present.directory) => {
                let regained = regained::regained(backup, &present.directory, Timestamp::now());
                Self::Read { regained, present: Box::new(present) }
            }
            Ok(Some(_)) => Self::OtherService,
            Err(error) => Self::Unknown(error.to_string()),
        }
    }
}
