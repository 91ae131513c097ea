//! The stores of a server.

use std::path::Path;
use std::sync::Arc;

use crate::server::StartError;
use crate::server::fleet::Fleet;
use crate::settings::Settings;
use crate::store::atomic_file::TempFileSweep;
use crate::store::blobs::BlobFiles;
use crate::store::content::ContentStore;
use crate::store::data_dir::DataDir;
use crate::store::embedded::content::EmbeddedContent;
use crate::store::embedded::identity::EmbeddedIdentities;
use crate::store::embedded::index::Index;
use crate::store::error::OpenError;
use crate::store::fleet::FleetContent;
use crate::store::free_space::FreeSpace;
use crate::store::identities::IdentityStore;
use crate::store::manifests::ManifestStore;
use crate::store::operator_notes;
use crate::store::spool::Spool;
use crate::store::usage::Usage;

/// All stores on disk, opened.
pub(in crate::server) struct Stores {
    pub(super) leftovers: TempFileSweep,
    pub(super) identities: IdentityStore,
    pub(super) content: ContentStore,
    /// The content that all replicas share; `None` without a fleet.
    pub(super) shared: Option<Arc<FleetContent>>,
    pub(super) files: BlobFiles,
    pub(super) spool: Spool,
}

impl Stores {
    /// Opens the stores and creates those that are missing.
    ///
    /// # Errors
    /// A folder or a database cannot be opened.
    pub(in crate::server) fn open(
        data: &DataDir,
        settings: &Settings,
        fleet: Option<&Fleet>,
    ) -> Result<Self, StartError> {
        let storage = &settings.storage;
        let (cache, open) = (&storage.cache_dir, settings.cache.open_blobs.get());
        let free_space = |folder: &Path| FreeSpace::new(folder, storage.min_free).beside_identities(data.path());
        let refused = |error: OpenError| error.with_key_file(settings.auth.key_file.as_deref());
        let identities = match fleet {
            Some(fleet) => IdentityStore::fleet(fleet.identities.clone()),
            None => {
                let identities = EmbeddedIdentities::open(data.path()).map_err(refused)?;
                operator_notes::move_into(&identities, data.path());
                IdentityStore::embedded(identities)
            }
        };
        let usage = Usage::default();
        let index = Index::open(data.path(), cache)?.counted_in(&usage);
        let index = index.within(vec![free_space(cache), free_space(data.path())]);
        let manifests = ManifestStore::new(cache).within(free_space(cache)).counted_in(usage.clone());
        let files = BlobFiles::open(cache, storage.min_free, open)?.beside_identities(data.path());
        let files = files.within(storage.max_bytes, usage);
        let content = Arc::new(EmbeddedContent::new(index, manifests));
        let shared = fleet.map(|fleet| Arc::new(fleet.content(content.clone(), files.clone())));
        let content = match &shared {
            Some(shared) => ContentStore::fleet(content, shared.clone()),
            None => ContentStore::embedded(content),
        };
        Ok(Self {
            leftovers: TempFileSweep::below(&[data.path(), cache]),
            identities,
            content,
            shared,
            files,
            spool: Spool::open(cache)?,
        })
    }
}
