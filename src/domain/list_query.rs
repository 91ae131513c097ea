//! The query of a list of tags or referrers (OCI distribution specification, "Content Discovery"). It is opaque: the
//! registry that pages the list created it, and it is passed on byte for byte. Only the parameter `ns` belongs to
//! this service, and a last one that names the registry of an upstream with mirrors.

use std::str::FromStr;

use percent_encoding::percent_decode_str;

/// Maximum length of a query that is passed on, in bytes. `ns` and a mark do not count, so that a client that uses them
/// can follow every link.
pub const MAX_LIST_QUERY_BYTES: usize = 4096;

/// The name of the parameter with the mark of a registry. Another instance of this service, as upstream, uses the same:
/// therefore only the last one counts, and one that is not known is passed on.
const MARK: &str = "dependency_proxy_registry=";

/// A query without its `?` and without `ns`: printable ASCII without spaces, in its original order and spelling. May
/// be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery(String);

/// The reason why a text is not a valid list query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListQueryError {
    /// The query is longer than [`MAX_LIST_QUERY_BYTES`].
    #[error("the query of a list has at most {MAX_LIST_QUERY_BYTES} bytes")]
    TooLong,
    /// The query contains spaces, control characters or characters beyond ASCII.
    #[error("the query of a list has printable ASCII characters only; percent-encode all others")]
    Characters,
}

impl ListQuery {
    /// Returns the query as received, without `ns`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true if nothing is left to pass on.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the query with the mark of the registry that created it.
    pub fn with_mark(self, mark: &str) -> Self {
        Self(format!("{}&{MARK}{mark}", self.0))
    }

    /// Returns the query without its mark, and the mark; `None` if it has none.
    pub fn marked(&self) -> Option<(Self, &str)> {
        let (query, mark) = self.0.rsplit_once('&')?;
        Some((Self(query.to_owned()), mark.strip_prefix(MARK)?))
    }

    /// Returns the query with this parameter appended, as [`namespace_parameter`] found it in the query of a client.
    pub fn with_namespace(&self, parameter: Option<&str>) -> String {
        let parameters = [self.as_str(), parameter.unwrap_or_default()];
        parameters.into_iter().filter(|parameter| !parameter.is_empty()).collect::<Vec<_>>().join("&")
    }
}

impl FromStr for ListQuery {
    type Err = ListQueryError;

    fn from_str(query: &str) -> Result<Self, ListQueryError> {
        if !query.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ListQueryError::Characters);
        }
        let others: Vec<_> = query.split('&').filter(|parameter| !is_namespace(parameter)).collect();
        let query = Self(others.join("&"));
        let passed_on = query.marked().map_or(query.0.len(), |(query, _)| query.0.len());
        if passed_on > MAX_LIST_QUERY_BYTES { Err(ListQueryError::TooLong) } else { Ok(query) }
    }
}

/// Returns the first parameter `ns` of a query, name and value as the client wrote them.
pub fn namespace_parameter(query: &str) -> Option<&str> {
    query.split('&').find(|parameter| is_namespace(parameter))
}

/// Returns true if the parameter is `ns`, with or without a value, in any percent-encoding (WHATWG URL standard,
/// `application/x-www-form-urlencoded`).
fn is_namespace(parameter: &str) -> bool {
    let name = parameter.split('=').next().unwrap_or(parameter);
    percent_decode_str(name).eq(*b"ns")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(query: &str) -> String {
        query.parse::<ListQuery>().unwrap().as_str().to_owned()
    }

    #[test]
    fn every_byte_is_kept_but_ns() {
        for query in [
            "",
            "next_page=NTA%3D&n=50",
            "n=50&next_page=NTA=",
            "last=a+b%20c%2Fd%2fe&&flag&=x&n=1&n=2",
            "nextToken=a/b?c:d@e!$'()*,;f~[g]|h",
            "nsx=1&xns=2&NS=3&n%73x=4",
        ] {
            assert_eq!(kept(query), query);
        }
        for query in ["n=2&ns=a&last=b", "ns=a&n=2&last=b", "n=2&last=b&ns", "n=2&n%73=a&last=b&%6e%73&ns=&ns=b"] {
            assert_eq!(kept(query), "n=2&last=b", "{query}");
        }
        assert_eq!(kept("ns=docker.io"), "");
    }

    #[test]
    fn the_namespace_goes_back_as_the_client_wrote_it() {
        let query: ListQuery = "last=a%2Fb".parse().unwrap();
        for (requested, returned) in [
            ("n=1", "last=a%2Fb"),
            ("ns=ghcr.io&n=1", "last=a%2Fb&ns=ghcr.io"),
            ("n=1&n%73=mirror%3A5000&ns=other", "last=a%2Fb&n%73=mirror%3A5000"),
        ] {
            assert_eq!(query.with_namespace(namespace_parameter(requested)), returned, "{requested}");
        }
        assert_eq!(ListQuery::default().with_namespace(Some("ns=a")), "ns=a");
    }

    #[test]
    fn the_last_mark_alone_is_taken_off() {
        let query: ListQuery = "n=2&last=a".parse().unwrap();
        let (once, twice) = (query.clone().with_mark("one"), query.clone().with_mark("one").with_mark("two"));
        assert_eq!(once.marked(), Some((query.clone(), "one")));
        assert_eq!(twice.marked(), Some((once, "two")));
        assert_eq!(query.marked(), None);
        let long: ListQuery = "a".repeat(MAX_LIST_QUERY_BYTES).parse().unwrap();
        assert!(long.with_mark("one").as_str().parse::<ListQuery>().is_ok());
    }

    #[test]
    fn what_cannot_stand_in_a_request_is_refused() {
        for query in ["a b", "a\tb", "a\r\nb", "ä", "\u{7f}"] {
            assert_eq!(query.parse::<ListQuery>(), Err(ListQueryError::Characters), "{query:?}");
        }
        assert!("a".repeat(MAX_LIST_QUERY_BYTES).parse::<ListQuery>().is_ok());
        assert!(format!("ns=docker.io&{}", "a".repeat(MAX_LIST_QUERY_BYTES)).parse::<ListQuery>().is_ok());
        assert_eq!("a".repeat(MAX_LIST_QUERY_BYTES + 1).parse::<ListQuery>(), Err(ListQueryError::TooLong));
    }

    proptest! {
        #[test]
        fn nothing_is_added_or_moved(query in "([!-~]|&|ns|=){0,40}") {
            let kept = kept(&query);
            prop_assert!(kept.split('&').all(|parameter| !is_namespace(parameter)));
            let again: ListQuery = kept.parse().unwrap();
            prop_assert_eq!(again.as_str(), &kept);
            prop_assert!(query.split('&').count() >= kept.split('&').count());
        }
    }
}
