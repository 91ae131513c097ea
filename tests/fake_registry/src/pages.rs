//! Lists in pages that are reachable only by opaque tokens, as in several registries.

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::reply::Reply;
use crate::requests::Request;

/// Settings of the paging of lists.
#[derive(Clone, Copy)]
pub(super) struct Pages {
    /// Query parameter of the token.
    pub(super) parameter: &'static str,
    /// Maximum size of a page; `n` may request fewer.
    pub(super) size: usize,
}

impl Pages {
    /// Returns the page of this request's token, or the first one without a token, with a link to the next.
    pub(super) fn reply<T>(self, request: &Request, items: &[T], page: impl FnOnce(&[T]) -> Reply) -> Reply {
        let Some(start) = self.start(request, items.len()) else {
            return Reply::error(400, "PAGINATION_TOKEN_INVALID", "no such page token");
        };
        let limit = request.parameter("n").and_then(|n| n.parse().ok()).unwrap_or(self.size).min(self.size);
        let end = items.len().min(start + limit);
        let reply = page(&items[start..end]);
        if end == items.len() {
            return reply;
        }
        reply.with("Link", format!(r#"</v2/elsewhere/list?{}>; rel="next""#, self.next_query(request, end)))
    }

    /// Returns the start of the page; `None` for a token that was never issued in this spelling.
    fn start(self, request: &Request, items: usize) -> Option<usize> {
        let parameters = request.query_string.split('&').filter_map(|parameter| parameter.split_once('='));
        let mut tokens = parameters.filter(|(name, _)| *name == self.parameter).map(|(_, token)| token);
        match tokens.next() {
            None => Some(0),
            Some(token) => (0..items).find(|&start| self::token(start) == token),
        }
    }

    /// Returns the query with the token, followed by the other parameters unchanged.
    fn next_query(self, request: &Request, start: usize) -> String {
        let is_other = |parameter: &&str| !parameter.is_empty() && !parameter.starts_with(self.parameter);
        let others = request.query_string.split('&').filter(is_other);
        let token = format!("{}={}", self.parameter, token(start));
        std::iter::once(token.as_str()).chain(others).collect::<Vec<_>>().join("&")
    }
}

/// Returns a token: base64 with percent-encoded `=`.
fn token(start: usize) -> String {
    BASE64_STANDARD.encode(format!("{start}")).replace('=', "%3D")
}
