//! Cached images and sizes of caches, as the API shows them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::response::Time;
use crate::actors::images::{Earlier, GroupTotals, ImageState, ShownImage};
use crate::domain::group::Group;
use crate::domain::reference::Reference;
use crate::domain::traffic::Traffic;

/// An image that a group has cached, once for each account with which it was pulled.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CachedImage")]
pub(super) struct ImageView {
    /// The image without tag and digest.
    name: String,
    /// The user name with which it was pulled from its registry; `null`: without an account.
    account: Option<String>,
    /// The tag; `null` if it was pulled by its digest.
    tag: Option<String>,
    /// The digest of its manifest or index.
    digest: String,
    /// The platforms of its stored manifests.
    platforms: Vec<String>,
    /// The bytes that are stored of it, of all platforms together.
    size: u64,
    /// The time since which the tag stands for this digest here.
    cached_at: Time,
    /// The time of the last pull, to the minute.
    last_pulled_at: Time,
    /// The number of pulls. Those of one credential within a minute count as one.
    pulls: u64,
    /// True if it is neither evicted nor removed for its age.
    pinned: bool,
    /// The time at which the registry last confirmed the tag; `null` for a digest.
    checked_at: Option<Time>,
    /// The time at which it is removed unless somebody pulls it; `null`: never for its age.
    expires_at: Option<Time>,
    state: StateView,
    /// The reason why the registry did not confirm the tag, as a sentence; only of a stale image.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    stale_because: Option<String>,
    /// The progress of the download; only of an arriving image.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ArrivingView")]
    arriving: Option<ArrivingView>,
}

/// The state of a cached image.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "CachedImageState")]
enum StateView {
    /// The registry confirmed it when it was last requested, or it was pulled by its digest.
    Fresh,
    /// It was served since the registry did not confirm it.
    Stale,
    /// Content is not stored, so that a pull needs the registry.
    Incomplete,
    /// Content is being downloaded.
    Arriving,
    /// It is removed within 7 days unless somebody pulls it.
    Going,
}

/// The progress of the download of an image.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Arriving")]
struct ArrivingView {
    /// The bytes that have arrived.
    received: u64,
    /// Their number in the end, as far as the registry has stated it.
    length: u64,
}

/// A cached image with its history.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CachedImageWithHistory")]
pub(super) struct ImageWithHistory {
    #[serde(flatten)]
    pub(super) image: ImageView,
    /// The digests that the tag stood for before it moved, the oldest first.
    pub(super) history: Vec<EarlierView>,
}

/// A digest that a tag stood for.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EarlierDigest")]
pub(super) struct EarlierView {
    digest: String,
    /// The time since which the tag stood for it.
    cached_at: Time,
}

/// The sizes of what a group has cached. Groups below it are not counted.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "GroupSizes")]
pub(super) struct SizesView {
    group_id: u64,
    full_path: String,
    bytes: u64,
    /// The quota of the group; `null` if it has none of its own.
    max_bytes: Option<u64>,
    images: u64,
    blobs: u64,
    manifests: u64,
}

/// Pulls of manifests, and bytes of manifests and blobs.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TrafficSums")]
pub(super) struct TrafficView {
    /// The number of all pulls that had a response.
    pulls: u64,
    /// Pulls from the cache, also stale ones, and those after the registry had confirmed the manifest.
    hits: u64,
    /// Pulls that waited for the upstream request of another pull.
    coalesced: u64,
    /// Pulls that needed the registry themselves.
    fetched: u64,
    /// The share of `hits` in `pulls`, from 0 to 1; `null` without pulls.
    hit_ratio: Option<f64>,
    /// `GET` requests that sent no `GET` for the manifest to the registry.
    saved_pulls: u64,
    /// Bytes that were sent to clients.
    served_bytes: u64,
    /// Bytes of these that were in the cache, or were being downloaded for another request.
    saved_bytes: u64,
}

/// Returns an image. `unpulled_days` is the number of days after its last pull after which it is removed.
pub(super) fn image(shown: &ShownImage, unpulled_days: Option<u32>, now: Timestamp) -> ImageView {
    let image = &shown.image;
    let tag = match &image.key.reference {
        Reference::Tag(tag) => Some(tag.as_str().to_owned()),
        Reference::Digest(_) => None,
    };
    let (state, stale_because, arriving) = match &shown.state {
        _ if shown.going_at(unpulled_days, now).is_some() => (StateView::Going, None, None),
        ImageState::Incomplete => (StateView::Incomplete, None, None),
        ImageState::Fresh => (StateView::Fresh, None, None),
        ImageState::Stale { because } => (StateView::Stale, Some(because.clone()), None),
        ImageState::Arriving { received, length } => {
            (StateView::Arriving, None, Some(ArrivingView { received: *received, length: *length }))
        }
    };
    ImageView {
        name: image.key.origin.image_name(),
        account: Some(image.key.origin.account.username()).filter(|name| !name.is_empty()).map(str::to_owned),
        tag,
        digest: image.digest.to_string(),
        platforms: image.platforms.iter().map(ToString::to_string).collect(),
        size: image.size,
        cached_at: Time(image.cached_at),
        last_pulled_at: Time(image.last_pulled_at),
        pulls: image.pulls,
        pinned: image.pinned,
        checked_at: image.checked_at.map(Time),
        expires_at: shown.expires_at(unpulled_days).map(Time),
        state,
        stale_because,
        arriving,
    }
}

/// Returns what a tag stood for before it moved, the oldest first.
pub(super) fn history(earlier: &[Earlier]) -> Vec<EarlierView> {
    let one =
        |earlier: &Earlier| EarlierView { digest: earlier.digest.to_string(), cached_at: Time(earlier.cached_at) };
    earlier.iter().map(one).collect()
}

/// Returns the sizes of what a group has cached.
pub(super) fn group_sizes(group: &Group, totals: GroupTotals) -> SizesView {
    let GroupTotals { bytes, blobs, manifests, images } = totals;
    let (full_path, max_bytes) = (group.path.to_string(), group.cache.max_bytes);
    SizesView { group_id: group.id.0, full_path, bytes, max_bytes, images, blobs, manifests }
}

/// Returns pulls and bytes.
pub(super) fn traffic(traffic: &Traffic) -> TrafficView {
    TrafficView {
        pulls: traffic.pulls(),
        hits: traffic.hits,
        coalesced: traffic.coalesced,
        fetched: traffic.fetched,
        hit_ratio: traffic.hit_ratio(),
        saved_pulls: traffic.saved_pulls,
        served_bytes: traffic.served_bytes,
        saved_bytes: traffic.saved_bytes,
    }
}

/// Returns the name of an image for the log.
pub(super) fn name(shown: &ShownImage) -> String {
    shown.image.key.origin.name_of(&shown.image.key.reference)
}
