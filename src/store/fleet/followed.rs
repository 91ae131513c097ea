//! The last event of cached content that this replica has carried out, in a file of its cache folder.

use std::io;
use std::path::Path;

use super::content_events::Mark;
use crate::store::error::StoreError;
use crate::store::{atomic_file, cache_id};

/// The fleet whose events were carried out, and the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FollowedContent {
    /// Id of the database.
    pub fleet: String,
    /// The last event.
    pub last: Mark,
}

impl FollowedContent {
    /// Name of the file in the cache folder.
    pub const FILE_NAME: &str = cache_id::FOLLOWED;

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
            let mut words = text.split_whitespace();
            let (fleet, number) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
            Some(Self { fleet, last: Mark { number, id: words.next().unwrap_or_default().to_owned() } })
        };
        Ok(parse())
    }

    /// Removes the file.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be removed.
    pub fn remove(path: &Path) -> Result<(), StoreError> {
        atomic_file::unlink(path).map(drop).map_err(StoreError::from)
    }

    /// Writes the file, durably.
    ///
    /// # Errors
    ///
    /// Fails if the disk fails.
    pub fn write(&self, path: &Path) -> Result<(), StoreError> {
        Ok(atomic_file::write_file(path, format!("{} {} {}\n", self.fleet, self.last.number, self.last.id).as_bytes())?)
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
        let followed = FollowedContent { fleet: "ab12".to_owned(), last: Mark { number: 7, id: "cd".to_owned() } };
        followed.write(&path).unwrap();
        assert_eq!(FollowedContent::read(&path).unwrap(), Some(followed));
        std::fs::write(&path, "ab12").unwrap();
        assert_eq!(FollowedContent::read(&path).unwrap(), None);
    }
}
