//! Properties of manifests and indexes, for whatever bytes upstream sends. Shared by the tests and `tests/fuzz`.

use std::collections::HashMap;

use serde::de::IgnoredAny;
use serde_json::Value;

use super::{ACCEPTED, identify, parse};
use crate::domain::platform;

/// Asserts that what is accepted is a JSON object of the media type that is returned, under which it is accepted again
/// with the same content, and that its own bytes name all of that content.
pub(crate) fn hold(bytes: &[u8]) {
    let platforms = platform::of_index(bytes);
    if let Some(platform) = platform::of_configuration(bytes) {
        assert_eq!(platform.to_string().parse(), Ok(platform));
    }
    for wanted in ACCEPTED.into_iter().map(Some).chain([None]) {
        let Ok((media_type, named)) = identify(wanted, bytes) else { continue };
        assert!(ACCEPTED.contains(&media_type.as_str()) && wanted.is_none_or(|wanted| wanted == media_type));
        assert_eq!(parse(&media_type, bytes).ok().as_ref(), Some(&named), "{media_type}");
        // Fields that are not read may have bytes that are not UTF-8: clients replace them, and accept the manifest.
        let text = String::from_utf8_lossy(bytes);
        assert!(serde_json::from_str::<HashMap<String, IgnoredAny>>(&text).is_ok(), "{text}");
        // A number in a field that is not read may be too large for a reader of all values.
        let Ok(document) = serde_json::from_str::<Value>(&text) else { continue };
        let in_document = digests(&document);
        for descriptor in named.blobs.iter().chain(&named.manifests) {
            assert!(in_document.contains(&descriptor.digest.to_string()), "{}", descriptor.digest);
        }
        let is_index = media_type.contains(".index.") || media_type.contains(".list.");
        assert!(if is_index { named.blobs.is_empty() } else { named.manifests.is_empty() }, "{media_type}");
        if is_index {
            let names = |digest| named.manifests.iter().any(|manifest| manifest.digest == digest);
            assert!(platforms.iter().all(|(digest, _)| names(*digest)), "a platform of what the index does not name");
        }
    }
}

/// Returns the values of the fields `digest` of all objects in this value.
fn digests(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(digests).collect(),
        Value::Object(fields) => {
            let own = fields.get("digest").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(digests)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}
