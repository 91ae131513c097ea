//! Parsers of single values in the settings, for `#[serde(deserialize_with)]`: empty strings that mean "not set",
//! addresses, URLs and [quantities](quantity). They know no section: the layers have structs of their own keys.

pub mod quantity;

use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;
use serde::de::{Deserialize, Deserializer, Error};
use url::Url;

/// Reads a text; an empty one is `None`.
///
/// # Errors
///
/// Fails if the value is not one, with a sentence that follows the name of the key.
pub fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Some(String::deserialize(from)?).filter(|text| !text.is_empty()))
}

/// Reads a text that must not be empty.
///
/// # Errors
///
/// Fails if the value is not one, with a sentence that follows the name of the key.
pub fn some_text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    text(from)?.ok_or_else(|| D::Error::custom("is empty"))
}

/// Reads a path; an empty one is `None`.
///
/// # Errors
///
/// Fails if the value is not one, with a sentence that follows the name of the key.
pub fn path<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    Ok(text(from)?.map(PathBuf::from))
}

/// Reads a secret; an empty one is `None`.
///
/// # Errors
///
/// Fails if the value is not one, with a sentence that follows the name of the key.
pub fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    Ok(text(from)?.map(SecretString::from))
}

/// Reads an IP address with a port.
///
/// # Errors
///
/// Fails if the value is not one, with a sentence that follows the name of the key.
pub fn address<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    optional_address(from)?.ok_or_else(|| D::Error::custom("is empty"))
}

/// Reads an IP address with a port; an empty text is `None`.
///
/// # Errors
///
/// Fails if the value is not one, with a sentence that follows the name of the key.
pub fn optional_address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let parse = |text: String| {
        let wrong = |_| D::Error::custom(format_args!("'{text}' is not an address with a port such as 127.0.0.1:5050"));
        text.parse().map_err(wrong)
    };
    text(from)?.map(parse).transpose()
}

/// Reads an absolute `http` or `https` URL without credentials, query or fragment.
///
/// # Errors
///
/// Fails if the value is not one, with a sentence that follows the name of the key.
pub fn url<'de, D: Deserializer<'de>>(from: D) -> Result<Url, D::Error> {
    optional_url(from)?.ok_or_else(|| D::Error::custom("is empty"))
}

/// Reads a list of URLs, each as [`url()`] does.
///
/// # Errors
///
/// Fails if an item is not one, with a sentence that follows the name of the key.
pub fn urls<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Url>, D::Error> {
    #[derive(serde::Deserialize)]
    struct Item(#[serde(deserialize_with = "url")] Url);

    Ok(Vec::<Item>::deserialize(from)?.into_iter().map(|Item(url)| url).collect())
}

/// Reads a URL as [`url()`] does; an empty text is `None`.
///
/// # Errors
///
/// Fails if the value is not one, with a sentence that follows the name of the key.
pub fn optional_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Url>, D::Error> {
    let Some(text) = text(from)? else { return Ok(None) };
    let Some(url) = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
    else {
        return Err(D::Error::custom("is not an absolute URL that starts with http:// or https://"));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(D::Error::custom("contains credentials, which are not allowed in this URL"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(D::Error::custom("has a query or a fragment"));
    }
    Ok(Some(url))
}
