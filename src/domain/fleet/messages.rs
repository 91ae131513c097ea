//! Messages between replicas: the path, the headers and the signed texts of a request and its response.

use serde::{Deserialize, Serialize};

use super::State;
use crate::domain::digest::Digest;
use crate::domain::directory::Version;
use crate::domain::id::ReplicaId;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;

/// The response to a request for the version of a replica's directory.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaVersion {
    /// The replica that responds.
    pub replica: ReplicaId,
    /// The history that its directory follows.
    pub history: String,
    /// The version of its directory.
    pub version: Version,
}

impl ReplicaVersion {
    /// Returns the state of its directory.
    pub fn state(&self) -> State {
        State { history: self.history.clone(), version: self.version }
    }
}

/// A request for a blob that the other replica is receiving, or has received, for this origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobOf {
    /// The upstream, account and repository.
    pub origin: Origin,
    /// The digest.
    pub digest: Digest,
    /// The offset of the first byte.
    pub from: u64,
}

/// A request for a manifest that the other replica is fetching, or has fetched, for this origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestOf {
    /// The upstream, account and repository.
    pub origin: Origin,
    /// The tag or digest.
    pub reference: Reference,
    /// The digest, where upstream has confirmed it.
    pub digest: Option<Digest>,
}

/// Header with the nonce of a request.
pub const NONCE: &str = "x-fleet-nonce";
/// Header with the signature of a request or response.
pub const SIGNATURE: &str = "x-fleet-signature";
/// The path of the route that responds with a [`ReplicaVersion`]; the query is
/// `at_least=<version>&history=<history>`.
pub const VERSION_PATH: &str = "/fleet/v1/version";

/// The path of the route that responds with a manifest; the query is `of=<hex>`, a [`ManifestOf`] as [`BLOB_PATH`] has
/// a [`BlobOf`].
pub const MANIFEST_PATH: &str = "/fleet/v1/manifests";
/// Header with the media type of a manifest, as upstream sent it.
pub const MEDIA_TYPE: &str = "x-fleet-media-type";
/// Header with the digest of a manifest.
pub const DIGEST: &str = "x-fleet-digest";

/// The path of the route that responds with the bytes of a blob; the query is `of=<hex>`, a [`BlobOf`] as JSON in
/// hexadecimal digits.
pub const BLOB_PATH: &str = "/fleet/v1/blobs";
/// Header with the length of the whole blob.
pub const BLOB_LENGTH: &str = "x-fleet-blob-length";

/// Header with the minute of a request, counted from 1970.
pub const MINUTE: &str = "x-fleet-minute";
/// Header that says whether the replica has all of a blob ([`STORED`]) or is receiving it.
pub const BLOB_STATE: &str = "x-fleet-blob-state";
/// Value of [`BLOB_STATE`] for a blob of which the replica has all bytes.
pub const STORED: &str = "stored";

/// Returns the text of a request that is signed: for this replica, within a minute or two. `target` is its path with
/// the query.
pub fn request_text(receiver: ReplicaId, minute: &str, target: &str, nonce: &str) -> String {
    format!("request\n{receiver}\n{minute}\n{target}\n{nonce}")
}

/// Returns the text of a response that is signed. It has the nonce of the request, so that no response can be used
/// for another request.
pub fn response_text(body: &str, nonce: &str) -> String {
    format!("response\n{nonce}\n{body}")
}
