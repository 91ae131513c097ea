//! Summaries of stored manifests: what each names, for lists of images, removals and evictions, without reading the
//! manifest. They can be made again from the manifests.

use serde::{Deserialize, Serialize};

use super::{Index, StoreError, read};
use crate::domain::digest::Digest;
use crate::domain::manifest::Named;
use crate::domain::platform::{self, Platform};

/// Names in a manifest or index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The configuration and the layers of an image, in this order.
    pub blobs: Vec<Digest>,
    /// The manifests of an index, with the platforms that it states.
    pub manifests: Vec<(Digest, Option<Platform>)>,
    /// The platform of an image by its configuration; `None` as long as that was not read.
    pub platform: Option<Platform>,
}

impl Summary {
    /// Returns the summary of a manifest of these bytes. Of very many names, the first `max` count.
    pub fn of(named: &Named, bytes: &[u8], max: usize) -> Self {
        // A parse of its own: a platform that cannot be read must hide nothing that the index names, so that the parser
        // of manifests skips this field.
        let platforms = if named.manifests.is_empty() { Vec::new() } else { platform::of_index(bytes) };
        let platform_of = |digest: &Digest| platforms.iter().find(|(of, _)| of == digest).map(|(_, name)| name.clone());
        let manifests = named.manifests.iter().take(max).map(|child| (child.digest, platform_of(&child.digest)));
        let blobs = named.blobs.iter().take(max).map(|blob| blob.digest);
        Self { blobs: blobs.collect(), manifests: manifests.collect(), platform: None }
    }
}

impl Index {
    /// Returns the summary of a manifest; `None` if there is none, or if it cannot be read.
    pub fn summary(&self, digest: &Digest) -> Option<Summary> {
        self.in_database(|| read(self.summaries.get(digest.as_bytes())?)).flatten()
    }

    /// Records the summary of a manifest. On a full disk, and if the database cannot be written, it is not recorded.
    pub fn put_summary(&self, digest: &Digest, summary: &Summary) {
        if self.may_record().is_ok_and(|may| may) {
            let value = || Ok::<_, StoreError>(serde_json::to_vec(summary)?);
            self.in_database(|| Ok(self.summaries.insert(digest.as_bytes(), value()?)?));
        }
    }
}
