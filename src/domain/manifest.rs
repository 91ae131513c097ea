//! Manifests and indexes (OCI image specification; Docker image manifest version 2, schema 2): their media types and what
//! they name. Reads only what a cache needs; the bytes themselves are never rewritten.

use serde::Deserialize;

use super::digest::Digest;

/// The media types that are asked of upstream, always all of them: the answer must not depend on who asks first.
pub const ACCEPTED: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// What a manifest says about other content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Its configuration and layers.
    pub blobs: Vec<Descriptor>,
    /// The manifests of an index.
    pub manifests: Vec<Descriptor>,
}

/// A digest and how many bytes have it (OCI image specification, "Content Descriptors").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Descriptor {
    /// The digest of the content.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// Bytes are not a manifest that a client could use.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The media type is none of [`ACCEPTED`].
    #[error("'{0}' is not the media type of a manifest")]
    MediaType(String),
    /// Not the JSON of a manifest.
    #[error("not a manifest: {0}")]
    Json(#[from] serde_json::Error),
    /// It says itself that it is something else, or has the parts of something else.
    #[error("not what its media type '{0}' says")]
    Contradiction(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    media_type: Option<String>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Layer>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Layer {
    #[serde(flatten)]
    descriptor: Descriptor,
    /// A foreign layer is fetched by clients from these, not from a registry.
    #[serde(default)]
    urls: Vec<String>,
}

impl Document {
    /// Whether the bytes are of this media type. They are stored once, with the type that came first: another upstream, or
    /// another group's, must not decide on it. Docker's types have to stand in the document, those of OCI may.
    fn is_a(&self, media_type: &str) -> bool {
        let said = self.media_type.as_deref().map_or(media_type.contains(".oci."), |said| said == media_type);
        let index = media_type.contains(".index.") || media_type.contains(".list.");
        let parts = if index { self.config.is_none() && self.layers.is_empty() } else { self.manifests.is_empty() };
        said && parts
    }
}

/// What this manifest names. `media_type` is the `Content-Type` it came with, without parameters.
pub fn parse(media_type: &str, bytes: &[u8]) -> Result<Named, ManifestError> {
    if !ACCEPTED.contains(&media_type) {
        return Err(ManifestError::MediaType(media_type.to_owned()));
    }
    let document: Document = serde_json::from_slice(bytes)?;
    if !document.is_a(media_type) {
        return Err(ManifestError::Contradiction(media_type.to_owned()));
    }
    let layers = document.layers.into_iter().filter(|layer| layer.urls.is_empty()).map(|layer| layer.descriptor);
    Ok(Named { blobs: document.config.into_iter().chain(layers).collect(), manifests: document.manifests })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn digest(byte: u8) -> Digest {
        Digest::from_bytes([byte; 32])
    }

    #[test]
    fn a_manifest_names_its_config_and_its_own_layers() {
        let json = format!(
            r#"{{"config":{{"digest":"{}","size":7}},"layers":[{{"digest":"{}","size":8}},{{"digest":"{}","size":9,"urls":["http://x/"]}}]}}"#,
            digest(1),
            digest(2),
            digest(3)
        );
        let named = parse(ACCEPTED[2], json.as_bytes()).unwrap();
        assert_eq!(
            named.blobs.iter().map(|blob| (blob.digest, blob.size)).collect::<Vec<_>>(),
            [(digest(1), 7), (digest(2), 8)]
        );
        assert!(named.manifests.is_empty());
    }

    #[test]
    fn an_index_names_its_manifests() {
        let json = format!(r#"{{"manifests":[{{"digest":"{}","size":5,"platform":{{}}}}]}}"#, digest(4));
        assert_eq!(parse(ACCEPTED[0], json.as_bytes()).unwrap().manifests, [Descriptor { digest: digest(4), size: 5 }]);
    }

    #[test]
    fn what_is_something_else_by_its_own_word_or_parts_is_refused() {
        let typed = |media_type: &str| format!(r#"{{"mediaType":"{media_type}"}}"#);
        for media_type in ACCEPTED {
            assert!(parse(media_type, typed(media_type).as_bytes()).is_ok(), "{media_type}");
            for other in ACCEPTED.iter().filter(|other| **other != media_type) {
                let parsed = parse(media_type, typed(other).as_bytes());
                assert!(matches!(parsed, Err(ManifestError::Contradiction(_))), "{other} as {media_type}");
            }
        }
        let descriptor = format!(r#"{{"digest":"{}","size":5}}"#, digest(4));
        let (index, image) = (format!(r#"{{"manifests":[{descriptor}]}}"#), format!(r#"{{"config":{descriptor}}}"#));
        for (media_type, json) in
            [(ACCEPTED[0], &image), (ACCEPTED[2], &index), (ACCEPTED[1], &index), (ACCEPTED[3], &image)]
        {
            let parsed = parse(media_type, json.as_bytes());
            assert!(matches!(parsed, Err(ManifestError::Contradiction(_))), "{json} as {media_type}");
        }
    }

    #[test]
    fn a_web_page_is_no_manifest() {
        assert!(matches!(parse("text/html", b"<html>"), Err(ManifestError::MediaType(_))));
        assert!(matches!(parse(ACCEPTED[0], b"<html>"), Err(ManifestError::Json(_))));
    }
}
