//! Cached content in the embedded store: the index and the manifests as files. The functions block.
//!
//! | module | content |
//! |---|---|
//! | [`images`], [`parts`], [`sizes`], [`pins`] | lists of images; the parts of one; sizes; content of pinned images |
//! | [`names`] | what stored manifests name |
//! | [`eviction`] | removal of files with the lowest priority, which [`domain::eviction`](crate::domain::eviction) computes |
//! | [`removal`], [`unnamed`] | removal of images and of links, for quotas and age; of links to what no image names |
//! | [`closing`] | the end of the store's use |

mod closing;
mod eviction;
mod images;
pub(super) mod names;
mod parts;
mod pins;
mod removal;
mod sizes;
mod unnamed;

use std::sync::{PoisonError, RwLock};

use self::sizes::SizesOfGroups;
use super::index::Index;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::store::error::StoreError;
use crate::store::grant::{Grant, LookUp, Pulled};
use crate::store::manifests::{Manifest, ManifestStore};

/// The index and the manifests.
pub struct EmbeddedContent {
    index: Index,
    manifests: ManifestStore,
    /// Held for writing while a manifest without a link is removed, and for reading while a group is given a link.
    removing: RwLock<()>,
    sizes: SizesOfGroups,
}

impl EmbeddedContent {
    /// Returns the content over an open index and a folder of manifests.
    pub fn new(index: Index, manifests: ManifestStore) -> Self {
        Self { index, manifests, removing: RwLock::default(), sizes: SizesOfGroups::default() }
    }

    /// Returns the index.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Returns the manifests.
    pub fn manifests(&self) -> &ManifestStore {
        &self.manifests
    }

    /// Looks up a tag or a digest for a group; see
    /// [`ContentStore::look_up`](crate::store::content::ContentStore::look_up).
    pub(in crate::store) fn look_up(
        &self,
        group: GroupId,
        origin: &Origin,
        reference: &Reference,
    ) -> Result<Option<LookUp>, StoreError> {
        let (digest, tag) = match reference {
            Reference::Digest(digest) => (*digest, None),
            Reference::Tag(tag) => match self.index.tag(origin, tag)? {
                Some(entry) => (entry.digest, Some(entry)),
                None => return Ok(None),
            },
        };
        let link = self.index.link(group, origin, &digest)?;
        let pulled = match reference {
            Reference::Tag(tag) => self.index.tag_of_group(group, origin, tag)?,
            Reference::Digest(_) => None,
        };
        Ok(Some(LookUp { digest, tag, link, pulled, length: self.manifests.length(&digest)? }))
    }

    /// Grants content; see [`ContentStore::grant`](crate::store::content::ContentStore::grant).
    pub(in crate::store) fn grant(
        &self,
        grant: &Grant,
        manifest: Option<&Manifest>,
    ) -> Result<Option<Digest>, StoreError> {
        let _guard = self.removing.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(manifest) = manifest {
            self.manifests.put(manifest)?;
            self.summarize(manifest);
        }
        let Grant { group, origin, links, pulled } = grant;
        let is_image = self.makes_image(grant)?;
        // Before the link is added: with a link, the digest would count as a part of an image.
        if let Pulled::Digest(entry) = pulled
            && is_image
        {
            self.index.add_digest(*group, origin, *entry)?;
        }
        self.index.add_links(*group, origin, links)?;
        match pulled {
            Pulled::Tag(tag, entry) => self.index.set_tag(*group, origin, tag, *entry),
            Pulled::Digest(_) | Pulled::Blob => Ok(None),
        }
    }

    /// Returns true if a digest that a group pulls becomes an image: one that a manifest of the group names is a part
    /// of that image.
    pub(in crate::store) fn makes_image(&self, grant: &Grant) -> Result<bool, StoreError> {
        match &grant.pulled {
            Pulled::Digest(entry) => Ok(self.index.link(grant.group, &grant.origin, &entry.digest)?.is_none()),
            Pulled::Tag(..) | Pulled::Blob => Ok(false),
        }
    }

    /// Removes manifests without a link; see
    /// [`ContentStore::remove_manifests`](crate::store::content::ContentStore::remove_manifests).
    pub(in crate::store) fn remove_manifests(&self, digests: Vec<Digest>) -> Result<Vec<Digest>, StoreError> {
        let mut unlinked = Vec::new();
        for digest in digests {
            let _guard = self.removing.write().unwrap_or_else(PoisonError::into_inner);
            if !self.index.is_linked(&digest)? {
                self.manifests.remove(&digest)?;
                unlinked.push(digest);
            }
        }
        Ok(unlinked)
    }
}
