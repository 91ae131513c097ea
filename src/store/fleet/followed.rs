//! The last event of cached content that this replica has carried out, in a file of its cache folder.

use std::io;
use std::path::Path;

use crate::store::atomic_file;
use crate::store::error::StoreError;

/// The fleet whose events were carried out, and the number of the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowedContent {
    /// Id of the database.
    pub fleet: String,
    /// The number.
    pub last: i64,
}

impl FollowedContent {
    /// Name of the file in the cache folder.
    pub const FILE: &str = "fleet-content";

    /// Reads the file; `None` if there is none, or none that can be understood.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read.
    pub fn read(path: &Path) -> Result<Option<Self>, StoreError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let parse = || {
            let (fleet, last) = text.trim().split_once(' ')?;
            Some(Self { fleet: fleet.to_owned(), last: last.parse().ok()? })
        };
        Ok(parse())
    }

    /// Writes the file, durably.
    ///
    /// # Errors
    ///
    /// Fails if the disk fails.
    pub fn write(&self, path: &Path) -> Result<(), StoreError> {
        Ok(atomic_file::write_file(path, format!("{} {}\n", self.fleet, self.last).as_bytes())?)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("followed");
        assert_eq!(FollowedContent::read(&path).unwrap(), None);
        let followed = FollowedContent { fleet: "ab12".to_owned(), last: 7 };
        followed.write(&path).unwrap();
        assert_eq!(FollowedContent::read(&path).unwrap(), Some(followed));
        std::fs::write(&path, "ab12").unwrap();
        assert_eq!(FollowedContent::read(&path).unwrap(), None);
    }
}
