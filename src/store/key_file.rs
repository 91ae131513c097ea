//! The replacement of the file of the signing keys. The service reads it at a start only, so that it may be running.
//!
//! During a restore the old keys are out of use before the identities change: a login token that they signed must not
//! become valid again together with its credential. A process that is killed in between leaves no key file, and the
//! next start creates one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::atomic_file;
use super::data_dir::give_to_owner_of;
use super::error::{OpenError, StoreError};

/// A key file that is being replaced.
#[derive(Debug)]
pub struct ReplacedKeys {
    path: PathBuf,
    /// The old file; `None` until it was moved aside, or if there was none.
    aside: Option<PathBuf>,
}

impl ReplacedKeys {
    /// Returns the replacement of this file, which has not begun.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), aside: None }
    }

    /// Moves the key file aside, if there is one. This needs no disk space.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be renamed.
    pub fn set_aside(&mut self) -> Result<(), OpenError> {
        let aside = self.path.with_added_extension("replaced");
        match fs::rename(&self.path, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed.and_then(|()| atomic_file::sync_name(&self.path)),
        }
        .map_err(|error| failed(&self.path, error))?;
        self.aside = Some(aside);
        Ok(())
    }

    /// Returns true if a key file was moved aside.
    pub fn was_there(&self) -> bool {
        self.aside.is_some()
    }

    /// Writes the new key file, readable by the owner of the data folder only, and removes the old one.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be written. There is no key file then.
    pub fn write(self, data: &Path, json: &str) -> Result<(), OpenError> {
        write(&self.path, data, json)?;
        if let Some(aside) = self.aside {
            atomic_file::remove_file(&aside).map_err(|error| failed(&aside, error))?;
        }
        Ok(())
    }
}

/// Writes a key file, replacing an existing one, readable by the owner of the data folder only.
///
/// # Errors
///
/// Fails if the file cannot be written.
pub fn write(path: &Path, data: &Path, json: &str) -> Result<(), OpenError> {
    let written = atomic_file::write_file(path, json.as_bytes()).and_then(|()| give_to_owner_of(data, path));
    written.map_err(|error| failed(path, error))
}

fn failed(path: &Path, error: io::Error) -> OpenError {
    OpenError::Io { path: path.to_owned(), error: StoreError::from(error) }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn replaced_keys_are_out_of_use_at_once_and_do_not_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (data, path) = (folder.path(), folder.path().join("jwt-keys"));
        for (keys, was_there) in [("one", false), ("two", true)] {
            let mut replaced = ReplacedKeys::at(&path);
            replaced.set_aside().unwrap();
            assert!(!path.exists() && replaced.was_there() == was_there, "the old keys are out of use");
            replaced.write(data, keys).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), keys);
        }
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["jwt-keys"]);
    }
}
