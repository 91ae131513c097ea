//! Manifests and indexes (OCI image specification; Docker image manifest version 2, schema 2): their media types and
//! the content that they reference. Reads only what a cache needs; the bytes are never rewritten.

use serde::{Deserialize, Deserializer};

use super::digest::{Digest, DigestError};
use super::json_object::Object;

/// The media types in the `Accept` header of every upstream request for a manifest. Always all of them, so that the
/// response does not depend on which client sends the first request.
pub const ACCEPTED: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// The content that a manifest references.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// The configuration and the layers of an image.
    pub blobs: Vec<Descriptor>,
    /// The manifests of an index.
    pub manifests: Vec<Descriptor>,
}

/// A digest and the length of its content (OCI image specification, "Content Descriptors").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Descriptor {
    /// The digest of the content.
    pub digest: Digest,
    /// The length in bytes, as the manifest claims it; the digest decides. `None` if the field is not a valid length.
    #[serde(default, deserialize_with = "length")]
    pub size: Option<u64>,
}

/// The reason why bytes are not a manifest that a client could use.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The media type is none of [`ACCEPTED`].
    #[error("'{0}' is not the media type of a manifest")]
    MediaType(String),
    /// The document is a manifest of Docker's schema 1.
    #[error("it is a manifest of Docker's schema 1, which is not supported")]
    Schema1,
    /// The document is not the JSON of a manifest.
    #[error("it is not the JSON of a manifest: {0}")]
    Json(#[from] serde_json::Error),
    /// A digest in the document is malformed.
    #[error("a digest in it is malformed: {0}")]
    Digest(DigestError),
    /// The document's own media type or its fields belong to another media type.
    #[error("it is not what its media type '{0}' says")]
    Contradiction(String),
}

/// The fields of a manifest or index that a cache needs. As in clients, `null` and an empty text count as absent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    schema_version: serde_json::Value,
    media_type: Option<String>,
    config: Option<Object<Entry>>,
    layers: Option<Vec<Object<Entry>>>,
    manifests: Option<Vec<Object<Entry>>>,
}

#[derive(Deserialize)]
struct Entry {
    digest: String,
    #[serde(default, deserialize_with = "length")]
    size: Option<u64>,
    /// Addresses of a foreign layer: clients download it from these, not from a registry.
    urls: Option<Vec<String>>,
}

/// Returns the content that this manifest references. `media_type` is the `Content-Type` of the response, without
/// parameters.
///
/// # Errors
/// Fails if the document is not a manifest of this media type.
pub fn parse(media_type: &str, bytes: &[u8]) -> Result<Named, ManifestError> {
    identify(Some(media_type), bytes).map(|(_, named)| named)
}

/// Works as [`parse`] and also returns the media type; without a `Content-Type` the document decides.
///
/// # Errors
/// Fails if the document is not a manifest of a supported media type.
pub fn identify(media_type: Option<&str>, bytes: &[u8]) -> Result<(String, Named), ManifestError> {
    let Object(document): Object<Document> = serde_json::from_slice(bytes)?;
    if document.schema_version == 1 {
        return Err(ManifestError::Schema1);
    }
    let media_type = media_type.map_or_else(|| document.own_media_type(), str::to_owned);
    if !ACCEPTED.contains(&media_type.as_str()) {
        return Err(ManifestError::MediaType(media_type));
    }
    // The bytes are stored once, with the media type that came first. Another upstream, or the upstream of another
    // group, must not decide that type for everybody, so it has to be consistent with the bytes.
    if !document.is_a(&media_type) {
        return Err(ManifestError::Contradiction(media_type));
    }
    let Document { config, layers, manifests, .. } = document;
    let layers = layers.into_iter().flatten().filter(|Object(layer)| layer.urls.as_ref().is_none_or(Vec::is_empty));
    let blobs = descriptors(config.into_iter().chain(layers))?;
    let manifests = descriptors(manifests.into_iter().flatten())?;
    Ok((media_type, Named { blobs, manifests }))
}

impl Document {
    fn declared_media_type(&self) -> Option<&str> {
        self.media_type.as_deref().filter(|declared| !declared.is_empty())
    }

    /// Returns true if the document is of this media type. Docker's types must be stated in the document, those of
    /// OCI may be.
    fn is_a(&self, media_type: &str) -> bool {
        let declared = self.declared_media_type();
        let is_declared = declared.map_or(media_type.contains(".oci."), |declared| declared == media_type);
        let index = media_type.contains(".index.") || media_type.contains(".list.");
        let has_its_fields = if index { self.config.is_none() && !self.has_layers() } else { !self.has_manifests() };
        is_declared && has_its_fields
    }

    /// Returns the media type that the document states, or the OCI type that its fields suggest.
    fn own_media_type(&self) -> String {
        let [index, _, image, _] = ACCEPTED;
        let by_fields = if self.has_manifests() {
            index
        } else if self.config.is_some() {
            image
        } else {
            ""
        };
        self.declared_media_type().unwrap_or(by_fields).to_owned()
    }

    fn has_layers(&self) -> bool {
        self.layers.as_ref().is_some_and(|layers| !layers.is_empty())
    }

    fn has_manifests(&self) -> bool {
        self.manifests.as_ref().is_some_and(|manifests| !manifests.is_empty())
    }
}

/// Parses the descriptors. Content with a digest of another algorithm than SHA-256 is left out: it cannot be pulled
/// from here, but that is no reason to refuse the rest.
fn descriptors(entries: impl Iterator<Item = Object<Entry>>) -> Result<Vec<Descriptor>, ManifestError> {
    let descriptor = |Object(entry): Object<Entry>| match entry.digest.parse() {
        Ok(digest) => Some(Ok(Descriptor { digest, size: entry.size })),
        Err(DigestError::Algorithm) if is_algorithm(&entry.digest) => None,
        Err(error) => Some(Err(ManifestError::Digest(error))),
    };
    entries.filter_map(descriptor).collect()
}

/// Reads a length; any other value is `None`, because a wrong size is no reason to refuse content that has a digest.
fn length<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    serde_json::Value::deserialize(deserializer).map(|value| value.as_u64())
}

/// Returns true for a digest of some other algorithm, such as `sha512:...` (OCI image specification, "Digests").
fn is_algorithm(digest: &str) -> bool {
    let algorithm = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+._-".contains(&b))
    };
    digest.split_once(':').is_some_and(|(name, encoded)| algorithm(name) && !encoded.is_empty())
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod properties;

#[cfg(test)]
mod tests;
