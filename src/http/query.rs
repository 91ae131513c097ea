//! Query parameters of a request (RFC 3986, section 3.4).

use actix_web::HttpRequest;

/// Returns the value of the first query parameter of this name, decoded.
pub(super) fn query_value(request: &HttpRequest, name: &str) -> Option<String> {
    value_in(request.query_string(), name)
}

/// Returns the value of the first parameter of this name in a query, decoded.
pub(super) fn value_in(query: &str, name: &str) -> Option<String> {
    if query.is_empty() {
        return None;
    }
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
    pairs.into_iter().find_map(|(key, value)| (key == name).then_some(value))
}
