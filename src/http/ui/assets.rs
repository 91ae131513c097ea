//! The files of the console: style sheet, script and icon. Their addresses contain the beginning of their digest, so
//! that browsers may keep them for ever.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use actix_web::{HttpResponse, web};
use std::sync::LazyLock;

use crate::auth::sha256;

/// A file of the console.
pub(super) struct Asset {
    name: &'static str,
    media_type: &'static str,
    content: &'static str,
    /// Its address.
    pub(super) address: String,
}

/// The style sheet.
pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("console.css", "text/css; charset=utf-8", include_str!("assets/console.css")));

/// The script, which copies.
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("copy.js", "text/javascript; charset=utf-8", include_str!("assets/copy.js")));

/// The icon of the browser's tab.
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")));

/// Number of characters of the digest in an address.
const DIGEST_CHARS: usize = 12;

impl Asset {
    fn new(name: &'static str, media_type: &'static str, content: &'static str) -> Self {
        let hex = sha256::digest(content.as_bytes()).hex();
        let address = format!("/-/assets/{}-{name}", &hex[..DIGEST_CHARS]);
        Self { name, media_type, content, address }
    }
}

/// Handles `GET /-/assets/<digest>-<name>`. Another digest comes from a page of another version of this program that is
/// still open: it gets the present file, which is better than none, and which the browser does not keep.
pub(super) async fn show(wanted: web::Path<String>) -> HttpResponse {
    let named = |asset: &&&Asset| wanted.ends_with(asset.name);
    let Some(asset) = [&*STYLE, &*SCRIPT, &*ICON].iter().find(named).copied() else {
        return HttpResponse::NotFound().finish();
    };
    let is_this = asset.address == format!("/-/assets/{wanted}");
    let keeps = if is_this { "public, max-age=31536000, immutable" } else { "no-cache" };
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, asset.media_type))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CACHE_CONTROL, keeps))
        .body(asset.content)
}
