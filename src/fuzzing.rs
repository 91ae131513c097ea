//! The properties of the parsers that see foreign bytes, one function for each target of `tests/fuzz`, which is a
//! package of its own. They panic where a property does not hold. Nothing of the product.

use crate::{auth, domain, http, settings, upstream};

/// Tests a tag or a digest.
pub fn references(bytes: &[u8]) {
    domain::reference::properties::hold(bytes);
}

/// Tests a digest.
pub fn digests(bytes: &[u8]) {
    domain::digest::properties::hold(bytes);
}

/// Tests a list of scopes: one on each line, or in JSON.
pub fn scopes(bytes: &[u8]) {
    domain::scope::properties::hold(bytes);
}

/// Fields `WWW-Authenticate`, one on each line.
pub fn challenges(bytes: &[u8]) {
    domain::challenge::properties::hold(bytes);
}

/// Fields `Link`, one on each line.
pub fn link_headers(bytes: &[u8]) {
    upstream::properties::of_link_headers(bytes);
}

/// Tests a manifest, an index or a configuration.
pub fn manifests(bytes: &[u8]) {
    domain::manifest::properties::hold(bytes);
}

/// Tests a field `Range` on the first line, a field `Content-Range` on the second, the length of the content on the
/// third.
pub fn ranges(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (range, content_range, length) = (line(), line(), line());
    domain::byte_range::properties::hold(range, length.trim().parse().unwrap_or(1000));
    upstream::properties::of_content_range(content_range);
}

/// Headers of a request, one on each line.
pub fn forwarded_headers(bytes: &[u8]) {
    http::properties::of_forwarded_headers(bytes);
}

/// Tests a file of settings.
pub fn configuration(bytes: &[u8]) {
    settings::properties::hold(bytes);
}

/// Tests a login token, a part of one, or the claims of one.
pub fn jwts(bytes: &[u8]) {
    static KNOWN: std::sync::LazyLock<Option<auth::jwt::properties::Known>> =
        std::sync::LazyLock::new(auth::jwt::properties::Known::new);
    assert!(KNOWN.is_some(), "no token can be signed");
    KNOWN.iter().for_each(|known| known.hold(bytes));
}

#[cfg(test)]
mod tests;
