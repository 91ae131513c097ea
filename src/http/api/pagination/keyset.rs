//! Pages of a list that grows while it is read: each continues after the last item of the one before (GitLab's keyset
//! pagination, <https://docs.gitlab.com/api/rest/#keyset-based-pagination>). Its address is in `Link`.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use serde::Serialize;

use super::{Page, read, url};
use crate::http::api::error::ApiError;
use crate::http::api::response::KeysetPage;

/// The requested part of a list whose items have ascending numbers.
pub(crate) struct Part {
    /// The page, where pages are counted.
    pub(in crate::http::api) page: Page,
    /// True if pages continue after an item.
    pub(in crate::http::api) is_keyset: bool,
    /// The item after which this page begins.
    pub(in crate::http::api) cursor: Option<u64>,
    /// True for the lowest number first.
    pub(in crate::http::api) ascending: bool,
}

impl Part {
    /// Responds with these items, of which the last one has the number `last` if others follow it.
    pub(in crate::http::api) fn respond<V: Serialize>(
        &self,
        base_url: &str,
        last: Option<u64>,
        shown: Vec<V>,
    ) -> KeysetPage<V> {
        let mut response = HttpResponse::Ok();
        response.insert_header(("X-Per-Page", self.page.per_page.to_string()));
        if let Some(last) = last {
            let own = [("cursor", last.to_string()), ("per_page", self.page.per_page.to_string())];
            let next = url(base_url, &self.page.path, &self.page.others, &own);
            response.insert_header(("Link", format!("<{next}>; rel=\"next\"")));
        }
        KeysetPage::of(response.json(shown))
    }
}

impl FromRequest for Part {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read_part(request.uri().path(), request.query_string()))
    }
}

fn read_part(path: &str, query: &str) -> Result<Part, ApiError> {
    let mut page = read(path, query)?;
    let text = |name: &str| page.others.iter().rev().find(|(key, _)| key == name).map(|(_, text)| text.as_str());
    let is_keyset = match text("pagination") {
        None | Some("offset") => false,
        Some("keyset") => true,
        Some(_) => return Err(ApiError::invalid_value("pagination")),
    };
    if !matches!(text("order_by"), None | Some("id")) {
        return Err(ApiError::invalid_value("order_by"));
    }
    let ascending = match text("sort") {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(_) => return Err(ApiError::invalid_value("sort")),
    };
    let cursor = text("cursor").map(|text| text.parse().map_err(|_| ApiError::malformed("cursor"))).transpose()?;
    if cursor.is_some() && !is_keyset {
        return Err(ApiError::Parameter("cursor needs pagination=keyset".to_owned()));
    }
    page.others.retain(|(key, _)| key != "cursor");
    Ok(Part { page, is_keyset, cursor, ascending })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_has_the_same_filters_and_begins_after_the_last_item() {
        let part = read_part("/api/v4/audit_events", "cursor=9&pagination=keyset&sort=asc&per_page=2&a=b%20c").unwrap();
        assert_eq!((part.cursor, part.ascending, part.is_keyset), (Some(9), true, true));
        let link = |last| part.respond::<u64>("http://h", last, Vec::new()).response().headers().get("Link").cloned();
        let next = "http://h/api/v4/audit_events?pagination=keyset&sort=asc&a=b+c&cursor=11&per_page=2";
        assert_eq!(link(Some(11)).unwrap(), format!("<{next}>; rel=\"next\""));
        assert_eq!(link(None), None);
    }

    #[test]
    fn a_wrong_value_is_named() {
        for (query, name) in [
            ("pagination=x", "pagination"),
            ("order_by=created_at", "order_by"),
            ("sort=up", "sort"),
            ("pagination=keyset&cursor=x", "cursor"),
            ("cursor=4", "cursor"),
            ("per_page=0", "per_page"),
        ] {
            let error = read_part("/", query).err().unwrap().to_string();
            assert!(error.starts_with(name), "{query}: {error}");
        }
    }
}
