//! The files of blobs and manifests: their names, their lengths, and their bytes against their digests.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{Content, Finding, Findings, Progress, Report};
use crate::auth::sha256::{self, Hasher};
use crate::domain::digest::Digest;
use crate::domain::manifest;
use crate::store::atomic_file;
use crate::store::damage;
use crate::store::embedded::content::names;
use crate::store::embedded::index::Comparison;
use crate::store::error::StoreError;
use crate::store::manifests::{self, Manifest};
use crate::store::usage::FileKind;

/// Number of bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// The files of one kind.
struct Folder {
    path: PathBuf,
    kind: FileKind,
}

impl Folder {
    fn of(cache: &Path, kind: FileKind) -> Self {
        let name = match kind {
            FileKind::Blob => "blobs",
            FileKind::Manifest => "manifests",
        };
        Self { path: cache.join(name).join("sha256"), kind }
    }

    fn file(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.path.join(&hex[..2]).join(hex)
    }

    fn description(&self, digest: &Digest) -> PathBuf {
        self.file(digest).with_extension("json")
    }
}

/// Lists the files of blobs and manifests, and reports other names there.
pub(super) fn list(cache: &Path, report: &mut Report) -> Content {
    let findings = &mut report.findings;
    let blobs = list_folder(&Folder::of(cache, FileKind::Blob), findings);
    let manifests = list_folder(&Folder::of(cache, FileKind::Manifest), findings);
    report.examined.blobs = blobs.len() as u64;
    report.examined.manifests = manifests.len() as u64;
    Content { blobs, manifests }
}

fn list_folder(folder: &Folder, findings: &mut Findings) -> HashMap<Digest, u64> {
    let mut files = HashMap::new();
    let above = folder.path.parent().unwrap_or(&folder.path);
    for (path, name) in entries(above, findings) {
        if name != "sha256" {
            findings.add(unexpected(path, &name));
        }
    }
    for (shard, name) in entries(&folder.path, findings) {
        let is_shard =
            name.len() == 2 && name.bytes().all(|byte| b"0123456789abcdef".contains(&byte)) && shard.is_dir();
        if !is_shard {
            findings.add(unexpected(shard, &name));
            continue;
        }
        for (path, file) in entries(&shard, findings) {
            match digest_in(&file).filter(|_| file.starts_with(&name)) {
                Some(digest) => match fs::metadata(&path) {
                    Ok(found) if found.is_file() => {
                        files.insert(digest, found.len());
                    }
                    Ok(_) => findings.add(Finding::Foreign(path)),
                    Err(error) => findings.add(Finding::Unreadable { path, error: error.to_string() }),
                },
                None if folder.kind == FileKind::Manifest && is_description(&path, &file) => {}
                None => findings.add(unexpected(path, &file)),
            }
        }
    }
    files
}

/// Returns true for the description of a manifest that is there.
fn is_description(path: &Path, name: &str) -> bool {
    let of = name.strip_suffix(".json").and_then(digest_in);
    of.is_some() && path.is_file() && path.with_extension("").exists()
}

fn digest_in(name: &str) -> Option<Digest> {
    format!("sha256:{name}").parse().ok()
}

/// Returns the finding for a name that is not one of content.
pub(super) fn unexpected(path: PathBuf, name: &str) -> Finding {
    // A description is written before its manifest, and removed after it.
    let is_description = name.strip_suffix(".json").is_some_and(|name| digest_in(name).is_some()) && path.is_file();
    if atomic_file::is_temporary(name) || damage::is_set_aside(&path) || is_description {
        Finding::Leftover(path)
    } else {
        Finding::Foreign(path)
    }
}

/// Returns the paths and names in a folder; none if it does not exist. A folder that cannot be read is reported.
pub(super) fn entries(folder: &Path, findings: &mut Findings) -> Vec<(PathBuf, String)> {
    let named = |entry: fs::DirEntry| (entry.path(), entry.file_name().to_string_lossy().into_owned());
    let read = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(named(entry?))).collect());
    match read {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            findings.add(Finding::Unreadable { path: folder.to_owned(), error: error.to_string() });
            Vec::new()
        }
    }
}

/// Verifies the manifests and their descriptions, and compares them with their summaries in the index.
pub(super) fn verify_manifests(
    cache: &Path,
    content: &Content,
    comparison: Option<&Comparison<'_>>,
    report: &mut Report,
) -> Result<(), StoreError> {
    let folder = Folder::of(cache, FileKind::Manifest);
    for digest in in_order(&content.manifests) {
        let (path, description) = (folder.file(digest), folder.description(digest));
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                report.findings.add(unreadable(path, error)?);
                continue;
            }
        };
        report.examined.bytes += bytes.len() as u64;
        if sha256::digest(&bytes) != *digest {
            report.findings.add(Finding::Manifest(path));
            continue;
        }
        let Some(media_type) = media_type(&bytes, &description, &mut report.findings) else {
            report.findings.add(Finding::NoManifest(path));
            continue;
        };
        if let Some(comparison) = comparison
            && bytes.len() as u64 <= names::MAX_EXAMINED_BYTES
        {
            let summary = names::summary_of(&Manifest::new(media_type, bytes.into()));
            comparison.summary(digest, &summary, &mut report.findings);
        }
    }
    Ok(())
}

/// Returns the media type of a manifest, and reports a description that is not right; `None` if it is not a manifest.
fn media_type(bytes: &[u8], description: &Path, findings: &mut Findings) -> Option<String> {
    let text = fs::read(description).ok();
    if let Some(media_type) = manifests::described_type(bytes, text.as_deref()) {
        return Some(media_type);
    }
    let (media_type, _) = manifest::identify(None, bytes).ok()?;
    findings.add(Finding::Description(description.to_owned()));
    Some(media_type)
}

/// Verifies the digests of all blobs.
pub(super) fn verify_blobs(
    cache: &Path,
    content: &Content,
    progress: &dyn Fn(Progress),
    report: &mut Report,
) -> Result<(), StoreError> {
    let folder = Folder::of(cache, FileKind::Blob);
    let bytes: u64 = content.blobs.values().sum();
    progress(Progress::Reading(bytes));
    report.examined.bytes += bytes;
    let mut buffer = vec![0; CHUNK_BYTES];
    for digest in in_order(&content.blobs) {
        let path = folder.file(digest);
        match hash(&path, &mut buffer, progress) {
            Ok(found) if found == *digest => {}
            Ok(_) => report.findings.add(Finding::Blob(path)),
            Err(error) => report.findings.add(unreadable(path, error)?),
        }
    }
    Ok(())
}

/// Returns the digests in the order of the paths, for the disk and for people.
fn in_order(files: &HashMap<Digest, u64>) -> Vec<&Digest> {
    let mut digests: Vec<&Digest> = files.keys().collect();
    digests.sort_unstable();
    digests
}

fn hash(path: &Path, buffer: &mut [u8], progress: &dyn Fn(Progress)) -> io::Result<Digest> {
    let (mut file, mut hasher) = (File::open(path)?, Hasher::default());
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                progress(Progress::Read(read as u64));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Returns the finding for a file that cannot be read.
///
/// # Errors
///
/// Fails if the process lacks open files, memory or the permission, because the file need not be damaged then.
pub(super) fn unreadable(path: PathBuf, error: io::Error) -> Result<Finding, StoreError> {
    if damage::says_nothing(&error) {
        return Err(StoreError::Io(format!("{}: {error}", path.display())));
    }
    Ok(Finding::Unreadable { path, error: error.to_string() })
}
