//! The version of the layout of a folder: of the data folder in the file `layout`, of the cache folder in the file
//! `cache.layout`. A start upgrades a folder of an earlier layout, and refuses one of a later layout, because it would
//! misread or damage what a newer program has written.

use std::path::Path;
use std::{fs, io};

use super::atomic_file;
use super::error::{OpenError, StoreError};

/// Function that upgrades a folder to the next layout. A crash during it is followed by a repetition.
type Upgrade = fn(&Path) -> Result<(), StoreError>;

/// The layout of one kind of folder.
pub(super) struct Layout {
    /// The file in the folder with the number of its layout.
    file: &'static str,
    /// Way out of a folder of a later layout, as a part of a sentence.
    way_out: &'static str,
    /// The upgrades: the first one from layout 1 to layout 2, and so on.
    upgrades: &'static [Upgrade],
}

/// The layout of the data folder.
pub(super) const DATA: Layout =
    Layout { file: "layout", way_out: "restore the copy of the data folder from before the upgrade", upgrades: &[] };

/// The layout of the cache folder.
pub(super) const CACHE: Layout =
    Layout { file: "cache.layout", way_out: "set storage.cache_dir to another, empty folder", upgrades: &[] };

impl Layout {
    /// Returns the number of the layout that this program writes.
    fn latest(&self) -> u64 {
        self.upgrades.len() as u64 + 1
    }

    /// Checks that this program can use the folder, and changes nothing. A folder that does not exist can be used.
    ///
    /// # Errors
    ///
    /// Fails if the layout is a later one, or if its number cannot be read.
    pub(super) fn check(&self, folder: &Path) -> Result<(), OpenError> {
        self.version_of(folder).map(drop)
    }

    /// Upgrades the folder to the latest layout, durably, and records it.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::check`] does, and if an upgrade fails or the file cannot be written.
    pub(super) fn bring_up_to_date(&self, folder: &Path) -> Result<(), OpenError> {
        let version = self.version_of(folder)?;
        let path = folder.join(self.file);
        let done = usize::try_from(version.unwrap_or(1) - 1).unwrap_or(usize::MAX);
        for (number, upgrade) in (2..).zip(self.upgrades).skip(done) {
            tracing::info!(folder = %folder.display(), layout = number, "the folder is upgraded to a later layout");
            upgrade(folder).map_err(|error| OpenError::Io { path: folder.to_owned(), error })?;
            write(&path, number)?;
        }
        if version.is_none()
            && self.upgrades.is_empty()
            && let Err(error) = write(&path, self.latest())
        {
            // A folder without the file has this layout all the same, and on a full disk the service starts.
            tracing::warn!(%error, "the layout of a folder could not be recorded");
        }
        Ok(())
    }

    /// Returns the number of the folder's layout; `None` if it is not recorded, as in a new folder and in one of a
    /// version without such files, which wrote layout 1.
    fn version_of(&self, folder: &Path) -> Result<Option<u64>, OpenError> {
        let path = folder.join(self.file);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(OpenError::Io { path, error: error.into() }),
        };
        let mut words = text.split_whitespace();
        let Some(found) = words.next().and_then(|number| number.parse().ok()).filter(|number| *number > 0) else {
            return Err(OpenError::NoLayout { path });
        };
        if found > self.latest() {
            let writer = words.collect::<Vec<_>>().join(" ");
            let (folder, known) = (folder.to_owned(), self.latest());
            return Err(OpenError::LaterLayout { folder, found, writer, known, way_out: self.way_out });
        }
        Ok(Some(found))
    }
}

/// Records the number of the layout, and for the sentence of an older program the version of this one.
fn write(path: &Path, number: u64) -> Result<(), OpenError> {
    let text = format!("{number} dependency-proxy {}\n", env!("CARGO_PKG_VERSION"));
    atomic_file::write_file(path, text.as_bytes())
        .map_err(|error| OpenError::Io { path: path.to_owned(), error: error.into() })
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn step(folder: &Path) -> Result<(), StoreError> {
        let path = folder.join("steps");
        let before = fs::read_to_string(&path).unwrap_or_default();
        Ok(fs::write(path, before + "+")?)
    }

    fn fails(_: &Path) -> Result<(), StoreError> {
        Err(StoreError::Io("no".to_owned()))
    }

    const FIRST: Layout = Layout { upgrades: &[], ..DATA };
    const THIRD: Layout = Layout { upgrades: &[step, step], ..DATA };
    const BROKEN: Layout = Layout { upgrades: &[step, fails], ..DATA };

    #[test]
    fn each_upgrade_runs_once_and_goes_on_after_the_last_that_succeeded() {
        let folder = tempfile::tempdir().unwrap();
        let steps = || fs::read_to_string(folder.path().join("steps")).unwrap_or_default();
        FIRST.bring_up_to_date(folder.path()).unwrap();
        assert_eq!(FIRST.version_of(folder.path()).unwrap(), Some(1));
        assert!(BROKEN.bring_up_to_date(folder.path()).is_err());
        assert_eq!((steps().as_str(), THIRD.version_of(folder.path()).unwrap()), ("+", Some(2)));
        for _ in 0..2 {
            THIRD.bring_up_to_date(folder.path()).unwrap();
            assert_eq!((steps().as_str(), THIRD.version_of(folder.path()).unwrap()), ("++", Some(3)));
        }
    }

    #[test]
    fn a_folder_of_a_version_without_the_file_has_the_first_layout() {
        let folder = tempfile::tempdir().unwrap();
        THIRD.bring_up_to_date(folder.path()).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("steps")).unwrap(), "++");
    }

    #[test]
    fn a_later_layout_is_refused_with_who_wrote_it_and_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("layout"), "3 dependency-proxy 9.9.9\n").unwrap();
        assert!(THIRD.check(folder.path()).is_ok());
        let refusal = FIRST.bring_up_to_date(folder.path()).unwrap_err().to_string();
        assert!(refusal.contains("dependency-proxy 9.9.9") && refusal.contains(DATA.way_out), "{refusal}");
        for text in ["", "x", "0", "-1"] {
            fs::write(folder.path().join("layout"), text).unwrap();
            assert!(matches!(FIRST.check(folder.path()), Err(OpenError::NoLayout { .. })), "{text}");
        }
    }
}
