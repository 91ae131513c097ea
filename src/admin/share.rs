//! The move of an embedded store into a fleet: identities and index in one transaction of an empty database, then
//! manifests and blobs into the bucket. A second run continues where the first one ended. The folder becomes that of a
//! replica; its identities are no longer used.

mod error;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::time::sleep;

pub use self::error::ShareError;
use super::engines::Engines;
use super::keys;
use super::resealing::reseal;
use crate::auth::fleet_secret::{FleetSecret, Purpose};
use crate::domain::digest::Digest;
use crate::domain::id::InstallationId;
use crate::domain::min_free::MinFree;
use crate::store::all_identities::AllIdentities;
use crate::store::blobs::BlobFiles;
use crate::store::data_dir::DataDir;
use crate::store::embedded::content::EmbeddedContent;
use crate::store::embedded::identity::EmbeddedIdentities;
use crate::store::embedded::index::Index;
use crate::store::error::StoreError;
use crate::store::fleet::{Bucket, ChangeLog, ContentToMove, Database, FollowedContent, FoundState, MovedIn, Moving};
use crate::store::manifests::ManifestStore;

/// The folders of a stopped service whose content is moved into a fleet.
#[derive(Clone, Debug)]
pub struct FoldersToShare {
    /// The data folder.
    pub data: PathBuf,
    /// The cache folder.
    pub cache: PathBuf,
    /// The file of the keys of groups' accounts.
    pub account_keys: PathBuf,
}

/// Result of a move.
#[derive(Debug, Default)]
pub struct Shared {
    /// The identities, if they were moved now; `None`: a run before has moved them.
    pub moved: Option<Moved>,
    /// True if identities of the folder have changed since they were moved: these changes are not in the fleet.
    pub changed_since: bool,
    /// Number of manifests and blobs that were uploaded.
    pub uploaded: u64,
    /// Their length in bytes.
    pub uploaded_bytes: u64,
    /// Number of manifests and blobs that the bucket had before.
    pub there: u64,
    /// Content whose file is damaged: it is not uploaded, and is fetched from its registry again.
    pub damaged: Vec<Digest>,
}

/// Numbers of what was moved into the database.
#[derive(Debug, Default)]
pub struct Moved {
    /// Number of users.
    pub users: usize,
    /// Number of groups.
    pub groups: usize,
    /// Number of tokens that are not deleted.
    pub tokens: usize,
    /// Number of audit events.
    pub events: usize,
    /// Number of links of groups to content.
    pub links: u64,
    /// Number of images of groups.
    pub images: u64,
    /// The accounts of groups whose passwords must be entered again, each with its group and upstream.
    pub to_enter: Vec<String>,
}

/// Progress of a move.
#[derive(Clone, Copy, Debug)]
pub enum Progress {
    /// The identities are being moved.
    Identities,
    /// These numbers of links and images were put into the index.
    Index(u64, u64),
    /// This number of bytes is to be uploaded.
    Uploading(u64),
    /// This number of bytes more was uploaded.
    Uploaded(u64),
}

/// Number of uploads at the same time.
const UPLOADS_AT_ONCE: usize = 4;
/// Maximum number of attempts to upload something while an engine fails.
const MAX_UPLOAD_ATTEMPTS: u32 = 4;
/// Pause between two attempts.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum number of files that are kept open.
const MAX_OPEN_FILES: usize = 16;
/// Maximum time to close the index. No change of it is under way then.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Moves the store in these folders into the fleet over these engines.
///
/// # Errors
/// Fails if a folder is in use or cannot be read, if the database has other identities, or if an engine fails.
pub async fn share(folders: &FoldersToShare, engines: &Engines, show: &dyn Fn(Progress)) -> Result<Shared, ShareError> {
    if !folders.data.join("identity.journal").exists() {
        return Err(ShareError::NoIdentities(folders.data.clone()));
    }
    let secret = Arc::new(engines.secret()?);
    let data = DataDir::open(&folders.data)?.with_cache(&folders.cache)?;
    let database = Database::connect(&engines.database).await?;
    database.check_secret(&secret.ids()).await?;
    let bucket = Bucket::new(&engines.bucket, None)?;
    let identities = engines.identities(&database);
    let log = ChangeLog::new(&engines.bucket, &identities, secret.clone())?;
    log.check().await?;
    let content = open_content(folders, (&database, &bucket))?;
    let shared = async {
        let (moved_in, mut shared) = move_into(folders, &database, &secret, &content, show).await?;
        // From now on a replica may start on this folder.
        log.verify(&identities).await.map(drop).map_err(ShareError::After)?;
        content.mark(&folders.cache.join(FollowedContent::FILE_NAME), &moved_in).await.map_err(ShareError::After)?;
        upload_missing(&content, &mut shared, show).await?;
        Ok(shared)
    };
    let shared = shared.await;
    if let Err(error) = content.close(CLOSE_TIMEOUT).await {
        tracing::warn!(%error, "the index was not closed; the next start compares it with its files");
    }
    drop(content);
    data.give_to_owner()?;
    shared
}

fn open_content(
    FoldersToShare { data, cache, .. }: &FoldersToShare,
    (database, bucket): (&Database, &Bucket),
) -> Result<ContentToMove, ShareError> {
    let index = Index::open(data, cache)?;
    let content = Arc::new(EmbeddedContent::new(index, ManifestStore::new(cache)));
    let files = BlobFiles::open(cache, MinFree::Bytes(0), MAX_OPEN_FILES)?;
    Ok(ContentToMove::new((database.clone(), bucket.clone()), content, files))
}

/// Moves identities and index, unless a run before has done so.
async fn move_into(
    folders: &FoldersToShare,
    database: &Database,
    secret: &FleetSecret,
    content: &ContentToMove,
    show: &dyn Fn(Progress),
) -> Result<(MovedIn, Shared), ShareError> {
    show(Progress::Identities);
    let mut all = EmbeddedIdentities::open(&folders.data)?.all()?;
    if all.directory.is_empty() {
        return Err(ShareError::NoIdentities(folders.data.clone()));
    }
    let source = source(all.installation)?;
    let mut moving = Moving::begin(database).await?;
    let found = moving.found().clone();
    if found.has_identities {
        let before = found.moved_in.filter(|moved| moved.source == source);
        let moved = before.ok_or_else(|| ShareError::Occupied(folders.data.clone()))?;
        let shared = Shared { changed_since: all.number > moved.version, ..Shared::default() };
        return Ok((moved, shared));
    }
    check_no_replica(&found)?;
    let account_keys = keys::read_if_any(&folders.account_keys)?;
    let to_enter = reseal(&mut all.directory, account_keys, secret.keys(Purpose::Accounts))?;
    let mut moved = Moved { to_enter, ..Moved::of(&all) };
    moving.note_secret(secret.ids()).await?;
    moving.put_identities(all).await?;
    let pace = |links, images| show(Progress::Index(links, images));
    (moved.links, moved.images) = content.move_index(&mut moving, &pace).await?;
    let moved_in = moving.commit(source).await.map_err(ShareError::Unknown)?;
    Ok((moved_in, Shared { moved: Some(moved), ..Shared::default() }))
}

/// Returns the name under which the database records where its identities came from.
fn source(installation: Option<InstallationId>) -> Result<String, StoreError> {
    let source = installation.map(|installation| format!("installation {installation}"));
    source.ok_or_else(|| {
        StoreError::Io(
            "the identities have no id of an installation: start the service without a fleet once".to_owned(),
        )
    })
}

fn check_no_replica(found: &FoundState) -> Result<(), ShareError> {
    match found.replicas {
        0 => Ok(()),
        1 => Err(ShareError::Replicas("a replica that is".to_owned())),
        replicas => Err(ShareError::Replicas(format!("{replicas} replicas that are"))),
    }
}

impl Moved {
    /// Returns the numbers of identities.
    fn of(AllIdentities { directory, events, .. }: &AllIdentities) -> Self {
        Self {
            users: directory.users().count(),
            groups: directory.groups().count(),
            tokens: directory.tokens().count(),
            events: events.len(),
            ..Self::default()
        }
    }
}

/// Uploads what the bucket lacks.
async fn upload_missing(
    content: &ContentToMove,
    shared: &mut Shared,
    show: &dyn Fn(Progress),
) -> Result<(), ShareError> {
    let found = content.missing().await.map_err(ShareError::After)?;
    shared.there = found.there;
    show(Progress::Uploading(found.missing.iter().map(|(_, length)| length).sum()));
    let mut left = found.missing.len();
    let uploads = stream::iter(found.missing)
        .map(|(digest, length)| async move { (digest, length, uploaded(content, &digest).await) });
    let mut uploads = uploads.buffer_unordered(UPLOADS_AT_ONCE);
    while let Some((digest, length, outcome)) = uploads.next().await {
        match outcome {
            Ok(()) => {
                shared.uploaded += 1;
                shared.uploaded_bytes += length;
            }
            Err(StoreError::Damaged(_)) => shared.damaged.push(digest),
            Err(error) => return Err(ShareError::Upload { left, error }),
        }
        left -= 1;
        show(Progress::Uploaded(length));
    }
    Ok(())
}

/// Uploads one content, in several attempts if an engine fails.
async fn uploaded(content: &ContentToMove, digest: &Digest) -> Result<(), StoreError> {
    for attempt in 1.. {
        match content.upload(digest).await {
            Err(StoreError::Fleet(error)) if attempt < MAX_UPLOAD_ATTEMPTS => {
                tracing::debug!(%digest, %error, "an upload is repeated");
                sleep(RETRY_INTERVAL).await;
            }
            outcome => return outcome,
        }
    }
    Ok(())
}
