//! The identity of the cache folder. The index describes the content of one cache folder, and a folder that is new, or
//! another one, is no damage: the index is rebuilt from it. So each cache folder has a file with a random id, which a
//! copy of the folder shares, and the id of the folder from which the index was built is kept beside the index.
//!
//! The file beside the index also has the path of the folder, and whether it was on another disk than the data folder.
//! A folder without an id at the same path, now on the disk of the data folder, is the mount point of a disk that is
//! not mounted: starting there would fill the wrong disk.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::error::OpenError;
use super::{atomic_file, layout};
use crate::auth::random;
use crate::domain::id::CacheId;

/// The cache folder, compared with the one from which the index was built.
#[derive(Debug)]
pub(super) struct CacheFolder {
    id: CacheId,
    /// The file beside the index with the id of the folder from which it was built.
    known: PathBuf,
    relation: Relation,
    place: Place,
}

/// The place of a cache folder.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    path: PathBuf,
    /// True if it is on another disk than the data folder.
    on_own_disk: bool,
}

/// The relation of the cache folder to the one from which the index was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    /// It is the same.
    Same,
    /// The index has no record of the folder from which it was built: it is new, or older than such records.
    Unknown,
    /// It is another one.
    Other,
}

/// File in the cache folder with its id.
const MARKER: &str = "cache.id";
/// File in the cache folder with the last event of other replicas that was carried out there.
pub(super) const FOLLOWED: &str = "fleet-content";
/// File in the data folder with the id and the place of the cache folder from which the index was built.
const KNOWN: &str = "index.cache-id";
/// Line in it for a folder on another disk than the data folder.
const OWN_DISK: &str = "on a disk of its own";

impl CacheFolder {
    /// Identifies the cache folder, marks it if it is new, and upgrades it to the present layout. Logs if it is not the
    /// one from which the index was built. A file that cannot be read or written is logged, and is no error: at worst
    /// the index is rebuilt once more.
    ///
    /// # Errors
    ///
    /// Fails if the folder is the mount point of a disk that is not mounted, or if a newer program has written it.
    pub(super) fn identify(data: &Path, cache: &Path) -> Result<Self, OpenError> {
        check_mounted(data, cache)?;
        let (marker, known) = (cache.join(MARKER), data.join(KNOWN));
        let (here, before) = (read(&marker), read(&known));
        let is_new = here.is_none();
        let place = Place { path: cache.to_owned(), on_own_disk: device(cache) != device(data) };
        layout::CACHE.bring_up_to_date(cache)?;
        let id = here.unwrap_or_else(|| {
            let id = CacheId::from_random(random::bytes());
            match forget_followed(cache) {
                Ok(()) => write(&marker, id),
                Err(error) => tracing::warn!(folder = %cache.display(), %error, "the cache folder could not be marked"),
            }
            id
        });
        let relation = match before {
            Some(before) if before == id => Relation::Same,
            Some(_) => Relation::Other,
            // An index of an earlier version, whose cache folder has no id either.
            None if is_new => Relation::Unknown,
            None => Relation::Other,
        };
        let folder = Self { id, known, relation, place };
        if folder.known.exists() && relation == Relation::Other {
            folder.report(cache, is_new);
        }
        Ok(folder)
    }

    /// Returns true if the index was built from another folder.
    pub(super) fn is_other(&self) -> bool {
        self.relation == Relation::Other
    }

    /// Records that the index was built from this folder.
    pub(super) fn remember(&self) {
        if self.relation != Relation::Same || place_in(&self.known).as_ref() != Some(&self.place) {
            let Place { path, on_own_disk } = &self.place;
            let disk = if *on_own_disk { OWN_DISK } else { "" };
            write_text(&self.known, &format!("{}\n{}\n{disk}\n", self.id, path.display()));
        }
    }

    fn report(&self, cache: &Path, is_new: bool) {
        let folder = cache.display();
        if is_new {
            tracing::warn!(
                %folder,
                "the cache folder is new, and images are pulled again. If there was one before, its disk may not be mounted: stop \
                 the service, mount it, and start again"
            );
        } else {
            tracing::info!(%folder, "the cache folder is another one than before: the index is built from it");
        }
    }
}

/// Checks that the disk of the cache folder is mounted, as far as the data folder knows that it had one. Changes nothing.
///
/// # Errors
///
/// Fails if the folder is the mount point of a disk that is not mounted.
pub fn check_mounted(data: &Path, cache: &Path) -> Result<(), OpenError> {
    let known = data.join(KNOWN);
    let on_own_disk = device(cache) != device(data);
    let was_mounted = Place { path: cache.to_owned(), on_own_disk: true };
    let is_new = read(&cache.join(MARKER)).is_none();
    if is_new && !on_own_disk && read(&known).is_some() && place_in(&known) == Some(was_mounted) {
        return Err(OpenError::Unmounted { folder: cache.to_owned(), known });
    }
    Ok(())
}

/// Returns true if the index was built from another cache folder. Changes nothing.
pub(super) fn is_other(data: &Path, cache: &Path) -> bool {
    let (here, before) = (read(&cache.join(MARKER)), read(&data.join(KNOWN)));
    here != before
}

/// Returns the cache folder from which the index was built, if it is in the data folder, or still where it was. One in
/// the data folder comes first: a copy of the data folder has its own, and the other is that of the original.
pub(super) fn known_folder(data: &Path) -> Option<PathBuf> {
    let known = data.join(KNOWN);
    let id = read(&known)?;
    let inside = Some(data.join("cache"));
    let recorded = place_in(&known).map(|place| place.path);
    [inside, recorded].into_iter().flatten().find(|path| read(&path.join(MARKER)) == Some(id))
}

/// Removes what a replica has noted in a folder without an id: it was written after the folder was emptied, and says
/// that what is lost is there.
fn forget_followed(cache: &Path) -> io::Result<()> {
    atomic_file::unlink(&cache.join(FOLLOWED)).map(drop)
}

/// Returns the id in a file; `None` if there is no file, or no id in it.
fn read(path: &Path) -> Option<CacheId> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the id of the cache folder could not be read");
            return None;
        }
    };
    text.lines().next()?.parse().ok()
}

/// Returns the place in the file beside the index; `None` if an earlier version wrote it.
fn place_in(known: &Path) -> Option<Place> {
    let text = fs::read_to_string(known).ok()?;
    let mut lines = text.lines().skip(1);
    Some(Place { path: lines.next()?.into(), on_own_disk: lines.next() == Some(OWN_DISK) })
}

/// Returns the device of a folder, or of the nearest one above it that exists.
fn device(folder: &Path) -> Option<u64> {
    folder.ancestors().find_map(|folder| fs::metadata(folder).ok()).map(|found| found.dev())
}

fn write(path: &Path, id: CacheId) {
    write_text(path, &format!("{id}\n"));
}

fn write_text(path: &Path, text: &str) {
    if let Err(error) = atomic_file::write_file(path, text.as_bytes()) {
        tracing::warn!(path = %path.display(), %error, "the id of the cache folder could not be written");
    }
}
