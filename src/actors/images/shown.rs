//! Cached images as they are shown, with their states.

use jiff::{SignedDuration, Timestamp};

use super::CachedImage;

/// A cached image and its state.
#[derive(Clone, Debug)]
pub struct ShownImage {
    /// The image.
    pub image: CachedImage,
    /// Its state.
    pub state: ImageState,
}

/// State of a cached image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageState {
    /// Upstream confirmed it when it was last requested; also what was pulled by digest.
    Fresh,
    /// It was served since its revalidation failed.
    Stale {
        /// The failure, as a sentence.
        because: String,
    },
    /// Content of it is not stored, for each of its platforms: it was not pulled, or it was evicted. A pull needs
    /// upstream.
    Incomplete,
    /// Content of it is being downloaded.
    Arriving {
        /// Number of bytes that have arrived, of all content that is being downloaded.
        received: u64,
        /// Their number in the end, as far as upstream has stated it.
        length: u64,
    },
}

/// Part of a list of images.
#[derive(Clone, Debug, Default)]
pub struct ShownPage {
    /// The images.
    pub images: Vec<ShownImage>,
    /// Number of images in the whole list.
    pub total: usize,
}

/// A state by which lists are filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateFilter {
    /// See [`ImageState::Stale`]; without images that count as [`Self::Going`].
    Stale,
    /// See [`ImageState::Arriving`].
    Arriving,
    /// Removed within 7 days unless somebody pulls it.
    Going,
}

/// Time before its removal from which on an image counts as going.
const GOING: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Returns the time before which an image must have been pulled last to count as going; `None`: images are not removed
/// for their age. `unpulled_days` is the number of days after its last pull after which an image is removed, if at all.
pub fn going_before(unpulled_days: Option<u32>, now: Timestamp) -> Option<Timestamp> {
    let days = SignedDuration::from_hours(24 * i64::from(unpulled_days?));
    now.checked_add(GOING).ok()?.checked_sub(days).ok()
}

impl ShownImage {
    /// Returns the time at which the image is removed unless somebody pulls it; `unpulled_days` is the number of days
    /// after its last pull after which that happens, if at all.
    pub fn expires_at(&self, unpulled_days: Option<u32>) -> Option<Timestamp> {
        let days = unpulled_days.filter(|_| !self.image.pinned)?;
        self.image.last_pulled_at.checked_add(SignedDuration::from_hours(24 * i64::from(days))).ok()
    }

    /// Returns the time of the removal, if it is shown as the state of the image: it is within 7 days, and the image is
    /// complete.
    pub fn going_at(&self, unpulled_days: Option<u32>, now: Timestamp) -> Option<Timestamp> {
        let is_complete = matches!(self.state, ImageState::Fresh | ImageState::Stale { .. });
        self.expires_at(unpulled_days).filter(|at| is_complete && at.duration_since(now) < GOING)
    }
}
