//! The data folder: created, tested for writing, locked for this process and upgraded to the present layout before
//! anything in it is opened.

mod access;
mod contents;
mod owner;

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub use self::access::{check_folder, check_new_file};
pub use self::owner::give_to_owner_of;

use self::access::{lock_folder, locked, unless_missing};
use self::contents::check_contents;
use self::owner::chown;
use super::atomic_file;
use super::error::{OpenError, StoreError};
use super::layout;

/// File that is locked for the data folder.
const LOCK: &str = "lock";

/// File that is locked for the cache folder.
const CACHE_LOCK: &str = "cache.lock";

/// Exclusive use of a data folder, and of a cache folder if one was added. No other process can open them while
/// this value lives. The kernel releases the locks when the process ends in any way.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The cache folder, if it was added.
    cache: Option<PathBuf>,
    _locks: Vec<File>,
}

impl DataDir {
    /// Locks the folder, creating it if it is missing, and upgrades it to the present layout.
    ///
    /// # Errors
    ///
    /// Fails if the folder cannot be created or written, or something in it cannot, if another process has locked it,
    /// or if a newer program has written it.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let lock = lock_folder(path, LOCK)?;
        check_contents(path, true)?;
        layout::DATA.bring_up_to_date(path)?;
        Ok(Self { path: path.to_owned(), cache: None, _locks: vec![lock] })
    }

    /// Locks a data folder and its cache folder, which both exist, without changing anything: neither is a file created
    /// nor a layout upgraded. A folder without the file that is locked has never been used, and is not locked.
    ///
    /// # Errors
    ///
    /// Fails if another process has locked a folder, if something in it cannot be read, or if a newer program has
    /// written it.
    pub fn inspect(path: &Path, cache: &Path) -> Result<Self, OpenError> {
        let mut locks = Vec::new();
        for (folder, name) in [(path, LOCK), (cache, CACHE_LOCK)] {
            let fail = |error: io::Error| OpenError::Io { path: folder.join(name), error: error.into() };
            match File::open(folder.join(name)) {
                Ok(file) => locks.push(locked(folder, file)?),
                Err(error) => unless_missing(error).map_err(fail)?,
            }
            check_contents(folder, false)?;
        }
        layout::DATA.check(path)?;
        layout::CACHE.check(cache)?;
        Ok(Self { path: path.to_owned(), cache: Some(cache.to_owned()), _locks: locks })
    }

    /// Locks the cache folder as well, creating it if it is missing. It may be the data folder itself or lie within
    /// it.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::open`] does.
    pub fn with_cache(mut self, path: &Path) -> Result<Self, OpenError> {
        self._locks.push(lock_folder(path, CACHE_LOCK)?);
        check_contents(path, true)?;
        layout::CACHE.check(path)?;
        self.cache = Some(path.to_owned());
        Ok(self)
    }

    /// Changes the owner of everything in each folder that another user, such as root, has created to the owner of
    /// the folder, so that the service can open it. Does nothing unless the process runs as root. Call it when
    /// nothing in the folders is open any more. Symbolic links are not followed.
    ///
    /// # Errors
    ///
    /// Fails if a file's owner cannot be read or changed.
    pub fn give_to_owner(&self) -> Result<(), OpenError> {
        for folder in [Some(&self.path), self.cache.as_ref()].into_iter().flatten() {
            let fail = |error: io::Error| OpenError::Io { path: folder.clone(), error: error.into() };
            let owner = std::fs::metadata(folder).map_err(fail)?;
            if rustix::process::geteuid().is_root() && owner.uid() != 0 {
                chown(folder, &owner).map_err(fail)?;
            }
        }
        Ok(())
    }

    /// Returns the path of the data folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the content of this file in the folder. If the file is missing, writes the result of `make` to it
    /// first, durably and readable by this user only.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read or written, or if `make` fails.
    pub fn read_or_make<E>(&self, path: &Path, make: impl FnOnce() -> Result<String, E>) -> Result<String, OpenError>
    where
        E: std::fmt::Display,
    {
        let fail = |error: StoreError| OpenError::Io { path: path.to_owned(), error };
        match std::fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = make().map_err(|error| fail(StoreError::Io(error.to_string())))?;
                atomic_file::write_file(path, text.as_bytes()).map_err(|error| fail(error.into()))?;
                Ok(text)
            }
            read => read.map_err(|error| fail(error.into())),
        }
    }

    /// Writes a file in the folder, durably and readable by this user only, replacing an existing one. Returns its
    /// path.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, OpenError> {
        let path = self.path.join(name);
        match atomic_file::write_file(&path, text.as_bytes()) {
            Ok(()) => Ok(path),
            Err(error) => Err(OpenError::Io { path, error: error.into() }),
        }
    }
}

/// Returns the content of a file; `None` if there is no file.
///
/// # Errors
///
/// Fails if the file exists and cannot be read.
pub fn read_if_any(path: &Path) -> Result<Option<String>, OpenError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::Io { path: path.to_owned(), error: StoreError::Io(error.to_string()) }),
    }
}

/// The mode of a file of secrets to which others than its owner have access.
#[derive(Debug, thiserror::Error)]
#[error("other users have access to it (mode {mode:04o}): run chmod 600 {}", path.display())]
pub struct LooseMode {
    mode: u32,
    path: PathBuf,
}

/// Returns the mode of a file of secrets, if others than its owner have access to it.
///
/// # Errors
///
/// Fails if the file does not exist, or its mode cannot be read.
pub fn loose_mode(path: &Path) -> Result<Option<LooseMode>, OpenError> {
    let path = path.to_owned();
    match std::fs::metadata(&path) {
        Ok(found) => {
            let mode = Some(found.mode() & 0o777).filter(|mode| mode & 0o077 != 0);
            Ok(mode.map(|mode| LooseMode { mode, path }))
        }
        Err(error) => Err(OpenError::Io { path, error: error.into() }),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_for_one_process_at_a_time() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("a/data");
        let first = DataDir::open(&path).unwrap();
        assert!(matches!(DataDir::open(&path), Err(OpenError::InUse(_))));
        drop(first);
        assert!(DataDir::open(&path).is_ok());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_refused_with_the_command_to_run() {
        // Nobody, root neither, can make a folder there.
        let refusal = DataDir::open(Path::new("/proc/data")).unwrap_err().to_string();
        assert!(refusal.contains("mkdir -p") && refusal.contains("chown -R"), "{refusal}");
        let above = tempfile::NamedTempFile::new().unwrap();
        let refusal = DataDir::open(&above.path().join("data")).unwrap_err();
        assert!(matches!(refusal, OpenError::NoFolder(_)), "{refusal}");
    }

    #[test]
    fn the_folder_of_the_cache_is_tried_out_and_taken_too() {
        let above = tempfile::tempdir().unwrap();
        let (data, cache) = (above.path().join("data"), above.path().join("cache"));
        let first = DataDir::open(&data).unwrap().with_cache(&cache).unwrap();
        assert!(cache.is_dir());
        let second = DataDir::open(&above.path().join("other")).unwrap().with_cache(&cache);
        assert!(matches!(second, Err(OpenError::InUse(taken)) if taken == cache));
        drop(first);
        assert!(DataDir::open(&data).unwrap().with_cache(&data).is_ok(), "one folder may be both");
        std::fs::write(above.path().join("file"), "").unwrap();
        let refusal =
            DataDir::open(&data).unwrap().with_cache(&above.path().join("file/cache")).unwrap_err().to_string();
        assert!(refusal.contains("file/cache cannot be used as a folder"), "{refusal}");
    }

    #[test]
    fn what_root_makes_in_the_folder_of_another_is_given_to_it() {
        let above = tempfile::tempdir().unwrap();
        let data = DataDir::open(above.path()).unwrap();
        std::fs::create_dir(above.path().join("identity")).unwrap();
        std::fs::write(above.path().join("identity/db"), "").unwrap();
        let owner = if rustix::process::geteuid().is_root() { 1234 } else { rustix::process::geteuid().as_raw() };
        std::os::unix::fs::chown(above.path(), Some(owner), None).unwrap();
        data.give_to_owner().unwrap();
        for made in ["identity", "identity/db", "lock"] {
            assert_eq!(std::fs::metadata(above.path().join(made)).unwrap().uid(), owner, "{made}");
        }
    }

    #[test]
    fn a_file_is_made_once() {
        let above = tempfile::tempdir().unwrap();
        let data = DataDir::open(above.path()).unwrap();
        let file = above.path().join("key");
        let first = data.read_or_make(&file, || Ok::<_, StoreError>("one".to_owned())).unwrap();
        let second = data.read_or_make(&file, || Ok::<_, StoreError>("two".to_owned())).unwrap();
        assert_eq!((first.as_str(), second.as_str()), ("one", "one"));
    }
}
