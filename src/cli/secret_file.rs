//! New files of secrets, for their owner only. A file is reserved before the secret exists, so that no secret is lost
//! because its file cannot be written; what a killed process has only reserved is recognised.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::connection::{create_secret_file, read_secret, remove_secret};
use super::failure::Failure;

/// A file that will have a secret.
#[derive(Debug)]
pub(super) struct SecretFile(PathBuf);

/// State of the file of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Present {
    /// Nothing.
    Nothing,
    /// A file that was reserved for a secret which was never written.
    Reserved,
    /// Anything else.
    Other,
}

/// Content of a reserved file. It is shorter than any secret, so that one write replaces it.
const RESERVED: &str = "pending";

/// Returns what is at this path.
pub(super) fn present(file: &Path) -> Present {
    match read_secret(file) {
        Ok(secret) if secret.expose_secret() == RESERVED && is_private(file) => Present::Reserved,
        Ok(_) => Present::Other,
        Err(_) if file.symlink_metadata().is_err() => Present::Nothing,
        Err(_) => Present::Other,
    }
}

/// Returns true for a regular file to which only its owner has access, as this program reserves it.
fn is_private(file: &Path) -> bool {
    file.symlink_metadata().is_ok_and(|found| found.is_file() && found.mode() & 0o077 == 0)
}

impl SecretFile {
    /// Creates the file, and the folders above it, for their owner only. A file that was reserved before is used.
    ///
    /// # Errors
    ///
    /// Another file is there, which is left unchanged, or the file cannot be written.
    pub(super) fn reserve(file: &Path) -> Result<Self, Failure> {
        if present(file) == Present::Reserved {
            return Ok(Self(file.to_owned()));
        }
        let failed =
            |error: std::io::Error| Failure::Unusable(format!("{} cannot be written: {error}", file.display()));
        let not_created = |error: std::io::Error| match error.kind() == ErrorKind::AlreadyExists {
            true => Failure::Unusable(format!("{} exists already", file.display())),
            false => failed(error),
        };
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        }
        create_secret_file(file, RESERVED).map_err(not_created)?;
        Ok(Self(file.to_owned()))
    }

    /// Writes the secret, with a newline. Fails where the file cannot be written.
    pub(super) fn fill(&self, secret: &SecretString) -> Result<(), Failure> {
        let failed = |error| Failure::Unusable(format!("{} cannot be written: {error}", self.0.display()));
        let mut opened = OpenOptions::new().write(true).open(&self.0).map_err(failed)?;
        opened.write_all(format!("{}\n", secret.expose_secret()).as_bytes()).map_err(failed)?;
        opened.sync_all().map_err(failed)
    }

    /// Removes the file, whose secret is not used.
    pub(super) fn discard(&self) {
        remove_secret(&self.0);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_reserved_once_filled_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secrets/ci");
        assert_eq!(present(&file), Present::Nothing);
        SecretFile::reserve(&file).unwrap();
        assert_eq!(present(&file), Present::Reserved);
        let again = SecretFile::reserve(&file).unwrap();
        again.fill(&"a secret of some length".to_owned().into()).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "a secret of some length\n");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        assert_eq!(present(&file), Present::Other);
        let refused = SecretFile::reserve(&file).unwrap_err().to_string();
        assert!(refused.ends_with("secrets/ci exists already"), "{refused}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "a secret of some length\n");
    }

    #[test]
    fn what_others_can_read_or_a_link_is_not_taken_for_a_reserved_file() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        SecretFile::reserve(&file).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!((present(&file), present(&link)), (Present::Reserved, Present::Other));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(present(&file), Present::Other);
        assert!(SecretFile::reserve(&file).is_err());
    }

    #[test]
    fn a_link_that_leads_nowhere_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (link, elsewhere) = (folder.path().join("link"), folder.path().join("elsewhere"));
        std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
        assert_eq!(present(&link), Present::Other);
        assert!(SecretFile::reserve(&link).is_err() && !elsewhere.exists());
    }
}
