//! What is told of a stored file that is not what was written, or cannot be read: a line in the log with its path, and a counter by
//! kind. Repairs nothing itself; what cannot be read is renamed, so that nothing reads it again and another file can take its name.

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::error::StoreError;

/// What was found damaged; the label `kind` of `dependency_proxy_damaged_total`.
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
    /// The journal of identities.
    Identities,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Manifest => "manifest",
            Self::Description => "description",
            Self::Link => "link",
            Self::Tag => "tag",
            Self::Index => "index",
            Self::Identities => "identities",
        }
    }
}

/// Counts and logs damage. `what` names the content (a digest, a group), `remedy` what becomes of it.
pub(super) fn found(kind: Kind, path: &Path, what: impl Display, remedy: &'static str) {
    metrics::counter!("dependency_proxy_damaged_total", "kind" => kind.word()).increment(1);
    tracing::error!(kind = kind.word(), path = %path.display(), %what, remedy, "a stored file is damaged");
}

/// What is added to the name of a file or folder that could not be read.
const ASIDE: &str = "damaged";

/// What was read of a file or a folder; none where there is no such file, or it cannot be read, which is told: it is set aside if
/// possible. Fails where it is the process that lacks open files or memory.
pub(super) fn readable<T>(
    kind: Kind,
    path: &Path,
    what: impl Display,
    outcome: io::Result<T>,
) -> Result<Option<T>, StoreError> {
    let error = match outcome {
        Ok(read) => return Ok(Some(read)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if is_shortage(&error) => return Err(error.into()),
        Err(error) => error,
    };
    let remedy = if set_aside(path) { "it is moved aside, and upstream is asked" } else { "upstream is asked" };
    found(kind, path, format!("{what}: {error}"), remedy);
    Ok(None)
}

/// Writes a file. Where something has its name, or that of a folder above it, that no file can be written to, that is set aside, and the
/// file is written once more.
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

/// Renames this file or folder; where a folder above it is none, that. Says whether that was possible.
pub(super) fn set_aside(path: &Path) -> bool {
    let not_a_folder = |above: &&Path| fs::symlink_metadata(above).is_ok() && !above.is_dir();
    let path = path.ancestors().skip(1).find(not_a_folder).unwrap_or(path);
    let aside = path.with_added_extension(ASIDE);
    let _none_before = fs::remove_file(&aside).or_else(|_| fs::remove_dir_all(&aside));
    fs::rename(path, aside).is_ok()
}

fn is_shortage(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::INTR | Errno::AGAIN))
}

fn is_in_the_way(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, IsADirectory, NotADirectory, PermissionDenied};
    matches!(error.kind(), AlreadyExists | DirectoryNotEmpty | IsADirectory | NotADirectory | PermissionDenied)
}
