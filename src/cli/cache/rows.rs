//! Tables of images and of sizes, from what the API returns.

use serde_json::{Value, json};

use crate::cli::output::{Columns, Output, bytes};

const IMAGES: Columns =
    &["image", "digest", "platforms", "size", "cached_at", "last_pulled_at", "pulls", "pinned", "state"];

/// As [`IMAGES`], where some were pulled with an account: an image is listed once for each.
const IMAGES_OF_ACCOUNTS: Columns =
    &["image", "account", "digest", "platforms", "size", "cached_at", "last_pulled_at", "pulls", "pinned", "state"];

const USAGE: Columns = &["group", "size", "quota", "images", "blobs", "manifests"];

/// Number of characters of a digest that a table shows.
pub(super) const DIGEST_CHARS: usize = "sha256:".len() + 12;

/// Returns a table of images.
pub(super) fn images(images: Vec<Value>) -> Output {
    let has_account = images.iter().any(|image| image["account"].is_string());
    let columns = if has_account { IMAGES_OF_ACCOUNTS } else { IMAGES };
    Output::Table { columns, rows: images.iter().map(image_row).collect(), values: images }
}

/// Returns a table of the sizes of groups, and those of the whole store as its last line, if they are known.
pub(super) fn sizes(groups: Vec<Value>, store: Option<&Value>) -> Output {
    let mut rows: Vec<Value> = groups.iter().map(|group| sizes_row(&group["full_path"], group)).collect();
    rows.extend(store.map(|store| sizes_row(&json!("(stored, each once)"), store)));
    Output::Table { columns: USAGE, rows, values: groups }
}

/// Returns the name of an image, with its tag or digest.
pub(super) fn name(image: &Value) -> String {
    let text = |field: &str| image[field].as_str().unwrap_or_default();
    match image["tag"].as_str() {
        Some(tag) => format!("{}:{tag}", text("name")),
        None => format!("{}@{}", text("name"), text("digest")),
    }
}

/// Returns an image as a line of a table.
fn image_row(image: &Value) -> Value {
    let mut row = image.clone();
    let text = |field: &str| image[field].as_str().unwrap_or_default();
    row["image"] = json!(name(image));
    row["digest"] = json!(text("digest").chars().take(DIGEST_CHARS).collect::<String>());
    row["size"] = json!(bytes(image["size"].as_u64().unwrap_or_default()));
    for time in ["cached_at", "last_pulled_at"] {
        row[time] = json!(text(time).split('.').next().map(|seconds| format!("{seconds}Z")));
    }
    row
}

fn sizes_row(name: &Value, sizes: &Value) -> Value {
    let mut row = sizes.clone();
    row["group"] = name.clone();
    row["size"] = json!(bytes(sizes["bytes"].as_u64().unwrap_or_default()));
    row["quota"] = json!(sizes["max_bytes"].as_u64().map(bytes));
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_a_line_with_its_whole_name_and_a_short_digest() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        let mut image = json!({
            "name": "library/alpine", "tag": "3", "digest": digest, "size": 12_345_678,
            "cached_at": "2026-11-28T14:20:00.000Z", "last_pulled_at": "2026-11-28T14:20:00.000Z",
        });
        let row = image_row(&image);
        assert_eq!(
            [&row["image"], &row["digest"], &row["size"], &row["cached_at"]],
            ["library/alpine:3", "sha256:0123456789ab", "12.3 MB", "2026-11-28T14:20:00Z"]
        );
        image["tag"] = Value::Null;
        assert_eq!(image_row(&image)["image"], format!("library/alpine@{digest}"));
    }
}
