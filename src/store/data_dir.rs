//! The folder of all data: made, tried out and locked for this process before anything in it is opened.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FlockOperation, access, flock};

use super::durable;
use super::error::{OpenError, StoreError};

/// The right to use a folder of data. While it lives no other process gets it; the system gives it back however the process ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _locks: Vec<File>,
}

impl DataDir {
    /// Takes the folder, making it where there is none.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let lock = take(path, "lock")?;
        Ok(Self { path: path.to_owned(), _locks: vec![lock] })
    }

    /// Takes the folder of the cache too, making it where there is none. It may be the same folder or lie within it.
    pub fn with_cache(mut self, path: &Path) -> Result<Self, OpenError> {
        self._locks.push(take(path, "cache.lock")?);
        Ok(self)
    }

    /// Gives what another user, such as root, has made in the folder to its owner, so that the service can open it. Only root
    /// may; for others there is nothing to do. Call it when nothing in the folder is open any more. Links are not followed.
    pub fn give_to_owner(&self) -> Result<(), OpenError> {
        let fail = |error: io::Error| OpenError::Io { path: self.path.clone(), error: error.into() };
        let owner = std::fs::metadata(&self.path).map_err(fail)?;
        if rustix::process::geteuid().is_root() && owner.uid() != 0 {
            give(&self.path, &owner).map_err(fail)?;
        }
        Ok(())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What stands in this file in the folder; made by `make`, durably and for this user alone, where there is none.
    pub fn read_or_make<E>(&self, path: &Path, make: impl FnOnce() -> Result<String, E>) -> Result<String, OpenError>
    where
        E: std::fmt::Display,
    {
        let fail = |error: StoreError| OpenError::Io { path: path.to_owned(), error };
        match std::fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = make().map_err(|error| fail(StoreError::Io(error.to_string())))?;
                durable::write_file(path, text.as_bytes()).map_err(|error| fail(error.into()))?;
                Ok(text)
            }
            read => read.map_err(|error| fail(error.into())),
        }
    }

    /// Writes a file in the folder, durably and for this user alone, replacing what was there.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, OpenError> {
        let path = self.path.join(name);
        match durable::write_file(&path, text.as_bytes()) {
            Ok(()) => Ok(path),
            Err(error) => Err(OpenError::Io { path, error: error.into() }),
        }
    }
}

/// Checks that this process could take a folder, or make and take it. Leaves no trace.
pub fn check_folder(path: &Path) -> Result<(), OpenError> {
    check_nearest(path).map_err(|error| refusal(path, error))
}

/// Checks that this process could make a file, in a folder that exists. Leaves no trace.
pub fn check_new_file(path: &Path) -> Result<(), OpenError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    check_writable(folder).map_err(|error| refusal(path, error))
}

/// Checks the nearest folder that exists on a path, in which the others would be made.
fn check_nearest(path: &Path) -> io::Result<()> {
    for above in path.ancestors() {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        match above.symlink_metadata() {
            Ok(_) => {
                // Only in a folder that exists is it noticed that a name is too long.
                for name in path.strip_prefix(above).unwrap_or(path).components() {
                    above.join(name).symlink_metadata().map(|_| ()).or_else(unless_missing)?;
                }
                return check_writable(above);
            }
            Err(error) => unless_missing(error)?,
        }
    }
    Ok(())
}

fn unless_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn check_writable(folder: &Path) -> io::Result<()> {
    if !std::fs::metadata(folder)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    access(folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)?;
    // Where every right is there, as for root, the file system may still refuse new files; this one has no name.
    tempfile::tempfile_in(folder)?;
    Ok(())
}

/// The content of a file; `None` where there is no file.
pub fn read_if_any(path: &Path) -> Result<Option<String>, OpenError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::Io { path: path.to_owned(), error: StoreError::Io(error.to_string()) }),
    }
}

/// Takes a folder by locking this file in it.
fn take(path: &Path, name: &str) -> Result<File, OpenError> {
    let lock = try_out(path, name).map_err(|error| refusal(path, error))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse(path.to_owned())),
        Err(error) => Err(refusal(path, error.into())),
    }
}

/// Makes the folder for this service's user alone, and the file whose lock stands for it.
fn try_out(path: &Path, name: &str) -> io::Result<File> {
    make(path)?;
    tempfile::tempfile_in(path)?;
    File::options().create(true).truncate(false).write(true).open(path.join(name))
}

fn give(folder: &Path, owner: &Metadata) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata()?;
        if found.is_dir() {
            give(&entry.path(), owner)?;
        }
        if found.uid() != owner.uid() {
            std::os::unix::fs::lchown(entry.path(), Some(owner.uid()), Some(owner.gid()))?;
        }
    }
    Ok(())
}

fn make(path: &Path) -> io::Result<()> {
    if !path.is_dir() {
        durable::create_folder(path)?;
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    }
    Ok(())
}

fn refusal(path: &Path, error: io::Error) -> OpenError {
    let uid = rustix::process::geteuid().as_raw();
    OpenError::NotWritable { path: path.to_owned(), uid, error }
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
        let above = tempfile::NamedTempFile::new().unwrap();
        let refusal = DataDir::open(&above.path().join("data")).unwrap_err().to_string();
        assert!(refusal.contains("mkdir -p") && refusal.contains("chown -R"), "{refusal}");
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
        assert!(refusal.contains("file/cache cannot be written by user"), "{refusal}");
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
