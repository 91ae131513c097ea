//! New files of secrets, for their owner only. A file is reserved before the secret exists, so that no secret is lost
//! because its file cannot be written; what a killed process has only reserved is recognised. A process locks what it
//! has reserved.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::connection::remove_secret;
use super::failure::Failure;

/// A file that will have a secret. It is locked as long as this value exists.
#[derive(Debug)]
pub(super) struct SecretFile {
    path: PathBuf,
    file: File,
}

/// State of the file of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Present {
    /// Nothing.
    Nothing,
    /// An empty file: a process that was killed has created it, and made nothing.
    Empty,
    /// A file that was reserved for a secret which was never written.
    Reserved,
    /// Anything else.
    Other,
}

/// Content of a reserved file. It is shorter than any secret, so that one write replaces it.
const RESERVED: &str = "pending\n";

/// Returns what is at this path.
pub(super) fn present(file: &Path) -> Present {
    match (open_own(file), file.symlink_metadata()) {
        (Some(opened), _) => content(&opened),
        (None, Err(_)) => Present::Nothing,
        (None, Ok(_)) => Present::Other,
    }
}

/// Returns the path of a file that may not exist yet, without the links and `..` in it.
pub(super) fn place_of(file: &Path) -> PathBuf {
    let mut place = std::env::current_dir().unwrap_or_default();
    for part in file.components() {
        if part == Component::ParentDir {
            place.pop();
        } else {
            place.push(part);
        }
        if let Ok(found) = place.canonicalize() {
            place = found;
        }
    }
    place
}

/// Opens a file of this user to which nobody else has access; `None` for anything else.
fn open_own(path: &Path) -> Option<File> {
    let found = path.symlink_metadata().ok().filter(is_own)?;
    let file = OpenOptions::new().read(true).write(true).open(path).ok()?;
    // A link that has replaced the file since leads elsewhere.
    let is_same = file.metadata().is_ok_and(|opened| is_same(&opened, &found));
    is_same.then_some(file)
}

/// Returns true for a regular file of this user to which nobody else has access, as this program reserves it.
fn is_own(found: &Metadata) -> bool {
    let owner = rustix::process::geteuid().as_raw();
    found.is_file() && found.mode() & 0o077 == 0 && found.uid() == owner
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

fn content(file: &File) -> Present {
    let mut start = [0; RESERVED.len() + 1];
    match file.read_at(&mut start, 0) {
        Ok(0) => Present::Empty,
        Ok(read) if start[..read] == *RESERVED.as_bytes() => Present::Reserved,
        Ok(_) | Err(_) => Present::Other,
    }
}

impl SecretFile {
    /// Creates the file, and the folders above it, for their owner only. A file that was reserved before is used,
    /// unless a process that runs has reserved it. `others` are those that this process has reserved.
    ///
    /// # Errors
    ///
    /// Another file is there, which is left unchanged, or it is one of `others`, or the file cannot be written.
    pub(super) fn reserve<'a>(path: &Path, others: impl IntoIterator<Item = &'a Self>) -> Result<Self, Failure> {
        let refused = |problem: &str| Failure::Unusable(format!("{} {problem}", path.display()));
        let failed = |error: std::io::Error| refused(&format!("cannot be written: {error}"));
        // Two paths of one file, such as those through a link to its folder.
        let is_here = |found: &Metadata| others.into_iter().any(|other| other.is(found));
        if path.symlink_metadata().is_ok_and(|found| is_here(&found)) {
            return Err(refused("is the file of another secret, too; each needs a file of its own"));
        }
        let not_created = |error: std::io::Error| match error.kind() == ErrorKind::AlreadyExists {
            true => refused("exists already"),
            false => failed(error),
        };
        let known = open_own(path).filter(|file| content(file) != Present::Other);
        let file = known.map_or_else(|| create(path).map_err(not_created), Ok)?;
        let reserved = Self { path: path.to_owned(), file };
        match reserved.file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(refused("is in use by another process of `apply`")),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        match content(&reserved.file) {
            Present::Reserved if reserved.is_in_place() => {}
            Present::Empty if reserved.is_in_place() => {
                let written = reserved.write(RESERVED).inspect_err(|_| reserved.discard());
                written.map_err(failed)?;
            }
            // The process that had the lock before has written its secret, or has removed the file.
            Present::Reserved | Present::Empty | Present::Nothing | Present::Other => {
                return Err(refused("exists already"));
            }
        }
        Ok(reserved)
    }

    /// Writes the secret, with a newline. Fails where the file cannot be written, or is not at its path any more.
    pub(super) fn fill(&self, secret: &SecretString) -> Result<(), Failure> {
        let failed = |problem: &str| Failure::Unusable(format!("{} {problem}", self.path.display()));
        if !self.is_in_place() {
            return Err(failed("was removed or replaced since it was created"));
        }
        let text = SecretString::from(format!("{}\n", secret.expose_secret()));
        self.write(text.expose_secret()).map_err(|error| failed(&format!("cannot be written: {error}")))
    }

    /// Removes the file, whose secret is not used. Another file that has replaced it is left unchanged.
    pub(super) fn discard(&self) {
        if self.is_in_place() {
            remove_secret(&self.path);
        }
    }

    fn write(&self, text: &str) -> std::io::Result<()> {
        self.file.write_all_at(text.as_bytes(), 0)?;
        self.file.sync_all()
    }

    fn is_in_place(&self) -> bool {
        self.path.symlink_metadata().is_ok_and(|found| self.is(&found))
    }

    fn is(&self, found: &Metadata) -> bool {
        self.file.metadata().is_ok_and(|opened| is_same(&opened, found))
    }
}

/// Creates an empty file, and the folders above it, for their owner only.
fn create(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn reserve(file: &Path) -> Result<SecretFile, Failure> {
        SecretFile::reserve(file, [])
    }

    #[test]
    fn a_file_is_reserved_once_filled_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secrets/ci");
        assert_eq!(present(&file), Present::Nothing);
        drop(reserve(&file).unwrap());
        assert_eq!(present(&file), Present::Reserved);
        let again = reserve(&file).unwrap();
        again.fill(&"a secret of some length".to_owned().into()).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "a secret of some length\n");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        assert_eq!(present(&file), Present::Other);
        let refused = reserve(&file).unwrap_err().to_string();
        assert!(refused.ends_with("secrets/ci exists already"), "{refused}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "a secret of some length\n");
    }

    #[test]
    fn what_others_can_read_or_a_link_is_not_taken_for_a_reserved_file() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        reserve(&file).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!((present(&file), present(&link)), (Present::Reserved, Present::Other));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(present(&file), Present::Other);
        assert!(reserve(&file).is_err());
    }

    #[test]
    fn a_link_that_leads_nowhere_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (link, elsewhere) = (folder.path().join("link"), folder.path().join("elsewhere"));
        std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
        assert_eq!(present(&link), Present::Other);
        assert!(reserve(&link).is_err() && !elsewhere.exists());
    }

    #[test]
    fn what_a_running_process_has_reserved_is_neither_used_nor_removed_by_another() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let first = reserve(&file).unwrap();
        let refused = reserve(&file).unwrap_err().to_string();
        assert!(refused.ends_with("file is in use by another process of `apply`"), "{refused}");
        first.fill(&"a secret of some length".to_owned().into()).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "a secret of some length\n");
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, "another's\n").unwrap();
        first.discard();
        assert!(first.fill(&"a secret of some length".to_owned().into()).is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "another's\n");
    }

    #[test]
    fn one_file_is_not_reserved_for_two_secrets_whatever_its_paths_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = |path: &str| folder.path().join(path);
        std::fs::create_dir(path("s")).unwrap();
        std::os::unix::fs::symlink(path("s"), path("t")).unwrap();
        let first = reserve(&path("s/two")).unwrap();
        for same in ["s/../s/two", "t/two"] {
            let refused = SecretFile::reserve(&path(same), [&first]).unwrap_err().to_string();
            assert!(refused.ends_with("is the file of another secret, too; each needs a file of its own"), "{refused}");
        }
        assert!(SecretFile::reserve(&path("t/other"), [&first]).is_ok());
    }

    #[test]
    fn what_was_created_and_not_yet_written_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        create(&file).unwrap();
        assert_eq!(present(&file), Present::Empty);
        drop(reserve(&file).unwrap());
        assert_eq!(present(&file), Present::Reserved);
    }

    #[test]
    fn a_file_of_another_user_is_not_taken_for_a_reserved_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        drop(reserve(&file).unwrap());
        // Only the superuser can give a file away.
        if std::os::unix::fs::chown(&file, Some(12_345), None).is_ok() {
            assert_eq!(present(&file), Present::Other);
            assert!(reserve(&file).is_err() && file.exists());
        }
    }
}
