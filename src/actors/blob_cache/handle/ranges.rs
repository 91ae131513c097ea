//! Bounded ranges of a blob that is not stored (RFC 9110, section 14): a suffix, some bytes in the middle, or
//! several ranges, as lazy-pulling snapshotters (stargz, SOCI, nydus) and podman's partial pulls request them.
//!
//! - A single range that begins in the arrived part of a running download, or that the download reaches within a
//!   short time, is served from the download's file. So are several ranges that have all arrived.
//! - Other ranges are requested from upstream at once, as ranges, beside the download if there is one. They begin
//!   no download, because such clients need a small part of a large layer. Once the ranges requested of a blob have
//!   more bytes together than the blob, so that a download would have cost upstream no more, one begins in the
//!   background, and later requests are served from its file.
//! - For several ranges that overlap, or are not in the order of the blob, the whole blob is sent (RFC 9110,
//!   section 14.2, allows it): no client is known that needs them, and each would be a request of its own. For so
//!   many ranges that upstream would get more than
//!   [`MAX_UPSTREAM_REQUESTS`](crate::domain::byte_range::MAX_UPSTREAM_REQUESTS) requests, more of the gaps between
//!   them are requested as well.
//! - Ranges that cover the whole blob are served from the one download, which is verified. So is the rest of a blob
//!   (`bytes=N-`, with which clients resume), unless a download is running that is far from there; and so is
//!   everything if upstream ignores `Range`, because a separate request would not bring the bytes sooner.
//!
//! The bytes of such a range cannot be verified here: the digest is that of the whole blob. So they are never
//! stored and grant no link, and upstream decides about each request anew, with the group's account. They are sent
//! as a range (206), never as the blob. Clients that request a part of a blob verify it by other means:
//! snapshotters and podman by the digests in the layer's table of contents, and a client that resumes by the digest
//! of the blob that it puts together. A length or position that differs from the requested one is an error: before
//! the response begins, or later, by closing the connection. The same holds for a failure in mid-body.

use std::ops::Range;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::Stored;
use crate::actors::admission::{Permit, Share};
use crate::actors::blob_cache::coordinator::JoinDownload;
use crate::actors::blob_cache::progress::Progress;
use crate::actors::blob_cache::range_stream::RangeStream;
use crate::actors::blob_cache::upstream::BlobKey;
use crate::actors::blob_cache::{BlobCacheHandle, BlobError, BlobReader, OpenBlob};
use crate::actors::cache_status::CacheStatus;
use crate::domain::byte_range::{RangeSet, Selected, are_ascending, total_length, upstream_requests};
use crate::domain::download::Expected;
use crate::domain::id::GroupId;
use crate::store::link::Link;
use crate::telemetry::TraceParent;
use crate::upstream::UpstreamError;

/// Maximum number of lookups per request. A lookup is repeated if a download begins or ends meanwhile.
const MAX_LOOKUPS: usize = 3;

/// Maximum distance in bytes between the arrived part of a download and the beginning of a range for which the
/// range is awaited: it may arrive sooner than the response to a request of its own.
const NEAR_BYTES: u64 = 1024 * 1024;

/// Maximum time that a near range is awaited before a request of its own is sent.
const ARRIVAL_TIMEOUT: Duration = Duration::from_millis(100);

/// Length of a blob in bytes, as known before upstream's response.
#[derive(Clone, Copy)]
enum Length {
    /// From a manifest, which may be wrong.
    Claimed(u64),
    /// From a verified copy that was stored once, a running download, or upstream's response to a request.
    Known(u64),
}

/// Source of the ranges of a blob that is not stored.
enum Way {
    /// The running download.
    Follow,
    /// The download, which begins if none is running.
    Download,
    /// Ranges from upstream, or an empty response because no range can be satisfied.
    Opened(Box<BlobReader>),
}

/// Outcome of a request for ranges.
enum Requested {
    Stream(Box<RangeStream>),
    /// No range is within the blob.
    Nothing,
    /// Upstream ignores ranges.
    Ignored,
}

impl BlobCacheHandle {
    /// Opens a blob to read these ranges of it. As [`BlobCacheHandle::open`], but the ranges of a blob that is not
    /// stored may come directly from upstream and unverified; see the module `ranges`. Only the ranges that
    /// [`BlobReader::select`] returns may be read.
    ///
    /// # Errors
    ///
    /// Fails as [`BlobCacheHandle::open`] does.
    pub async fn open_ranges(&self, wanted: OpenBlob, ranges: &RangeSet) -> Result<BlobReader, BlobError> {
        if let Some((link, stored)) = self.in_memory(&wanted)
            && link.is_granted()
        {
            return Ok(stored.opened(CacheStatus::Hit));
        }
        if let Some(start) = ranges.rest_from()
            && !self.is_far_ahead(&wanted.key(), start).await?
        {
            return self.open(wanted).await;
        }
        let late = Instant::now() + self.shared.options.response_timeout;
        timeout_at(late, self.look_for_ranges(&wanted, ranges, late)).await.unwrap_or(Err(BlobError::TooSlow))
    }

    /// Returns true if a download is running that will not reach this byte soon.
    async fn is_far_ahead(&self, key: &BlobKey, start: u64) -> Result<bool, BlobError> {
        let running = if start < NEAR_BYTES { None } else { self.running(key).await? };
        Ok(running.is_some_and(|progress| progress.borrow().readable.saturating_add(NEAR_BYTES) <= start))
    }

    async fn look_for_ranges(
        &self,
        wanted: &OpenBlob,
        ranges: &RangeSet,
        late: Instant,
    ) -> Result<BlobReader, BlobError> {
        let key = wanted.key();
        for lookup in 0..MAX_LOOKUPS {
            let link = match self.stored(wanted, late).await? {
                Stored::Opened(opened) => return Ok(*opened),
                // It is not far: the whole of it is brought here.
                Stored::Absent(link) if self.length_in_bucket(wanted, link).await.is_some() => {
                    return self.look(wanted, late).await;
                }
                Stored::Absent(link) => link,
            };
            let running = match self.running(&key).await? {
                Some(progress) => Some(await_arrival(progress, ranges).await),
                None => None,
            };
            if running.is_none() && lookup == 0 {
                // A download that ended since the lookup in the store may have stored the blob.
                continue;
            }
            match self.way(wanted, ranges, link, running).await? {
                Way::Opened(opened) => return Ok(*opened),
                Way::Download => return self.look(wanted, late).await,
                Way::Follow => {
                    if let Some(opened) = self.download(wanted, link, late, false).await? {
                        return Ok(opened);
                    }
                }
            }
        }
        Err(BlobError::Interrupted)
    }

    /// Decides on the source of the ranges, and requests them from upstream if needed.
    async fn way(
        &self,
        wanted: &OpenBlob,
        ranges: &RangeSet,
        link: Option<Link>,
        running: Option<Progress>,
    ) -> Result<Way, BlobError> {
        if running.as_ref().is_some_and(|progress| has_arrived(progress, ranges)) {
            return Ok(Way::Follow);
        }
        // Without a permit for a request of its own, the range can only wait for the download, if there is one.
        let permits = self
            .range_shares
            .try_acquire(wanted.group)
            .and_then(|share| Some((share, self.range_streams.try_acquire()?)));
        let Some(permits) = permits else {
            return if running.is_some() { Ok(Way::Follow) } else { Err(BlobError::Busy) };
        };
        let accepted = running.and_then(|progress| progress.accepted);
        let length = match (accepted, link.and_then(|link| Some((link.size?, link.is_granted())))) {
            (Some(accepted), _) => Length::Known(accepted.length),
            (None, Some((size, true))) => Length::Known(size),
            (None, Some((size, false))) => Length::Claimed(size),
            (None, None) => Length::Known(self.length_upstream(wanted.group, wanted.key(), Instant::now()).await?),
        };
        self.request_ranges(wanted, ranges, length, permits).await
    }

    /// Requests the ranges from upstream. A claimed length that turns out to be wrong is replaced once.
    async fn request_ranges(
        &self,
        wanted: &OpenBlob,
        ranges: &RangeSet,
        mut length: Length,
        permits: (Share, Permit),
    ) -> Result<Way, BlobError> {
        let key = wanted.key();
        loop {
            let (Length::Claimed(bytes) | Length::Known(bytes)) = length;
            let parts = match ranges.select(bytes) {
                Selected::Whole => return Ok(Way::Download),
                Selected::Part(part) => vec![part],
                Selected::Parts(parts) => parts,
                Selected::Unsatisfiable => Vec::new(),
            };
            // The number of bytes that upstream has to deliver, including the gaps, which are dropped here.
            let total = total_length(&upstream_requests(&parts));
            if (total >= bytes && total > 0) || !are_ascending(&parts) {
                return Ok(Way::Download);
            }
            match (self.request_parts(&key, parts, bytes).await, length) {
                (Ok(Requested::Ignored), _) => return Ok(Way::Download),
                (Ok(Requested::Stream(stream)), _) => {
                    self.count_ranges(wanted.group, key, total, bytes);
                    return Ok(Way::Opened(BlobReader::ranges(bytes, stream.holding(permits)).into()));
                }
                (Ok(Requested::Nothing), Length::Known(_)) => {
                    return Ok(Way::Opened(BlobReader::without_parts(bytes).into()));
                }
                (Err(BlobError::WrongLength { reported, .. }), Length::Claimed(_)) => length = Length::Known(reported),
                (
                    Ok(Requested::Nothing) | Err(BlobError::Unavailable(UpstreamError::WrongRange)),
                    Length::Claimed(_),
                ) => {
                    length = Length::Known(self.length_upstream(wanted.group, key.clone(), Instant::now()).await?);
                }
                (Err(error), _) => return Err(error),
            }
        }
    }

    /// Requests these ranges of a blob with an expected length of `expected` bytes.
    async fn request_parts(
        &self,
        key: &BlobKey,
        parts: Vec<Range<u64>>,
        expected: u64,
    ) -> Result<Requested, BlobError> {
        if parts.is_empty() {
            return Ok(Requested::Nothing);
        }
        match RangeStream::begin(&self.shared, key.clone(), parts).await? {
            None => Ok(Requested::Ignored),
            Some((_, Some(reported))) if reported != expected => Err(BlobError::WrongLength { expected, reported }),
            Some((stream, _)) => Ok(Requested::Stream(stream.into())),
        }
    }

    /// Counts the bytes of requested ranges, and begins a download once they exceed the length of the blob. That
    /// download grants no link to the groups that requested the ranges.
    fn count_ranges(&self, group: GroupId, key: BlobKey, bytes: u64, length: u64) {
        if self.shared.options.max_blob_bytes.is_some_and(|max| length > max) {
            return;
        }
        let before = self.ranged.get(&key).unwrap_or(0);
        if before.saturating_add(bytes) <= length {
            self.ranged.insert(key, before + bytes);
            return;
        }
        self.ranged.remove(&key);
        // No request waits for this download. If all permits of the group are in use, a later range begins it.
        if let Some(share) = self.download_shares.try_acquire(group) {
            let (expected, trace) = (Expected::default(), TraceParent::present());
            self.cache.do_send(JoinDownload { key, expected, unlinked: None, begin: Some(share), trace });
        }
    }
}

/// Returns the progress of the download. If it will soon reach the beginning of a single range, waits for that up
/// to [`ARRIVAL_TIMEOUT`], so that the first bytes of a download that has just begun are not requested twice.
async fn await_arrival(mut progress: watch::Receiver<Progress>, ranges: &RangeSet) -> Progress {
    let near = {
        let now = progress.borrow();
        match now.accepted.as_ref().map(|accepted| ranges.select(accepted.length)) {
            Some(Selected::Part(part)) if part.start < now.readable.saturating_add(NEAR_BYTES) => Some(part.start),
            _ => None,
        }
    };
    if let Some(start) = near {
        let arrives = progress.wait_for(|progress| progress.readable > start || progress.end.is_some());
        // After a timeout, too, the present progress decides.
        let _ = timeout(ARRIVAL_TIMEOUT, arrives).await.map(drop);
    }
    progress.borrow().clone()
}

/// Returns true if a single range begins in the arrived part of a download, or several ranges lie within it.
fn has_arrived(progress: &Progress, ranges: &RangeSet) -> bool {
    let Some(accepted) = &progress.accepted else { return false };
    match ranges.select(accepted.length) {
        Selected::Part(part) => part.start < progress.readable,
        Selected::Parts(parts) => parts.iter().all(|part| part.end <= progress.readable),
        Selected::Whole | Selected::Unsatisfiable => true,
    }
}
