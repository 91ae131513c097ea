//! The move of an embedded store into a fleet: identities and index in one transaction of an empty database, then
//! manifests and blobs into the bucket. A second run goes on where the first one has ended. The folder stays, as that
//! of a replica; its identities are not used any more.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::time::sleep;

use super::engines::{Engines, SecretError};
use super::keys::{self, KeysError};
use super::resealing::reseal;
use crate::auth::fleet_secret::{FleetSecret, Purpose};
use crate::auth::jwt::KeyError;
use crate::domain::digest::Digest;
use crate::domain::min_free::MinFree;
use crate::store::blobs::BlobFiles;
use crate::store::data_dir::DataDir;
use crate::store::embedded::content::EmbeddedContent;
use crate::store::embedded::identity::EmbeddedIdentities;
use crate::store::embedded::index::Index;
use crate::store::error::{OpenError, StoreError};
use crate::store::fleet::{Bucket, ChangeLog, ContentToMove, Database, FollowedContent, MovedIn, Moving};
use crate::store::manifests::ManifestStore;

/// The folders of a stopped service.
#[derive(Clone, Debug)]
pub struct Folders {
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

/// Reason why a store was not moved, or not completely.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// The folder has no identities.
    #[error(
        "there are no identities in {}: storage.data_dir must name the data folder of a service without a fleet. A fleet that \
         begins with none needs no such command", .0.display()
    )]
    NoIdentities(PathBuf),
    /// A folder cannot be used, for example because a service is running on it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store cannot be read, or an engine has failed. Nothing was moved, unless an earlier run has.
    #[error("nothing was moved: {0}")]
    Store(#[from] StoreError),
    /// The secret of the fleet cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The keys of groups' accounts cannot be read.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The keys of the fleet cannot be used.
    #[error("the keys of groups' accounts: {0}")]
    FleetKeys(#[from] KeyError),
    /// The database has identities that did not come from this folder.
    #[error(
        "nothing was moved: the database of fleet.database_url has users, groups or tokens that are not from {}. Name an empty \
         database", .0.display()
    )]
    Occupied(PathBuf),
    /// A replica may be running on the database.
    #[error(
        "nothing was moved: {0} registered in the database of fleet.database_url may be running. Stop all replicas; one that was \
         killed counts for an hour (fleet.without_database), unless it starts again and is stopped"
    )]
    Replicas(String),
    /// Not all content could be uploaded.
    #[error(
        "identities and index are moved, {left} manifests and blobs are not yet: {error}. The same command goes on; a replica that \
         starts on this folder uploads them, too"
    )]
    Upload {
        /// Number of contents that are left.
        left: usize,
        /// The failure of an engine.
        error: StoreError,
    },
    /// The connection was lost at the end of the move.
    #[error("it is not known whether identities and index are moved: {}. The same command finds out, and goes on", .0.reason())]
    Unknown(StoreError),
    /// Identities and index are moved, and a step after that has failed.
    #[error(
        "identities and index are moved, but {0}. Run the same command again before a replica starts on this folder"
    )]
    After(StoreError),
}

/// Number of uploads at the same time.
const UPLOADS_AT_ONCE: usize = 4;
/// Number of attempts to upload something while an engine fails.
const ATTEMPTS: u32 = 4;
/// Pause between two attempts.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Maximum number of files that are kept open.
const OPEN_FILES: usize = 16;
/// Time for changes of the index under way at the end: there are none.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Moves the store in these folders into the fleet over these engines.
///
/// # Errors
/// A folder is in use or cannot be read, the database has other identities, or an engine fails.
pub async fn share(folders: &Folders, engines: &Engines, show: &dyn Fn(Progress)) -> Result<Shared, ShareError> {
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
        content.mark(&folders.cache.join(FollowedContent::FILE), &moved_in).await.map_err(ShareError::After)?;
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
    Folders { data, cache, .. }: &Folders,
    (database, bucket): (&Database, &Bucket),
) -> Result<ContentToMove, ShareError> {
    let index = Index::open(data, cache)?;
    let content = Arc::new(EmbeddedContent::new(index, ManifestStore::new(cache)));
    let files = BlobFiles::open(cache, MinFree::Bytes(0), OPEN_FILES)?;
    Ok(ContentToMove::new((database.clone(), bucket.clone()), content, files))
}

/// Moves identities and index, unless a run before has done so.
async fn move_into(
    folders: &Folders,
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
    let source = all.installation.map(|installation| format!("installation {installation}"));
    let source = source.ok_or_else(|| {
        StoreError::Io(
            "the identities have no id of an installation: start the service without a fleet once".to_owned(),
        )
    })?;
    let mut moving = Moving::begin(database).await?;
    let found = moving.found().clone();
    if found.has_identities {
        let before = found.moved_in.filter(|moved| moved.source == source);
        let moved = before.ok_or_else(|| ShareError::Occupied(folders.data.clone()))?;
        let shared = Shared { changed_since: all.number > moved.version, ..Shared::default() };
        return Ok((moved, shared));
    }
    if found.replicas > 0 {
        let one = "a replica that is".to_owned();
        return Err(ShareError::Replicas(if found.replicas == 1 {
            one
        } else {
            format!("{} replicas that are", found.replicas)
        }));
    }
    let account_keys = keys::read_if_any(&folders.account_keys)?;
    let to_enter = reseal(&mut all.directory, account_keys, secret.keys(Purpose::Accounts))?;
    let directory = &all.directory;
    let mut moved = Moved {
        users: directory.users().count(),
        groups: directory.groups().count(),
        tokens: directory.tokens().count(),
        events: all.events.len(),
        to_enter,
        ..Moved::default()
    };
    moving.note_secret(secret.ids()).await?;
    moving.put_identities(all).await?;
    let pace = |links, images| show(Progress::Index(links, images));
    (moved.links, moved.images) = content.move_index(&mut moving, &pace).await?;
    let moved_in = moving.commit(source).await.map_err(ShareError::Unknown)?;
    Ok((moved_in, Shared { moved: Some(moved), ..Shared::default() }))
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
            Err(StoreError::Fleet(error)) if attempt < ATTEMPTS => {
                tracing::debug!(%digest, %error, "an upload is repeated");
                sleep(RETRY_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
    Ok(())
}
