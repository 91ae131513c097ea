//! Bounded ranges of a blob that is not stored (RFC 9110, section 14): a suffix, some bytes in the middle, or several ranges, as
//! lazy-pulling snapshotters (stargz, SOCI, nydus) and podman's partial pulls request them.
//!
//! - What has arrived of a download that is under way is given from its file, and so is a range that begins there, or does so within
//!   a moment.
//! - Anything else is requested upstream at once, as ranges, beside the download if there is one. None is begun: such clients want
//!   a small share of a large layer. Only once the ranges requested of a blob have more bytes together than the blob, so that a
//!   download would have cost upstream no more, one is begun in the background, and later requests are served from its file.
//! - Several ranges that overlap, or are not in the order of the blob, are the whole blob (RFC 9110, section 14.2, allows it): no client
//!   is known that needs them, and each would be a request of its own. So many that upstream would get more than
//!   [`MAX_UPSTREAM_REQUESTS`](crate::domain::byte_range::MAX_UPSTREAM_REQUESTS) requests are requested with more of the gaps between them.
//! - Ranges that are the whole blob, and the rest of it (`bytes=N-`, with which clients resume) unless a download is under way that is
//!   far from there, are served from the one download, which is verified; and so is everything where upstream ignores `Range`:
//!   nothing comes sooner from there.
//!
//! The bytes of such a range cannot be verified here: the digest is that of the whole. So they are never stored and grant no link;
//! upstream decides about each request anew, with the group's account. They are given out as a range (206), never as the blob, and
//! whoever requests a share of a blob verifies it by other means: snapshotters and podman by the digests in the layer's table of
//! contents, a client that resumes by the digest of what it puts together. A length or position that differs from what was
//! requested is an error, before the head of the response or, later, one that cuts the connection; so is a failure in mid-body.

use std::ops::Range;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::progress::Progress;
use super::range_stream::RangeStream;
use super::{BlobError, Blobs, JoinDownload, Key, OpenBlob, OpenedBlob, Stored};
use crate::actors::manifests::Source;
use crate::actors::places::{Place, Share};
use crate::domain::byte_range::{RangeSet, Selected, are_ascending, total_length, upstream_requests};
use crate::domain::download::Expected;
use crate::domain::id::GroupId;
use crate::store::index::Link;
use crate::upstream::UpstreamError;

/// A download begins or ends while the blob is being looked for: after so many times the search is given up.
const MAX_LOOKS: usize = 3;

/// A range that begins so close behind what has arrived of a download may arrive sooner than a response to a request of its own ...
const NEAR_BYTES: u64 = 1024 * 1024;

/// ... which is sent after this time.
const ARRIVAL_TIMEOUT: Duration = Duration::from_millis(100);

/// How long a blob is, as far as that is known before upstream's response.
#[derive(Clone, Copy)]
enum Length {
    /// By a manifest, which may be wrong.
    Claimed(u64),
    /// By a verified copy that was stored once, by a download that is under way, or by upstream's response to a request.
    Known(u64),
}

/// Where ranges of a blob that is not stored come from.
enum Way {
    /// The download that is under way.
    Follow,
    /// The download, which is begun if there is none.
    Download,
    /// Upstream, or a refusal of all ranges.
    Opened(Box<OpenedBlob>),
}

/// What became of a request for some parts.
enum Requested {
    Stream(Box<RangeStream>),
    /// There are none.
    Nothing,
    /// Upstream ignores ranges.
    Ignored,
}

impl Blobs {
    /// Opens a blob to give these ranges of it: as [`Blobs::open`] does, but where it is not stored they may come straight from
    /// upstream and unverified; see the module `ranges`. The ranges that [`OpenedBlob::select`] tells may be read, and no others.
    pub async fn open_ranges(&self, wanted: OpenBlob, ranges: &RangeSet) -> Result<OpenedBlob, BlobError> {
        if let Some((link, stored)) = self.at_hand(&wanted)
            && link.proven
        {
            return Ok(stored.opened(Source::Hit));
        }
        if let Some(start) = ranges.rest_from()
            && !self.is_far_ahead(&wanted.key(), start).await?
        {
            return self.open(wanted).await;
        }
        let late = Instant::now() + self.shared.options.answer_within;
        timeout_at(late, self.look_for_ranges(&wanted, ranges, late)).await.unwrap_or(Err(BlobError::TooSlow))
    }

    /// Whether a download is under way that will not get to this byte soon.
    async fn is_far_ahead(&self, key: &Key, start: u64) -> Result<bool, BlobError> {
        let running = if start < NEAR_BYTES { None } else { self.running(key).await? };
        Ok(running.is_some_and(|progress| progress.borrow().readable.saturating_add(NEAR_BYTES) <= start))
    }

    async fn look_for_ranges(
        &self,
        wanted: &OpenBlob,
        ranges: &RangeSet,
        late: Instant,
    ) -> Result<OpenedBlob, BlobError> {
        let key = wanted.key();
        for look in 0..MAX_LOOKS {
            let link = match self.stored(wanted, late).await? {
                Stored::Opened(opened) => return Ok(*opened),
                Stored::Absent(link) => link,
            };
            let running = match self.running(&key).await? {
                Some(progress) => Some(await_arrival(progress, ranges).await),
                None => None,
            };
            if running.is_none() && look == 0 {
                // One that has just ended may have stored the blob after it was looked for.
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
        // Where no more may be under way, the download is there to wait for, if there is one.
        let place =
            self.range_shares.try_take(wanted.group).and_then(|share| Some((share, self.range_streams.take()?)));
        let Some(place) = place else {
            return if running.is_some() { Ok(Way::Follow) } else { Err(BlobError::Busy) };
        };
        let accepted = running.and_then(|progress| progress.accepted);
        let length = match (accepted, link.and_then(|link| Some((link.size?, link.proven)))) {
            (Some(accepted), _) => Length::Known(accepted.length),
            (None, Some((size, true))) => Length::Known(size),
            (None, Some((size, false))) => Length::Claimed(size),
            (None, None) => Length::Known(self.length_upstream(wanted.key()).await?),
        };
        self.request_ranges(wanted, ranges, length, place).await
    }

    /// Requests the ranges upstream. A claimed length that turns out wrong is replaced once.
    async fn request_ranges(
        &self,
        wanted: &OpenBlob,
        ranges: &RangeSet,
        mut length: Length,
        place: (Share, Place),
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
            // What upstream has to deliver, with the gaps that are dropped.
            let total = total_length(&upstream_requests(&parts));
            if (total >= bytes && total > 0) || !are_ascending(&parts) {
                return Ok(Way::Download);
            }
            match (self.request_parts(&key, parts, bytes).await, length) {
                (Ok(Requested::Ignored), _) => return Ok(Way::Download),
                (Ok(Requested::Stream(stream)), _) => {
                    self.count_ranges(wanted.group, key, total, bytes);
                    return Ok(Way::Opened(OpenedBlob::ranges(bytes, stream.holding(place)).into()));
                }
                (Ok(Requested::Nothing), Length::Known(_)) => {
                    return Ok(Way::Opened(OpenedBlob::without_parts(bytes).into()));
                }
                (Err(BlobError::WrongLength { told, .. }), Length::Claimed(_)) => length = Length::Known(told),
                (
                    Ok(Requested::Nothing) | Err(BlobError::Unavailable(UpstreamError::WrongRange)),
                    Length::Claimed(_),
                ) => {
                    length = Length::Known(self.length_upstream(key.clone()).await?);
                }
                (Err(error), _) => return Err(error),
            }
        }
    }

    /// Requests these parts of a blob that is expected to be `expected` bytes long.
    async fn request_parts(&self, key: &Key, parts: Vec<Range<u64>>, expected: u64) -> Result<Requested, BlobError> {
        if parts.is_empty() {
            return Ok(Requested::Nothing);
        }
        match RangeStream::begin(&self.shared, key.clone(), parts).await? {
            None => Ok(Requested::Ignored),
            Some((_, Some(told))) if told != expected => Err(BlobError::WrongLength { expected, told }),
            Some((stream, _)) => Ok(Requested::Stream(stream.into())),
        }
    }

    /// Begins a download once the ranges requested of a blob have more bytes than it. It makes no link for whoever requested them.
    fn count_ranges(&self, group: GroupId, key: Key, bytes: u64, length: u64) {
        if self.shared.options.max_blob_bytes.is_some_and(|max| length > max) {
            return;
        }
        let before = self.ranged.get(&key).unwrap_or(0);
        if before.saturating_add(bytes) <= length {
            self.ranged.insert(key, before + bytes);
            return;
        }
        self.ranged.remove(&key);
        // Nobody waits for it: where the group has its share already, a later range begins it.
        if let Some(share) = self.download_shares.try_take(group) {
            self.cache.do_send(JoinDownload { key, expected: Expected::default(), unlinked: None, begin: Some(share) });
        }
    }
}

/// How far the download is. If the beginning of a single range is near, that is awaited for a moment: so what a download that has
/// just begun brings first is not requested twice.
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
        // Late or not: what it is then decides.
        let _ = timeout(ARRIVAL_TIMEOUT, arrives).await.map(drop);
    }
    progress.borrow().clone()
}

/// Whether a single range begins in what has arrived of a download, or all of several ranges lie in it.
fn has_arrived(progress: &Progress, ranges: &RangeSet) -> bool {
    let Some(accepted) = &progress.accepted else { return false };
    match ranges.select(accepted.length) {
        Selected::Part(part) => part.start < progress.readable,
        Selected::Parts(parts) => parts.iter().all(|part| part.end <= progress.readable),
        Selected::Whole | Selected::Unsatisfiable => true,
    }
}
