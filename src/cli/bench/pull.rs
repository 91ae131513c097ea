//! The pull of one image as a client does it: the manifest by its tag, that of the platform behind an index, and all blobs,
//! three at a time. Verifies every digest, counts what it does and keeps nothing but the manifest.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};

use super::fault::{Fault, Part, Wrong};
use super::platform::Platform;
use super::progress::Live;
use super::session::Session;
use super::tally::{Answers, Tally};
use super::wire::{Answer, Wire};
use crate::auth::sha256::Hasher;
use crate::domain::digest::Digest;
use crate::domain::manifest::{self, Descriptor};

/// What is pulled of an image.
#[derive(Clone, Debug)]
pub(super) struct Extent {
    /// Whose manifest of an index.
    pub(super) platform: Platform,
    /// No blobs.
    pub(super) manifests_only: bool,
}

/// A client of one server, and where it counts.
pub(super) struct Puller<'a> {
    pub(super) wire: &'a Wire,
    pub(super) extent: &'a Extent,
    pub(super) tally: &'a RefCell<Tally>,
    pub(super) live: &'a Live,
}

/// A manifest that has its digest.
struct Manifest {
    digest: Digest,
    media_type: String,
    bytes: Vec<u8>,
}

/// What was read of a body.
struct Read {
    digest: Digest,
    /// From the request to the first byte.
    first_byte: Duration,
}

/// Docker's number.
const BLOBS_AT_ONCE: usize = 3;
/// No registry has larger manifests; most refuse those of more than 4 MiB.
const MAX_MANIFEST: u64 = 16 << 20;

impl Puller<'_> {
    /// Pulls the image of this number, which stands at `reference`.
    pub(super) async fn pull(&self, session: &Session, image: usize, reference: &str) -> Result<(), Wrong> {
        let started = Instant::now();
        let top = self.manifest(session, reference, None).await?;
        let digest = top.digest;
        let mut named = top.named()?;
        if !named.manifests.is_empty() {
            let child = self.extent.platform.choose(&top.bytes).ok_or_else(|| self.no_platform())?;
            let child = self.manifest(session, &child.digest.to_string(), Some(child)).await?;
            named = child.named()?;
            if !named.manifests.is_empty() {
                return Err(unusable("an index in an index".to_owned()));
            }
        }
        if !self.extent.manifests_only {
            self.blobs(session, named.blobs).await?;
        }
        self.tally.borrow_mut().pulled(image, digest, started.elapsed());
        self.live.pulled();
        Ok(())
    }

    /// The manifest at this reference; `known` is what an index says of it.
    async fn manifest(&self, session: &Session, reference: &str, known: Option<Descriptor>) -> Result<Manifest, Wrong> {
        let wrong = Part::Manifest.wrong();
        let path = format!("manifests/{reference}");
        let mut answer = session.get(self.wire, Part::Manifest, &path, &manifest::ACCEPTED.join(", ")).await?;
        let media_type = answer.header("content-type").unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_owned();
        let promised = answer.header("docker-content-digest").and_then(|digest| digest.parse().ok());
        let by_digest = reference.parse().ok();
        let expected = known.map(|known| known.digest).or(by_digest).or(promised);
        let size = known.and_then(|known| known.size).map_or(MAX_MANIFEST, |size| size.min(MAX_MANIFEST));
        let mut bytes = Vec::new();
        let read = self.read(&mut answer, expected, size, |piece| bytes.extend_from_slice(piece)).await;
        let read = read.map_err(wrong)?;
        record(&mut self.tally.borrow_mut().manifests, &read, answer.asked());
        Ok(Manifest { digest: read.digest, media_type, bytes })
    }

    async fn blobs(&self, session: &Session, blobs: Vec<Descriptor>) -> Result<(), Wrong> {
        let mut seen = BTreeSet::new();
        let blobs = blobs.into_iter().filter(|blob| seen.insert(blob.digest));
        let downloads = blobs.map(|blob| self.blob(session, blob)).collect::<Vec<_>>();
        stream::iter(downloads).buffer_unordered(BLOBS_AT_ONCE).try_collect().await
    }

    async fn blob(&self, session: &Session, blob: Descriptor) -> Result<(), Wrong> {
        let mut answer = session.get(self.wire, Part::Blob, &format!("blobs/{}", blob.digest), "*/*").await?;
        let read = self.read(&mut answer, Some(blob.digest), blob.size.unwrap_or(u64::MAX), |_| ()).await;
        let read = read.map_err(Part::Blob.wrong())?;
        record(&mut self.tally.borrow_mut().blobs, &read, answer.asked());
        Ok(())
    }

    /// Reads a body to its end, which is at most `size` bytes away.
    async fn read(
        &self,
        answer: &mut Answer,
        expected: Option<Digest>,
        size: u64,
        mut take: impl FnMut(&[u8]),
    ) -> Result<Read, Fault> {
        let (mut hasher, mut length, mut first_byte) = (Hasher::default(), 0, None);
        while let Some(piece) = answer.next().await? {
            first_byte.get_or_insert_with(|| answer.asked().elapsed());
            length += piece.len() as u64;
            self.tally.borrow_mut().bytes += piece.len() as u64;
            self.live.received(piece.len() as u64);
            if length > size {
                return Err(too_long(expected, size));
            }
            hasher.update(&piece);
            take(&piece);
        }
        let digest = hasher.finish();
        match expected {
            Some(expected) if expected != digest => Err(Fault::WrongDigest { expected, found: digest.to_string() }),
            _ => Ok(Read { digest, first_byte: first_byte.unwrap_or_else(|| answer.asked().elapsed()) }),
        }
    }

    fn no_platform(&self) -> Wrong {
        unusable(format!("the index has nothing for {}", self.extent.platform))
    }
}

impl Manifest {
    fn named(&self) -> Result<manifest::Named, Wrong> {
        let named = manifest::parse(&self.media_type, &self.bytes);
        named.map_err(|error| unusable(error.to_string()))
    }
}

fn unusable(why: String) -> Wrong {
    Wrong { part: Part::Manifest, fault: Fault::Unusable(why) }
}

fn record(answers: &mut Answers, read: &Read, asked: Instant) {
    answers.first_byte.record(read.first_byte);
    answers.total.record(asked.elapsed());
}

fn too_long(expected: Option<Digest>, size: u64) -> Fault {
    match expected {
        Some(expected) => Fault::WrongDigest { expected, found: format!("longer than {size} bytes") },
        None => Fault::Unusable(format!("longer than {size} bytes")),
    }
}
