//! Pagination of lists, with the headers that GitLab's clients follow: `X-Total` and related ones, and `Link`
//! (<https://docs.gitlab.com/api/rest/#pagination>).

pub(super) mod keyset;

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use serde::Serialize;

use super::error::ApiError;
use super::response::ListPage;

const DEFAULT_PER_PAGE: usize = 20;
const MAX_PER_PAGE: usize = 100;

/// The requested part of a list. Pages are counted from 1 and have 1 to 100 items.
pub(crate) struct Page {
    number: usize,
    per_page: usize,
    path: String,
    others: Vec<(String, String)>,
}

impl Page {
    /// Responds with this page of the items. `show` is called only for those on the page.
    pub(super) fn of<T, V: Serialize>(&self, base_url: &str, items: &[T], show: impl Fn(&T) -> V) -> ListPage<V> {
        let shown = items.iter().skip(self.skipped()).take(self.per_page).map(show).collect();
        self.part(base_url, items.len(), shown)
    }

    /// Returns the number of items before this page.
    pub(super) fn skipped(&self) -> usize {
        (self.number - 1).saturating_mul(self.per_page)
    }

    /// Returns the maximum number of items on the page.
    pub(super) fn per_page(&self) -> usize {
        self.per_page
    }

    /// Responds with the items of this page of a list that has this number of items.
    pub(super) fn part<V: Serialize>(&self, base_url: &str, total: usize, shown: Vec<V>) -> ListPage<V> {
        let pages = total.div_ceil(self.per_page).max(1);
        let next = (self.number < pages).then(|| self.number + 1);
        let previous = (1 < self.number && self.number <= pages + 1).then(|| self.number - 1);
        let text = |number: Option<usize>| number.map(|number| number.to_string()).unwrap_or_default();
        let response = HttpResponse::Ok()
            .insert_header(("X-Total", total.to_string()))
            .insert_header(("X-Total-Pages", pages.to_string()))
            .insert_header(("X-Per-Page", self.per_page.to_string()))
            .insert_header(("X-Page", self.number.to_string()))
            .insert_header(("X-Next-Page", text(next)))
            .insert_header(("X-Prev-Page", text(previous)))
            .insert_header(("Link", self.links(base_url, previous, next, pages)))
            .json(shown);
        ListPage::of(response)
    }

    fn links(&self, base_url: &str, previous: Option<usize>, next: Option<usize>, last: usize) -> String {
        let targets = [("prev", previous), ("next", next), ("first", Some(1)), ("last", Some(last))];
        let link = |(relation, number): (&str, Option<usize>)| {
            number.map(|number| format!("<{}>; rel=\"{relation}\"", self.url(base_url, number)))
        };
        targets.into_iter().filter_map(link).collect::<Vec<_>>().join(", ")
    }

    fn url(&self, base_url: &str, number: usize) -> String {
        let own = [("page", number.to_string()), ("per_page", self.per_page.to_string())];
        url(base_url, &self.path, &self.others, &own)
    }
}

impl FromRequest for Page {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read(request.uri().path(), request.query_string()))
    }
}

/// Returns the address of a page, with the other parameters of the request and its own.
fn url(base_url: &str, path: &str, others: &[(String, String)], own: &[(&str, String)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(others).extend_pairs(own);
    format!("{base_url}{path}?{}", query.finish())
}

fn read(path: &str, query: &str) -> Result<Page, ApiError> {
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let requested = |name: &str| match pairs.iter().rev().find(|(key, _)| key == name) {
        None => Ok(None),
        Some((_, text)) => text.parse::<usize>().map(Some).map_err(|_| ApiError::malformed(name)),
    };
    let (number, per_page) = (requested("page")?.unwrap_or(1), requested("per_page")?.unwrap_or(DEFAULT_PER_PAGE));
    if number == 0 || per_page == 0 {
        return Err(ApiError::invalid_value(if number == 0 { "page" } else { "per_page" }));
    }
    let others = pairs.iter().filter(|(key, _)| key != "page" && key != "per_page").cloned().collect();
    Ok(Page { number, per_page: per_page.min(MAX_PER_PAGE), path: path.to_owned(), others })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn headers(query: &str, total: usize) -> Vec<String> {
        let items: Vec<usize> = (0..total).collect();
        let response = read("/api/v4/groups/a%2Fb/members", query).unwrap().of("http://h", &items, |n| *n).response();
        let header = |name| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
        ["X-Total", "X-Total-Pages", "X-Page", "X-Next-Page", "X-Prev-Page", "Link"].map(header).into()
    }

    #[test]
    fn a_page_in_the_middle_leads_to_its_neighbours() {
        let url = "http://h/api/v4/groups/a%2Fb/members?query=x&page";
        let link = format!(
            "<{url}=1&per_page=2>; rel=\"prev\", <{url}=3&per_page=2>; rel=\"next\", \
             <{url}=1&per_page=2>; rel=\"first\", <{url}=3&per_page=2>; rel=\"last\""
        );
        assert_eq!(headers("page=2&per_page=2&query=x", 5), ["5", "3", "2", "3", "1", &link]);
    }

    #[test]
    fn an_empty_list_is_one_page() {
        assert_eq!(headers("", 0)[..5], ["0", "1", "1", "", ""]);
        assert_eq!(headers("page=7", 3)[..5], ["3", "1", "7", "", ""]);
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(read("/", "per_page=5000").unwrap().per_page, 100);
        assert!(read("/", "per_page=0").is_err() && read("/", "page=0").is_err() && read("/", "page=x").is_err());
        assert!(read("/", "page=18446744073709551615").is_ok());
    }
}
