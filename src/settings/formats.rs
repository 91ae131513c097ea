//! Parsers of single values: empty strings that mean "not set", addresses, URLs, hosts.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;
use serde::de::{Deserialize, Deserializer, Error, IntoDeserializer, MapAccess, Visitor};
use url::Url;

use super::upstreams::HttpProxy;

/// Reads a text; an empty one is `None`.
pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Some(String::deserialize(from)?).filter(|text| !text.is_empty()))
}

/// Reads a text that must not be empty.
pub(super) fn some_text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    text(from)?.ok_or_else(|| D::Error::custom("is empty"))
}

/// Reads a path; an empty one is `None`.
pub(super) fn path<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    Ok(text(from)?.map(PathBuf::from))
}

/// Reads a secret; an empty one is `None`.
pub(super) fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    Ok(text(from)?.map(SecretString::from))
}

/// Reads an IP address with a port.
pub(super) fn address<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    optional_address(from)?.ok_or_else(|| D::Error::custom("is empty"))
}

/// Reads an IP address with a port; an empty text is `None`.
pub(super) fn optional_address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let parse = |text: String| {
        let wrong = |_| D::Error::custom(format_args!("'{text}' is not an address with a port such as 127.0.0.1:5050"));
        text.parse().map_err(wrong)
    };
    text(from)?.map(parse).transpose()
}

/// Reads an absolute `http` or `https` URL without credentials, query or fragment.
pub(super) fn url<'de, D: Deserializer<'de>>(from: D) -> Result<Url, D::Error> {
    optional_url(from)?.ok_or_else(|| D::Error::custom("is empty"))
}

/// Reads a URL as [`url()`] does; an empty text is `None`.
pub(super) fn optional_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Url>, D::Error> {
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

/// Reads the URL of an HTTP proxy, `"none"` for no proxy, or an empty text for the environment's proxy.
pub(super) fn proxy<'de, D: Deserializer<'de>>(from: D) -> Result<HttpProxy, D::Error> {
    let text = String::deserialize(from)?;
    match text.as_str() {
        "" => Ok(HttpProxy::Environment),
        "none" => Ok(HttpProxy::None),
        _ => url(text.into_deserializer()).map(HttpProxy::At),
    }
}

/// A host in lower case, with a port where it is not the default one.
#[derive(Clone, Debug)]
pub(super) struct Host(pub(super) String);

impl<'de> Deserialize<'de> for Host {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let alone = !text.contains(['/', '?', '#', '@', '\\']);
        match Url::parse(&format!("https://{text}/")) {
            Ok(url) if alone && url.has_host() => Ok(Self(text.to_ascii_lowercase())),
            _ => {
                Err(D::Error::custom(format_args!("'{text}' is not a host such as auth.example.com or 10.0.0.1:5000")))
            }
        }
    }
}

/// A table whose keys the operator chooses, in the order of the file.
pub(super) struct InOrder<T>(pub(super) Vec<(String, T)>);

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for InOrder<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = InOrder<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InOrder<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(InOrder(entries))
            }
        }

        from.deserialize_map(Entries(PhantomData))
    }
}
