//! Query parameters of a request (RFC 3986, section 3.4).

use actix_web::HttpRequest;

/// Returns the value of the first query parameter of this name, decoded.
pub(super) fn query_value(request: &HttpRequest, name: &str) -> Option<String> {
    if request.query_string().is_empty() {
        return None;
    }
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(request.query_string()).unwrap_or_default();
    pairs.into_iter().find_map(|(key, value)| (key == name).then_some(value))
}
