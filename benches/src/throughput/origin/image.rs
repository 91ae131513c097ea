//! Images for the origin: OCI manifests with real digests over generated layers.

use bytes::Bytes;
use serde_json::{Value, json};

use super::content::Content;

/// Media type of all manifests here.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A config or layer.
#[derive(Clone, Debug)]
pub struct Blob {
    /// The content.
    pub content: Content,
    /// The digest of the content.
    pub digest: String,
}

/// A manifest with its blobs.
#[derive(Clone, Debug)]
pub struct Image {
    /// The manifest.
    pub manifest: Blob,
    /// The configuration, a small JSON document.
    pub config: Blob,
    /// The layers, in the requested order.
    pub layers: Vec<Blob>,
}

impl Blob {
    /// Creates a blob and hashes its content, which takes half a second per gigabyte.
    pub fn of(content: Content) -> Self {
        let digest = content.digest();
        Self { content, digest }
    }

    /// Creates a blob of `size` bytes that differ from those of other seeds.
    pub fn generated(seed: u64, size: u64) -> Self {
        Self::of(Content::Generated { seed, size })
    }

    /// Returns the length in bytes.
    pub fn size(&self) -> u64 {
        self.content.size()
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": self.digest, "size": self.size()})
    }
}

impl Image {
    /// Creates an image with layers of these sizes in bytes. Images with different seeds share no blob.
    pub fn of(seed: u64, layer_sizes: &[u64]) -> Self {
        let seeds = (seed * 1000)..;
        let layers: Vec<Blob> = seeds.zip(layer_sizes).map(|(seed, size)| Blob::generated(seed, *size)).collect();
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.digest.as_str()).collect();
        let config = json!({"architecture": "amd64", "os": "linux", "config": {"Labels": {"seed": seed.to_string()}},
            "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let config = text(&config);
        let entries = layers.iter().map(|layer| layer.descriptor("application/vnd.oci.image.layer.v1.tar+gzip"));
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
            "config": config.descriptor("application/vnd.oci.image.config.v1+json"),
            "layers": entries.collect::<Vec<_>>()});
        Self { manifest: text(&manifest), config, layers }
    }

    /// Returns the configuration and the layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

fn text(value: &Value) -> Blob {
    Blob::of(Content::Bytes(Bytes::from(value.to_string())))
}
