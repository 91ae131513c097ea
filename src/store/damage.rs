//! What is told of a stored file that is not what was written: a line in the log with its path, and a counter by kind. Removes
//! and repairs nothing itself.

use std::fmt::Display;
use std::path::Path;

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
        }
    }
}

/// Counts and logs damage. `what` names the content (a digest, a group), `remedy` what becomes of it.
pub(super) fn found(kind: Kind, path: &Path, what: impl Display, remedy: &'static str) {
    metrics::counter!("dependency_proxy_damaged_total", "kind" => kind.word()).increment(1);
    tracing::error!(kind = kind.word(), path = %path.display(), %what, remedy, "a stored file is damaged");
}
