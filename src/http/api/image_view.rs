//! Cached images and sizes of caches, as the API shows them.

use serde_json::{Value, json};

use crate::actors::images::{GroupTotals, ImageState, ShownImage};
use crate::domain::group::Group;
use crate::domain::reference::Reference;

/// Returns an image. `state` is `fresh`, `stale` or `arriving`; what is beside it says why.
pub(super) fn image(shown: &ShownImage) -> Value {
    let ShownImage { image, state } = shown;
    let tag = match &image.key.reference {
        Reference::Tag(tag) => Some(tag.as_str()),
        Reference::Digest(_) => None,
    };
    let platforms: Vec<String> = image.platforms.iter().map(ToString::to_string).collect();
    let mut view = json!({
        "name": image.key.origin.image_name(),
        "tag": tag,
        "digest": image.digest,
        "platforms": platforms,
        "size": image.size,
        "cached_at": format!("{:.3}", image.cached_at),
        "last_pulled_at": format!("{:.3}", image.last_pulled_at),
        "pulls": image.pulls,
        "pinned": image.pinned,
        "checked_at": image.checked_at.map(|at| format!("{at:.3}")),
    });
    match state {
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

/// Returns the sizes of what a group has cached.
pub(super) fn group_sizes(group: &Group, totals: GroupTotals) -> Value {
    let GroupTotals { bytes, blobs, manifests, images } = totals;
    json!({
        "group_id": group.id,
        "full_path": group.path.as_str(),
        "bytes": bytes,
        "images": images,
        "blobs": blobs,
        "manifests": manifests,
    })
}

/// Returns the name of an image for the log.
pub(super) fn name(shown: &ShownImage) -> String {
    let separator = if matches!(shown.image.key.reference, Reference::Digest(_)) { '@' } else { ':' };
    format!("{}{separator}{}", shown.image.key.origin.image_name(), shown.image.key.reference)
}
