//! Lists in pages that only their opaque tokens lead to, as several registries have them.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{requests::Request, wire::Reply};

/// How lists are paged.
#[derive(Clone, Copy)]
pub(super) struct Pages {
    /// The parameter that carries the token.
    pub(super) parameter: &'static str,
    /// The longest page; `n` may ask for less.
    pub(super) size: usize,
}

impl Pages {
    /// The page that the token of this request leads to, the first without one, with a link to the next.
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

    /// Where the page begins; none for a token that was never given out in this spelling.
    fn start(self, request: &Request, items: usize) -> Option<usize> {
        let parameters = request.query_string.split('&').filter_map(|parameter| parameter.split_once('='));
        let mut tokens = parameters.filter(|(name, _)| *name == self.parameter).map(|(_, token)| token);
        match tokens.next() {
            None => Some(0),
            Some(token) => (0..items).find(|&start| self::token(start) == token),
        }
    }

    /// The token, then the other parameters as they were.
    fn next_query(self, request: &Request, start: usize) -> String {
        let is_other = |parameter: &&str| !parameter.is_empty() && !parameter.starts_with(self.parameter);
        let others = request.query_string.split('&').filter(is_other);
        let token = format!("{}={}", self.parameter, token(start));
        std::iter::once(token.as_str()).chain(others).collect::<Vec<_>>().join("&")
    }
}

/// Base64, whose `=` is percent-encoded.
fn token(start: usize) -> String {
    BASE64_STANDARD.encode(format!("{start}")).replace('=', "%3D")
}
