//! Findings, one value for each thing that is broken, and the collection of all of them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::domain::digest::Digest;
use crate::domain::id::GroupId;

/// Something that is not as it was written, or that contradicts another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The bytes of a blob have another digest than its name.
    Blob(PathBuf),
    /// The bytes of a manifest have another digest than its name.
    Manifest(PathBuf),
    /// The bytes of a manifest have its digest, and are not a manifest that a client could use.
    NoManifest(PathBuf),
    /// The description of a whole manifest is missing, damaged, or contradicts it. It can be written again.
    Description(PathBuf),
    /// A file or folder cannot be read.
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        error: String,
    },
    /// A file or folder has a name that this service does not give there.
    Foreign(PathBuf),
    /// Lines of a file of links are damaged. The others are intact.
    Links {
        /// The file.
        path: PathBuf,
        /// Number of damaged lines.
        lines: usize,
    },
    /// The file of an image or of a removal is damaged.
    SmallFile(PathBuf),
    /// A small file has the name of another one.
    Misplaced(PathBuf),
    /// Links and images of a group that does not exist.
    Group {
        /// The group.
        group: GroupId,
        /// The folder of its small files.
        path: PathBuf,
    },
    /// The index is missing or cannot be used as a whole.
    Index(String),
    /// The index lacks the entry of a file.
    MissingEntry(Entry, String),
    /// The index has an entry that has no file.
    SurplusEntry(Entry, String),
    /// The entry in the index differs from the one in the file.
    DifferingEntry(Entry, String),
    /// The recorded length of a stored file is not its length.
    Length {
        /// The digest.
        digest: Digest,
        /// The length in bytes in the record.
        recorded: u64,
        /// The length in bytes of the file.
        found: u64,
    },
    /// A count in the index differs from what is stored.
    Count {
        /// The group; `None`: the whole store.
        group: Option<GroupId>,
        /// Both numbers, as a sentence.
        difference: String,
    },
    /// The identities cannot be opened.
    Identities(String),
    /// A file that an interrupted process has left, or that was moved aside because it was damaged.
    Leftover(PathBuf),
    /// A finding that an interrupted process has left, and that a start of the service corrects.
    Interrupted(Box<Finding>),
}

/// Kind of an entry of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A link of a group to content.
    Link,
    /// An image that a group has pulled.
    Image,
    /// Entry of a tag.
    Tag,
    /// The record of a stored file.
    File,
    /// Summary of a manifest.
    Summary,
}

/// All findings. Of those that are not files, only the first of each kind are kept; all are counted.
#[derive(Debug, Default)]
pub struct Findings {
    kept: Vec<Finding>,
    numbers: BTreeMap<&'static str, u64>,
    broken: u64,
    /// True if the process that used the store last was killed.
    after_interruption: bool,
}

/// Maximum number of findings of one kind that are kept, where they are not files.
const MAX_KEPT: u64 = 100;

impl Finding {
    /// Returns the name of the kind of finding.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Blob(_) => "blob",
            Self::Manifest(_) | Self::NoManifest(_) => "manifest",
            Self::Description(_) => "description",
            Self::Unreadable { .. } => "unreadable",
            Self::Foreign(_) => "foreign",
            Self::Links { .. } => "links",
            Self::SmallFile(_) => "small_file",
            Self::Misplaced(_) => "misplaced",
            Self::Group { .. } => "group",
            Self::Index(_) => "index",
            Self::MissingEntry(..) => "missing_entry",
            Self::SurplusEntry(..) => "surplus_entry",
            Self::DifferingEntry(..) => "differing_entry",
            Self::Length { .. } => "length",
            Self::Count { .. } => "count",
            Self::Identities(_) => "identities",
            Self::Leftover(_) | Self::Interrupted(_) => "leftover",
        }
    }

    /// Returns the file or folder that the finding is about.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Blob(path)
            | Self::Manifest(path)
            | Self::NoManifest(path)
            | Self::Description(path)
            | Self::Unreadable { path, .. }
            | Self::Foreign(path)
            | Self::Links { path, .. }
            | Self::SmallFile(path)
            | Self::Misplaced(path)
            | Self::Group { path, .. }
            | Self::Leftover(path) => Some(path),
            Self::Index(_)
            | Self::MissingEntry(..)
            | Self::SurplusEntry(..)
            | Self::DifferingEntry(..)
            | Self::Length { .. }
            | Self::Count { .. }
            | Self::Identities(_)
            | Self::Interrupted(_) => None,
        }
    }

    /// Returns false for what an interrupted process leaves behind, which a start of the service removes or corrects.
    pub fn is_broken(&self) -> bool {
        !matches!(self, Self::Leftover(_) | Self::Interrupted(_))
    }

    /// Returns the finding itself, whether or not an interrupted process has left it.
    pub(super) fn itself(&self) -> &Self {
        if let Self::Interrupted(finding) = self { finding } else { self }
    }

    /// Returns true for what an interruption can cause, and the next start corrects by the files. What else the index
    /// has of a manifest or of a stored file is not changed by an interruption.
    fn ends_at_a_start(&self) -> bool {
        match self {
            Self::Group { .. }
            | Self::MissingEntry(..)
            | Self::SurplusEntry(..)
            | Self::DifferingEntry(Entry::Link | Entry::Image | Entry::Tag, _)
            | Self::Length { .. }
            | Self::Count { .. } => true,
            Self::DifferingEntry(Entry::File | Entry::Summary, _)
            | Self::Blob(_)
            | Self::Manifest(_)
            | Self::NoManifest(_)
            | Self::Description(_)
            | Self::Unreadable { .. }
            | Self::Foreign(_)
            | Self::Links { .. }
            | Self::SmallFile(_)
            | Self::Misplaced(_)
            | Self::Index(_)
            | Self::Identities(_)
            | Self::Leftover(_)
            | Self::Interrupted(_) => false,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = self.path() {
            write!(f, "{}: ", path.display())?;
        }
        match self {
            Self::Blob(_) | Self::Manifest(_) => write!(f, "its bytes have another digest than its name says"),
            Self::NoManifest(_) => write!(f, "it is not a manifest"),
            Self::Description(_) => write!(f, "the description of a manifest is missing, damaged or contradicts it"),
            Self::Unreadable { error, .. } => write!(f, "it cannot be read: {error}"),
            Self::Foreign(_) => write!(f, "this service gives nothing such a name there"),
            Self::Links { lines, .. } => write!(f, "damaged lines in a file of links: {lines}"),
            Self::SmallFile(_) => write!(f, "it does not have the content that its checksum tells"),
            Self::Misplaced(_) => write!(f, "it has the name of another file"),
            Self::Group { group, .. } => write!(f, "links and images of group {group}, which does not exist"),
            Self::Index(reason) => write!(f, "the index {reason}"),
            Self::MissingEntry(entry, what) => write!(f, "the index lacks the {entry} of {what}"),
            Self::SurplusEntry(entry, what) => {
                write!(f, "the index has the {entry} of {what}, and there is no such file")
            }
            Self::DifferingEntry(entry, what) => write!(f, "the index has another {entry} of {what} than its file"),
            Self::Length { digest, recorded, found } => {
                write!(f, "the index says that {digest} has {recorded} bytes, and its file has {found}")
            }
            Self::Count { group: Some(group), difference } => write!(f, "group {group}: {difference}"),
            Self::Count { group: None, difference } => write!(f, "the whole cache: {difference}"),
            Self::Identities(reason) => write!(f, "{reason}"),
            Self::Leftover(_) => write!(f, "an interrupted process has left it, or it was moved aside as damaged"),
            Self::Interrupted(finding) => {
                write!(f, "{finding} (an interrupted process has left it so, and the next start corrects it)")
            }
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Link => "link",
            Self::Image => "image",
            Self::Tag => "tag",
            Self::File => "record",
            Self::Summary => "summary",
        })
    }
}

impl Findings {
    /// Records that the process that used the store last was killed.
    pub(super) fn follow_an_interruption(&mut self) {
        self.after_interruption = true;
    }

    /// Adds a finding.
    pub(in crate::store::embedded) fn add(&mut self, finding: Finding) {
        let is_left = self.after_interruption && finding.ends_at_a_start();
        let finding = if is_left { Finding::Interrupted(Box::new(finding)) } else { finding };
        let number = self.numbers.entry(finding.kind()).or_default();
        *number += 1;
        self.broken += u64::from(finding.is_broken());
        if finding.path().is_some() || *number <= MAX_KEPT {
            self.kept.push(finding);
        }
    }

    /// Returns the findings that are kept, in the order in which they were found.
    pub fn kept(&self) -> &[Finding] {
        &self.kept
    }

    /// Returns the number of findings of each kind.
    pub fn numbers(&self) -> &BTreeMap<&'static str, u64> {
        &self.numbers
    }

    /// Returns the number of findings that are broken.
    pub fn broken(&self) -> u64 {
        self.broken
    }
}
