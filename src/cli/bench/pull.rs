//! The pull of one image as a client does it: the manifest by its tag, the manifest for the platform if that is an
//! index, and all blobs, three at a time. Every digest is verified; only manifests are kept in memory.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};

use super::fault::{Fault, Part, PullError};
use super::platform::choose;
use super::progress::Live;
use super::session::Session;
use super::tally::{ResponseTimes, Tally};
use super::wire::{StreamedResponse, Wire};
use crate::auth::sha256::Hasher;
use crate::domain::digest::Digest;
use crate::domain::manifest::{self, Descriptor};
use crate::domain::platform::Platform;

/// The parts of an image that are pulled.
#[derive(Clone, Debug)]
pub(super) struct PullScope {
    /// Platform whose manifest is chosen from an index.
    pub(super) platform: Platform,
    /// True: pulls no blobs.
    pub(super) manifests_only: bool,
}

/// A client of one server, with its counters.
pub(super) struct Puller<'a> {
    pub(super) wire: &'a Wire,
    pub(super) scope: &'a PullScope,
    pub(super) tally: &'a RefCell<Tally>,
    pub(super) live: &'a Live,
}

/// A manifest whose digest was verified.
struct Manifest {
    digest: Digest,
    media_type: String,
    bytes: Vec<u8>,
}

/// Result of reading a body.
struct Read {
    digest: Digest,
    /// Time from the request to the first byte.
    first_byte: Duration,
}

/// Maximum number of concurrent blobs of a client, as in docker.
const MAX_CONCURRENT_BLOBS: usize = 3;
/// Maximum size of a manifest. Most registries refuse manifests of more than 4 MiB.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;

impl Puller<'_> {
    /// Pulls the image with this number at `reference`, and records it. Fails where any of its contents cannot be
    /// fetched or has a wrong digest.
    pub(super) async fn pull(&self, session: &Session, image: usize, reference: &str) -> Result<(), PullError> {
        let started = Instant::now();
        let top = self.manifest(session, reference, None).await?;
        let digest = top.digest;
        let mut named = top.named()?;
        if !named.manifests.is_empty() {
            let child = choose(&self.scope.platform, &top.bytes, &named.manifests).ok_or_else(|| self.no_platform())?;
            let child = self.manifest(session, &child.digest.to_string(), Some(child)).await?;
            named = child.named()?;
            if !named.manifests.is_empty() {
                return Err(unusable("an index in an index".to_owned()));
            }
        }
        if !self.scope.manifests_only {
            self.blobs(session, named.blobs).await?;
        }
        self.tally.borrow_mut().pulled(image, digest, started.elapsed());
        self.live.pulled();
        Ok(())
    }

    /// Fetches the manifest at this reference; `known` is its descriptor in an index.
    async fn manifest(
        &self,
        session: &Session,
        reference: &str,
        known: Option<Descriptor>,
    ) -> Result<Manifest, PullError> {
        let error = Part::Manifest.error();
        let path = format!("manifests/{reference}");
        let mut response = session.get(self.wire, Part::Manifest, &path, &manifest::ACCEPTED.join(", ")).await?;
        let media_type = response.header("content-type").unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_owned();
        let promised = response.header("docker-content-digest").and_then(|digest| digest.parse().ok());
        let by_digest = reference.parse().ok();
        let expected = known.map(|known| known.digest).or(by_digest).or(promised);
        let size = known.and_then(|known| known.size).map_or(MAX_MANIFEST_BYTES, |size| size.min(MAX_MANIFEST_BYTES));
        let mut bytes = Vec::new();
        let read = self.read(&mut response, expected, size, |chunk| bytes.extend_from_slice(chunk)).await;
        let read = read.map_err(error)?;
        record(&mut self.tally.borrow_mut().manifests, &read, response.requested_at());
        Ok(Manifest { digest: read.digest, media_type, bytes })
    }

    async fn blobs(&self, session: &Session, blobs: Vec<Descriptor>) -> Result<(), PullError> {
        let mut seen = BTreeSet::new();
        let blobs = blobs.into_iter().filter(|blob| seen.insert(blob.digest));
        let downloads = blobs.map(|blob| self.blob(session, blob)).collect::<Vec<_>>();
        stream::iter(downloads).buffer_unordered(MAX_CONCURRENT_BLOBS).try_collect().await
    }

    async fn blob(&self, session: &Session, blob: Descriptor) -> Result<(), PullError> {
        let mut response = session.get(self.wire, Part::Blob, &format!("blobs/{}", blob.digest), "*/*").await?;
        let read = self.read(&mut response, Some(blob.digest), blob.size.unwrap_or(u64::MAX), |_| ()).await;
        let read = read.map_err(Part::Blob.error())?;
        record(&mut self.tally.borrow_mut().blobs, &read, response.requested_at());
        Ok(())
    }

    /// Reads and verifies a body of at most `size` bytes, and passes its chunks to `take`.
    async fn read(
        &self,
        response: &mut StreamedResponse,
        expected: Option<Digest>,
        size: u64,
        mut take: impl FnMut(&[u8]),
    ) -> Result<Read, Fault> {
        let (mut hasher, mut length, mut first_byte) = (Hasher::default(), 0, None);
        while let Some(chunk) = response.next().await? {
            first_byte.get_or_insert_with(|| response.requested_at().elapsed());
            length += chunk.len() as u64;
            self.tally.borrow_mut().bytes += chunk.len() as u64;
            self.live.received(chunk.len() as u64);
            if length > size {
                return Err(too_long(expected, size));
            }
            hasher.update(&chunk);
            take(&chunk);
        }
        let digest = hasher.finish();
        match expected {
            Some(expected) if expected != digest => Err(Fault::WrongDigest { expected, found: digest.to_string() }),
            _ => Ok(Read { digest, first_byte: first_byte.unwrap_or_else(|| response.requested_at().elapsed()) }),
        }
    }

    fn no_platform(&self) -> PullError {
        unusable(format!("the index has nothing for {}", self.scope.platform))
    }
}

impl Manifest {
    fn named(&self) -> Result<manifest::Named, PullError> {
        let named = manifest::parse(&self.media_type, &self.bytes);
        named.map_err(|error| unusable(error.to_string()))
    }
}

fn unusable(why: String) -> PullError {
    PullError { part: Part::Manifest, fault: Fault::Unusable(why) }
}

fn record(times: &mut ResponseTimes, read: &Read, requested_at: Instant) {
    times.first_byte.record(read.first_byte);
    times.total.record(requested_at.elapsed());
}

fn too_long(expected: Option<Digest>, size: u64) -> Fault {
    match expected {
        Some(expected) => Fault::WrongDigest { expected, found: format!("longer than {size} bytes") },
        None => Fault::Unusable(format!("longer than {size} bytes")),
    }
}
