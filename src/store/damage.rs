//! Reports of damaged or unreadable stored files: a log line with the path, and a counter by kind. Content is not
//! repaired here. An unreadable file is renamed, so that it is not read again and a new file can take its name.

use std::fmt::Display;
use std::path::Path;
use std::{fs, io};

use rustix::io::Errno;

use super::error::StoreError;

/// Kind of the damaged content; the label `kind` of `dependency_proxy_damaged_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The bytes of a blob.
    Blob,
    /// The bytes of a manifest.
    Manifest,
    /// The description beside a manifest.
    Description,
    /// Lines of a file of links.
    Link,
    /// The file of a tag.
    Tag,
    /// The database of the index.
    Index,
    /// The totals of what is stored.
    Count,
    /// The journal of identities.
    Identities,
}

impl Kind {
    fn label(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Manifest => "manifest",
            Self::Description => "description",
            Self::Link => "link",
            Self::Tag => "tag",
            Self::Index => "index",
            Self::Count => "count",
            Self::Identities => "identities",
        }
    }
}

/// Counts and logs damage. `what` names the content (a digest, a group), `remedy` states what happens to it.
pub(super) fn found(kind: Kind, path: &Path, what: impl Display, remedy: &'static str) {
    metrics::counter!("dependency_proxy_damaged_total", "kind" => kind.label()).increment(1);
    tracing::error!(kind = kind.label(), path = %path.display(), %what, remedy, "a stored file is damaged");
}

/// Extension that is added to the name of an unreadable file or folder.
const DAMAGED_EXTENSION: &str = "damaged";

/// Returns the content that was read from a file; `None` if it does not exist or cannot be read. Unreadable content is
/// reported and, if possible, moved aside.
///
/// # Errors
///
/// Fails if the content need not be damaged: if the process lacks open files, memory or the permission, or if the file
/// system does not respond.
pub(super) fn readable<T>(
    kind: Kind,
    path: &Path,
    what: impl Display,
    outcome: io::Result<T>,
) -> Result<Option<T>, StoreError> {
    let error = match outcome {
        Ok(read) => return Ok(Some(read)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if says_nothing(&error) => return Err(with_path(path, &error)),
        Err(error) => error,
    };
    let remedy = if set_aside(path) {
        "it is moved aside, and upstream is requested again"
    } else {
        "upstream is requested again"
    };
    found(kind, path, format!("{what}: {error}"), remedy);
    Ok(None)
}

/// Works as [`readable`] for content that upstream has as well: what this process may not read is reported, stays where
/// it is, and counts as missing.
///
/// # Errors
///
/// Fails if the process lacks open files or memory.
pub(super) fn readable_content<T>(
    kind: Kind,
    path: &Path,
    what: impl Display,
    outcome: io::Result<T>,
) -> Result<Option<T>, StoreError> {
    match outcome {
        Err(error) if is_refusal(&error) => {
            found(kind, path, format!("{what}: {error}"), "upstream is requested again");
            Ok(None)
        }
        outcome => readable(kind, path, what, outcome),
    }
}

/// Returns what was read from a folder; `None` if it does not exist, or if a file is in its place, which is reported
/// and, if possible, moved aside.
///
/// # Errors
///
/// Fails if the folder cannot be read for another reason: nobody knows then what is in it.
pub(super) fn readable_folder<T>(
    kind: Kind,
    path: &Path,
    what: impl Display,
    outcome: io::Result<T>,
) -> Result<Option<T>, StoreError> {
    match outcome {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(with_path(path, &error))
        }
        outcome => readable(kind, path, what, outcome),
    }
}

fn with_path(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Io(format!("{}: {error}", path.display()))
}

/// Runs `write`, which writes the file at `path`. If something else blocks that path or a folder above it, such as
/// a folder in the place of the file, moves it aside, reports it and runs `write` once more.
///
/// # Errors
///
/// Fails as `write` does.
pub(super) fn written(
    kind: Kind,
    path: &Path,
    what: impl Display,
    write: impl Fn() -> io::Result<()>,
) -> Result<(), StoreError> {
    match write() {
        Err(error) if is_in_the_way(&error) && set_aside(path) => {
            found(kind, path, format!("{what}: {error}"), "it is moved aside and written anew");
            Ok(write()?)
        }
        outcome => Ok(outcome?),
    }
}

/// Renames this file or folder, or a file that blocks the path where a folder should be. Returns true if that
/// succeeded.
pub(super) fn set_aside(path: &Path) -> bool {
    let not_a_folder = |above: &&Path| fs::symlink_metadata(above).is_ok() && !above.is_dir();
    let path = path.ancestors().skip(1).find(not_a_folder).unwrap_or(path);
    let aside = path.with_added_extension(DAMAGED_EXTENSION);
    // Usually there is none from an earlier failure.
    let _ = fs::remove_file(&aside).or_else(|_| fs::remove_dir_all(&aside));
    fs::rename(path, aside).is_ok()
}

/// Returns true if a file or folder was moved aside before, because it was unreadable.
pub(super) fn is_set_aside(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == DAMAGED_EXTENSION)
}

/// Returns true if an error says nothing of the content.
pub(super) fn says_nothing(error: &io::Error) -> bool {
    is_shortage(error) || is_refusal(error)
}

/// Returns true if the error comes from a shortage of this process, or is temporary.
fn is_shortage(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::INTR | Errno::AGAIN))
}

/// Returns true if the process lacks the permission, or if a file system that is elsewhere does not respond.
fn is_refusal(error: &io::Error) -> bool {
    use Errno as E;
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(E::ACCESS | E::PERM | E::STALE | E::TIMEDOUT | E::NOTCONN | E::HOSTDOWN | E::NODEV | E::NXIO))
}

/// Returns true if the error shows that something else exists at the path.
fn is_in_the_way(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, IsADirectory, NotADirectory, PermissionDenied};
    matches!(error.kind(), AlreadyExists | DirectoryNotEmpty | IsADirectory | NotADirectory | PermissionDenied)
}
