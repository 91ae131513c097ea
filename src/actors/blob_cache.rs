//! Blob cache: coordinates downloads, so that each blob is downloaded once, no matter how many clients
//! request it. The actor handles no bytes: a task of its own writes them from upstream to the spool file,
//! and each client reads that file.
//!
//! Access is decided here, too. A group with a granted link may read the stored blob. Without one, upstream decides,
//! with a request for that digest in that repository with the group's account, even if the blob is stored, so that
//! neither result nor timing reveals what other groups have cached.
//!
//! A link is granted once upstream's acceptance is certain: after a `HEAD` that names the stored blob's
//! length or digest, or after a download whose digest was verified. Until then the group reads the
//! download that its own request belongs to.
//!
//! A request for the whole of a blob that is not stored, or for the rest of it (`bytes=N-`, after an interrupted
//! pull), begins a download. A `HEAD` begins none. Bounded ranges begin one when those requested of a blob are together
//! longer than the blob. See `handle::head` and `handle::ranges`.
//!
//! | file | content |
//! |---|---|
//! | [`handle`] | [`BlobCacheHandle`]: opens a blob, within its limits of time and number. A hit ends here |
//! | `handle::head`, `handle::ranges`, [`range_stream`] | `HEAD`s and bounded ranges |
//! | [`coordinator`] | the actor: one download per blob, and one `HEAD` |
//! | [`download_task`], [`progress`], [`writer`], [`hashing`], [`context`] | one download: from upstream to the spool file, and what its readers see of it |
//! | [`pass_through`] | an upstream stream for one client, if the blob is not stored |
//! | [`reader`], [`chunk`] | the bytes of an open blob, for one client |
//! | [`verifier`], [`repeats`] | stored blobs are read back and compared with their digest |
//! | [`request`], [`error`], [`upstream`] | data types; the upstream operations that the cache uses |

mod chunk;
mod context;
mod coordinator;
mod download_task;
mod error;
mod handle;
mod hashing;
mod pass_through;
mod progress;
mod range_stream;
mod reader;
mod repeats;
mod request;
mod upstream;
mod verifier;
mod writer;

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::Deserialize;

pub use self::chunk::{Chunk, FileRange, Transfer};
pub use self::context::GroupQuotas;
pub use self::coordinator::BlobCache;
pub use self::error::BlobError;
pub use self::handle::BlobCacheHandle;
pub use self::reader::{BlobReader, Chunks};
pub use self::request::{OpenBlob, RunningDownload};
pub use self::upstream::BlobUpstream;
pub use self::verifier::VerifyOptions;
use crate::domain::deadlines;
use crate::formats::quantity;

/// Limits of the blob cache: its keys of `[cache]`. A request beyond a maximum is refused with 503, unless stated
/// otherwise.
#[derive(Clone, Debug, Deserialize)]
pub struct BlobCacheOptions {
    /// Maximum length of a stored blob in bytes; longer ones are passed on without being stored. `None`: no maximum.
    #[serde(deserialize_with = "quantity::limit_bytes")]
    pub max_blob_bytes: Option<u64>,
    /// Maximum number of concurrent downloads of different blobs.
    pub max_downloads: NonZeroUsize,
    /// Maximum number of concurrent downloads that one group has begun; further ones wait.
    pub max_downloads_per_group: NonZeroUsize,
    /// Maximum number of clients with an upstream stream of their own, for blobs that are not stored.
    pub max_unstored_streams: NonZeroUsize,
    /// Maximum number of concurrent responses with ranges that come directly from upstream.
    pub max_range_streams: NonZeroUsize,
    /// Maximum time until a response begins. After it the client gets the error that upstream is too
    /// slow; the download goes on. No setting: tests have a shorter one.
    #[serde(skip, default = "response_timeout")]
    pub response_timeout: Duration,
}

fn response_timeout() -> Duration {
    deadlines::RESPONSE
}
