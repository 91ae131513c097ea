//! Images for the origin: OCI manifests with real digests over generated layers.

use bytes::Bytes;
use serde_json::{Value, json};

use super::content::Content;

/// The media type of every manifest here.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A config or layer.
#[derive(Clone, Debug)]
pub struct Blob {
    /// What it consists of.
    pub content: Content,
    /// Its true digest.
    pub digest: String,
}

/// A manifest with the blobs that it names.
#[derive(Clone, Debug)]
pub struct Image {
    /// The manifest as it goes over the wire.
    pub manifest: Blob,
    /// Its config, a small JSON document.
    pub config: Blob,
    /// Its layers, in the order they were asked for.
    pub layers: Vec<Blob>,
}

impl Blob {
    /// Hashes the content: half a second for a gigabyte.
    pub fn of(content: Content) -> Self {
        let digest = content.digest();
        Self { content, digest }
    }

    /// `size` bytes that differ from those of other seeds.
    pub fn generated(seed: u64, size: u64) -> Self {
        Self::of(Content::Generated { seed, size })
    }

    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.content.size()
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": self.digest, "size": self.size()})
    }
}

impl Image {
    /// An image with layers of these sizes in bytes. Images with other seeds share no blob with it.
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

    /// The config and the layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

fn text(value: &Value) -> Blob {
    Blob::of(Content::Bytes(Bytes::from(value.to_string())))
}
