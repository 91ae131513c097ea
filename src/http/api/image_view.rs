//! Cached images and sizes of caches, as the API shows them.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::actors::images::{Earlier, GroupTotals, ImageState, ShownImage};
use crate::domain::group::Group;
use crate::domain::reference::Reference;
use crate::domain::traffic::Traffic;

/// Returns an image. `state` is `fresh`, `stale`, `incomplete` if a pull needs upstream, because content is not stored,
/// `arriving`, or `going` if it is removed within 7 days unless somebody pulls it; what is beside it says why.
/// `unpulled_days` is the number of days after its last pull after which it is
/// removed.
pub(super) fn image(shown: &ShownImage, unpulled_days: Option<u32>, now: Timestamp) -> Value {
    let ShownImage { image, state } = shown;
    let tag = match &image.key.reference {
        Reference::Tag(tag) => Some(tag.as_str()),
        Reference::Digest(_) => None,
    };
    let platforms: Vec<String> = image.platforms.iter().map(ToString::to_string).collect();
    let mut view = json!({
        "name": image.key.origin.image_name(),
        // An image is listed once for each account with which it was pulled.
        "account": Some(image.key.origin.account.username()).filter(|username| !username.is_empty()),
        "tag": tag,
        "digest": image.digest,
        "platforms": platforms,
        "size": image.size,
        "cached_at": format!("{:.3}", image.cached_at),
        "last_pulled_at": format!("{:.3}", image.last_pulled_at),
        "pulls": image.pulls,
        "pinned": image.pinned,
        "checked_at": image.checked_at.map(|at| format!("{at:.3}")),
        "expires_at": shown.expires_at(unpulled_days).map(|at| format!("{at:.3}")),
    });
    match state {
        _ if shown.going_at(unpulled_days, now).is_some() => view["state"] = json!("going"),
        ImageState::Incomplete => view["state"] = json!("incomplete"),
        ImageState::Fresh => view["state"] = json!("fresh"),
        ImageState::Stale { because } => {
            view["state"] = json!("stale");
            view["stale_because"] = json!(because);
        }
        ImageState::Arriving { received, length } => {
            view["state"] = json!("arriving");
            view["arriving"] = json!({"received": received, "length": length});
        }
    }
    view
}

/// Returns what a tag stood for before it moved, the oldest first.
pub(super) fn history(earlier: &[Earlier]) -> Value {
    let one = |earlier: &Earlier| json!({"digest": earlier.digest, "cached_at": format!("{:.3}", earlier.cached_at)});
    earlier.iter().map(one).collect()
}

/// Returns the sizes of what a group has cached.
pub(super) fn group_sizes(group: &Group, totals: GroupTotals) -> Value {
    let GroupTotals { bytes, blobs, manifests, images } = totals;
    json!({
        "group_id": group.id,
        "full_path": group.path.as_str(),
        "bytes": bytes,
        "max_bytes": group.cache.max_bytes,
        "images": images,
        "blobs": blobs,
        "manifests": manifests,
    })
}

/// Returns pulls and bytes.
pub(super) fn traffic(traffic: &Traffic) -> Value {
    json!({
        "pulls": traffic.pulls(),
        "hits": traffic.hits,
        "joined": traffic.joined,
        "fetched": traffic.fetched,
        "hit_ratio": traffic.hit_ratio(),
        "saved_pulls": traffic.saved_pulls,
        "served_bytes": traffic.served_bytes,
        "saved_bytes": traffic.saved_bytes,
    })
}

/// Returns the name of an image for the log.
pub(super) fn name(shown: &ShownImage) -> String {
    shown.image.key.origin.name_of(&shown.image.key.reference)
}
