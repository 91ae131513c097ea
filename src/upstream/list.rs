//! Lists (OCI distribution specification, "Content Discovery"), one page at a time: validation of the body, and
//! evaluation of the headers. The body decides, whatever its `Content-Type` is: some registries send `text/plain`.

use bytes::Bytes;
use reqwest::header::{HeaderMap, LINK};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::error::UpstreamError;
use super::{link_header, response};
use crate::domain::list_query::ListQuery;
use crate::domain::manifest::ACCEPTED;

/// Maximum length in bytes of a page that is passed on.
pub const MAX_LIST_BYTES: usize = 4 << 20;

/// A page of a list, as upstream sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPage {
    /// The body, of at most [`MAX_LIST_BYTES`].
    pub body: Bytes,
    /// The media type without parameters: upstream's own if it is a JSON type, else the standard type of the list.
    pub media_type: String,
    /// Query of the next page, if there is one.
    pub next: Option<ListQuery>,
    /// Value of `OCI-Filters-Applied`: the filters that upstream applied.
    pub filters: Option<String>,
}

/// Kind of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListKind {
    /// The tags of a repository.
    Tags,
    /// The manifests that refer to a given one.
    Referrers,
}

impl ListPage {
    /// Returns the page with these headers and this body, which was requested with the query `sent`. Fails if the
    /// body is not a list of this kind.
    pub(super) fn read(
        kind: ListKind,
        sent: &ListQuery,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Self, UpstreamError> {
        if !kind.is_list(&body) {
            return Err(UpstreamError::InvalidResponse { what: "not a list" });
        }
        let json = response::content_head(headers).media_type.filter(|media_type| media_type.ends_with("json"));
        let media_type = json.unwrap_or_else(|| kind.media_type().to_owned());
        let filters = texts(headers, FILTERS_APPLIED).collect::<Vec<_>>().join(",");
        let filters = Some(filters).filter(|filters| !filters.is_empty());
        Ok(Self { body, media_type, next: next(sent, headers), filters })
    }

    /// Returns the page, with the mark of its registry in the query of the next one.
    pub(super) fn marked(self, mark: &str) -> Self {
        Self { next: self.next.map(|next| next.with_mark(mark)), ..self }
    }
}

const FILTERS_APPLIED: &str = "oci-filters-applied";

/// Returns the query of the next page from upstream's link. A link to the same page, or without a usable query, is
/// ignored, because clients would request it forever.
fn next(sent: &ListQuery, headers: &HeaderMap) -> Option<ListQuery> {
    let target = link_header::next_target(texts(headers, LINK.as_str()))?;
    let next = link_header::query_of(target).filter(|next| next != sent);
    if next.is_none() {
        // Each request for such a page would repeat it.
        tracing::debug!("the link to the next page of a list leads to the same page or cannot be passed on");
    }
    next
}

fn texts<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}

impl ListKind {
    fn media_type(self) -> &'static str {
        match self {
            Self::Tags => "application/json",
            Self::Referrers => ACCEPTED[0],
        }
    }

    fn is_list(self, body: &[u8]) -> bool {
        // serde also reads a structure from an array.
        if !body.trim_ascii_start().starts_with(b"{") {
            return false;
        }
        match self {
            Self::Tags => serde_json::from_slice(body).is_ok_and(|page: TagPage| page.tags || page.name.is_some()),
            Self::Referrers => serde_json::from_slice(body).is_ok_and(|page: ReferrerPage| page.manifests),
        }
    }
}

/// A page of tags. An empty list may be `null`, or left out beside the name of the repository.
#[derive(Deserialize)]
struct TagPage {
    name: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "is_array_or_null")]
    tags: bool,
}

#[derive(Deserialize)]
struct ReferrerPage {
    #[serde(default, deserialize_with = "is_array_or_null")]
    manifests: bool,
}

fn is_array_or_null<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    Option::<Vec<IgnoredAny>>::deserialize(value).map(|_| true)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TAGS: &str = r#"{"name":"a","tags":["1"]}"#;
    const REFERRERS: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

    fn read(kind: ListKind, fields: &[(&'static str, &str)], body: &str) -> Result<ListPage, UpstreamError> {
        let headers = fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        ListPage::read(kind, &"n=1".parse().unwrap(), &headers, Bytes::from(body.to_owned()))
    }

    #[test]
    fn the_body_decides_what_is_a_list() {
        for body in [TAGS, r#"{"tags":null}"#, r#"{"tags":[]}"#, r#"{"name":"a"}"#, r#" {"x":{},"tags":[1,{}]} "#] {
            assert!(read(ListKind::Tags, &[], body).is_ok(), "{body}");
        }
        for body in ["", "{}", "null", r#"["a"]"#, "<html>", r#"{"errors":[]}"#, r#"{"tags":"1"}"#, r#"{"tags":["1""#] {
            assert!(matches!(read(ListKind::Tags, &[], body), Err(UpstreamError::InvalidResponse { .. })), "{body}");
        }
        assert!(read(ListKind::Referrers, &[], REFERRERS).is_ok());
        assert!(read(ListKind::Referrers, &[], r#"{"manifests":null}"#).is_ok());
        for body in [TAGS, "<html>", r#"{"schemaVersion":2}"#, r#"{"manifests":{}}"#] {
            assert!(read(ListKind::Referrers, &[], body).is_err(), "{body}");
        }
    }

    #[test]
    fn a_type_that_is_no_json_is_replaced() {
        let typed = |kind, sent, body| read(kind, &[("content-type", sent)], body).unwrap().media_type;
        for sent in ["text/plain; charset=utf-8", "application/octet-stream", "text/html", ""] {
            assert_eq!(typed(ListKind::Tags, sent, TAGS), "application/json", "{sent}");
            assert_eq!(typed(ListKind::Referrers, sent, REFERRERS), ACCEPTED[0], "{sent}");
        }
        assert_eq!(typed(ListKind::Tags, "application/json; charset=utf-8", TAGS), "application/json");
        assert_eq!(typed(ListKind::Referrers, "application/json", REFERRERS), "application/json", "as upstream says");
    }

    #[test]
    fn a_link_to_the_same_page_is_none() {
        let next = |link: &str| read(ListKind::Tags, &[("link", link)], TAGS).unwrap().next;
        assert_eq!(next("</x?n=1&p=2>; rel=next"), Some("n=1&p=2".parse().unwrap()));
        for link in ["</x?n=1>; rel=next", "</x?ns=a&n=1>; rel=next", "</x>; rel=next", "</x/page/2>; rel=next"] {
            assert_eq!(next(link), None, "{link}");
        }
    }

    #[test]
    fn the_filters_that_were_applied_are_kept() {
        let filters = |fields: &[(&'static str, &str)]| read(ListKind::Referrers, fields, REFERRERS).unwrap().filters;
        assert_eq!(filters(&[]), None);
        let both = [("oci-filters-applied", "artifactType"), ("oci-filters-applied", "other")];
        assert_eq!(filters(&both[..1]).as_deref(), Some("artifactType"));
        assert_eq!(filters(&both).as_deref(), Some("artifactType,other"));
    }

    proptest! {
        #[test]
        fn only_an_object_with_a_list_is_passed_on_and_byte_for_byte(
            bytes: Vec<u8>, of_tags: bool,
            near_miss in "[\\[{](\"(tags|name|manifests|x)\":(null|\\[\\]|\\[\"a\"\\]|\\{\\}|1),?){0,3}[}\\]]",
        ) {
            let kind = if of_tags { ListKind::Tags } else { ListKind::Referrers };
            for body in [&bytes[..], near_miss.as_bytes()] {
                let page = ListPage::read(kind, &ListQuery::default(), &HeaderMap::new(), Bytes::copy_from_slice(body));
                let Ok(page) = page else { continue };
                prop_assert_eq!(&page.body[..], body);
                let document: serde_json::Value = serde_json::from_slice(body).unwrap();
                let key = if kind == ListKind::Tags { "tags" } else { "manifests" };
                let listed = document.get(key);
                prop_assert!(listed.is_none_or(|list| list.is_array() || list.is_null()), "{}", near_miss);
                let is_list = listed.is_some() || document.get("name").is_some();
                prop_assert!(document.is_object() && is_list, "{}", near_miss);
            }
        }
    }
}
