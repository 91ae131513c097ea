//! The parts of one image: its platforms, and the layers of each, with the commands that made them.

use std::collections::HashMap;

use super::EmbeddedContent;
use super::names::configuration_bytes;
use crate::domain::digest::Digest;
use crate::domain::history;
use crate::domain::manifest::{self, Descriptor};
use crate::domain::platform::Platform;
use crate::store::blobs::BlobFiles;
use crate::store::error::StoreError;
use crate::store::images::{ImageKey, ImageParts, LayerPart, PlatformPart};

/// Maximum number of platforms whose layers are listed.
const MAX_PLATFORMS: usize = 32;

impl EmbeddedContent {
    /// Returns the parts of an image; see [`ContentStore::parts`](crate::store::content::ContentStore::parts).
    pub(in crate::store) fn parts(
        &self,
        image: &ImageKey,
        digest: Digest,
        blobs: &BlobFiles,
    ) -> Result<ImageParts, StoreError> {
        let Some(manifest) = self.manifests().read(&digest)? else { return Ok(ImageParts::default()) };
        let named = manifest::parse(&manifest.media_type, &manifest.bytes).unwrap_or_default();
        let summary = self.summary(&digest).unwrap_or_default();
        let mut parts = ImageParts { media_type: manifest.media_type, ..ImageParts::default() };
        if named.manifests.is_empty() {
            let platform = self.platform(image, digest, summary.platform, &named.blobs, blobs);
            parts.platforms.push(platform);
            return Ok(parts);
        }
        let platforms: HashMap<Digest, Option<Platform>> = summary.manifests.into_iter().collect();
        for child in &named.manifests {
            let platform = platforms.get(&child.digest).cloned().flatten();
            let is_held = self.index().held_file(image.group, &image.origin, &child.digest).is_some();
            if !is_held || parts.platforms.len() == MAX_PLATFORMS {
                parts.others.extend(platform);
                continue;
            }
            let of_child = self.named(&child.digest)?.blobs;
            parts.platforms.push(self.platform(image, child.digest, platform, &of_child, blobs));
        }
        Ok(parts)
    }

    /// Returns one platform. `named` are the configuration and the layers of its manifest.
    fn platform(
        &self,
        image: &ImageKey,
        digest: Digest,
        platform: Option<Platform>,
        named: &[Descriptor],
        blobs: &BlobFiles,
    ) -> PlatformPart {
        let (configuration, layers) = named.split_first().map_or((None, named), |(first, rest)| (Some(first), rest));
        let commands = configuration.map(|one| commands(&one.digest, blobs)).unwrap_or_default();
        // Only if there is one command for each layer is it certain which command made which layer.
        let command = |number: usize| commands.get(number).filter(|_| commands.len() == layers.len()).cloned();
        let layers = layers.iter().enumerate().map(|(number, layer)| {
            let held = self.index().held_file(image.group, &image.origin, &layer.digest);
            let size = held.map(|file| file.size).or(layer.size);
            LayerPart { digest: layer.digest, size, is_stored: held.is_some(), made_by: command(number) }
        });
        PlatformPart { platform, digest, layers: layers.collect() }
    }
}

/// Returns the commands of the history in a stored configuration that made a layer each.
fn commands(configuration: &Digest, blobs: &BlobFiles) -> Vec<String> {
    configuration_bytes(configuration, blobs).map(|bytes| history::commands(&bytes)).unwrap_or_default()
}
