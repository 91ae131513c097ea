//! Images for the fake registry: layers of any size without memory, manifests and indexes in docker or OCI media types.
//! Nothing is compressed: a layer is just bytes with a digest.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::content::Content;

/// Media type of a manifest of docker's schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Media type of a manifest list of docker.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Media type of an OCI manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an OCI index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const PLATFORMS: [&str; 4] = ["amd64", "arm64", "s390x", "ppc64le"];

/// A manifest with its blobs, or an index with its images.
#[derive(Debug, Clone)]
pub struct Image {
    manifest: Value,
    /// Value of `Content-Type`.
    served_as: String,
    bytes: Bytes,
    digest: String,
    config: Option<Layer>,
    layers: Vec<Layer>,
    children: Vec<Image>,
}

impl Image {
    /// Returns an image for one platform, as a docker schema 2 manifest with a small configuration of its own.
    pub fn single(layers: &[Layer]) -> Self {
        let diffs: Vec<&str> = layers.iter().map(Layer::digest).collect();
        let config = json!({"architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": diffs}});
        let config = Layer::of(config.to_string());
        let entries: Vec<Value> =
            layers.iter().map(|layer| layer.descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip")).collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": DOCKER_MANIFEST,
            "config": config.descriptor("application/vnd.docker.container.image.v1+json"),
            "layers": entries});
        Self::sealed(manifest, Some(config), layers.to_vec(), Vec::new())
    }

    /// Returns an OCI image for one platform, with generated layers of these sizes in bytes. Images with different
    /// seeds share no layer.
    pub fn generated(seed: u64, layer_sizes: &[u64]) -> Self {
        let seeds = seed.wrapping_mul(1000)..;
        let layers: Vec<Layer> = seeds.zip(layer_sizes).map(|(seed, size)| Layer::random(*size, seed)).collect();
        Self::single(&layers).oci()
    }

    /// Returns an image for several platforms (amd64, arm64, s390x, ppc64le in this order), as a docker manifest list.
    pub fn index(children: &[Image]) -> Self {
        let entries: Vec<Value> = children
            .iter()
            .zip(PLATFORMS)
            .map(|(child, architecture)| {
                let mut entry = child.descriptor();
                entry["platform"] = json!({"architecture": architecture, "os": "linux"});
                entry
            })
            .collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": entries});
        Self::sealed(manifest, None, Vec::new(), children.to_vec())
    }

    /// Returns the same image with OCI media types, and so with another digest; children are unchanged.
    pub fn oci(mut self) -> Self {
        if self.children.is_empty() {
            self.manifest["mediaType"] = OCI_MANIFEST.into();
            self.manifest["config"]["mediaType"] = "application/vnd.oci.image.config.v1+json".into();
            for layer in self.manifest["layers"].as_array_mut().unwrap() {
                layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar+gzip".into();
            }
        } else {
            self.manifest["mediaType"] = OCI_INDEX.into();
        }
        Self::sealed(self.manifest, self.config, self.layers, self.children)
    }

    /// Returns an OCI index of these descriptors, whatever they reference: the registry has none of it.
    pub fn index_of(descriptors: &[Value]) -> Self {
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors});
        Self::sealed(manifest, None, Vec::new(), Vec::new())
    }

    /// Returns the same image with the layer media type and annotations of a signature, as cosign stores them.
    pub fn signature(mut self) -> Self {
        for layer in self.manifest["layers"].as_array_mut().unwrap() {
            layer["mediaType"] = "application/vnd.dev.cosign.simplesigning.v1+json".into();
            layer["annotations"] = json!({"dev.cosignproject.cosign/signature": "c2lnbmVk"});
        }
        Self::sealed(self.manifest, self.config, self.layers, self.children)
    }

    /// Returns the same image as an artifact (a signature, an SBOM) whose `subject` is another image: a referrer.
    pub fn attached_to(mut self, subject: &Image, artifact_type: &str) -> Self {
        self.manifest["artifactType"] = artifact_type.into();
        self.manifest["subject"] = subject.descriptor();
        Self::sealed(self.manifest, self.config, self.layers, self.children)
    }

    /// Returns the same image with an edited document, under the same `Content-Type`.
    pub fn edited(mut self, edit: impl FnOnce(&mut Value)) -> Self {
        let served_as = self.media_type().to_owned();
        edit(&mut self.manifest);
        let edited = Self::sealed(self.manifest, self.config, self.layers, self.children);
        Self { served_as, ..edited }
    }

    /// Returns the digest of the manifest.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns the length of the manifest in bytes.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Returns the `Content-Type` of the manifest.
    pub fn media_type(&self) -> &str {
        &self.served_as
    }

    /// Returns the manifest, byte for byte.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the layers, without the configuration.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Returns the configuration blob; an index has none.
    pub fn config(&self) -> Option<&Layer> {
        self.config.as_ref()
    }

    /// Returns the configuration and the layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Layer> {
        self.config.iter().chain(&self.layers)
    }

    /// Returns the images of an index.
    pub fn children(&self) -> &[Image] {
        &self.children
    }

    pub(super) fn subject(&self) -> Option<&str> {
        self.manifest["subject"]["digest"].as_str()
    }

    pub(super) fn artifact_type(&self) -> Option<&str> {
        self.manifest["artifactType"].as_str()
    }

    /// Returns its descriptor in an index.
    pub fn descriptor(&self) -> Value {
        let mut descriptor = json!({"mediaType": self.media_type(), "digest": self.digest,
            "size": self.bytes.len()});
        if let Some(artifact_type) = self.artifact_type() {
            descriptor["artifactType"] = artifact_type.into();
        }
        descriptor
    }

    fn sealed(manifest: Value, config: Option<Layer>, layers: Vec<Layer>, children: Vec<Image>) -> Self {
        let bytes = Bytes::from(manifest.to_string());
        let digest = Content::Bytes(bytes.clone()).digest();
        let served_as = manifest["mediaType"].as_str().unwrap_or_default().to_owned();
        Self { manifest, served_as, bytes, digest, config, layers, children }
    }
}

/// A layer or configuration: content and its digest.
#[derive(Debug, Clone)]
pub struct Layer {
    content: Content,
    digest: String,
}

impl Layer {
    /// Returns `size` pseudo-random bytes, the same for the same seed, generated only when they are read.
    pub fn random(size: u64, seed: u64) -> Self {
        Self::from_content(Content::Generated { seed, size })
    }

    /// Returns a layer with these bytes, such as a real tar archive.
    pub fn of(bytes: impl Into<Bytes>) -> Self {
        Self::from_content(Content::Bytes(bytes.into()))
    }

    /// Returns the digest.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns the length in bytes.
    pub fn size(&self) -> u64 {
        self.content.size()
    }

    /// Returns the content, which can be read in chunks.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Returns all its bytes, in memory.
    pub fn bytes(&self) -> Vec<u8> {
        self.content.to_vec()
    }

    fn from_content(content: Content) -> Self {
        let digest = content.digest();
        Self { content, digest }
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "size": self.size(), "digest": self.digest})
    }
}
