//! The `Link` header of a list, which names its next page (RFC 8288, section 3 and appendix B.2). Only the query of
//! its target is used, unchanged: path and host are those of this service.

use crate::domain::list_query::ListQuery;

/// Returns the target of the first link with `rel="next"`.
pub(super) fn next_target<'a>(fields: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    fields.flat_map(links).find(|(_, parameters)| is_next(parameters)).map(|(target, _)| target)
}

/// Returns the query of a target, if it has one that can be passed on.
pub(super) fn query_of(target: &str) -> Option<ListQuery> {
    let without_fragment = target.split('#').next().unwrap_or(target);
    let (_, query) = without_fragment.split_once('?')?;
    query.parse().ok().filter(|query: &ListQuery| !query.is_empty())
}

/// Returns each target with its parameters. A comma within angle brackets or quotes is not a separator.
fn links(field: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = field;
    while let Some((_, after)) = rest.split_once('<') {
        let Some((target, after)) = after.split_once('>') else { break };
        let (parameters, after) = split_unquoted(after, b',');
        found.push((target.trim(), parameters));
        rest = after;
    }
    found
}

/// Returns true if the relations contain `next`. Only the first `rel` counts (RFC 8288, section 3.3).
fn is_next(mut parameters: &str) -> bool {
    while !parameters.is_empty() {
        let (parameter, rest) = split_unquoted(parameters, b';');
        parameters = rest;
        let Some((name, value)) = parameter.split_once('=') else { continue };
        if name.trim().eq_ignore_ascii_case("rel") {
            let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
            return relations.any(|relation| relation.eq_ignore_ascii_case("next"));
        }
    }
    false
}

/// Splits the text at the first separator outside quotes (RFC 9110, section 5.6.4). Without a separator, returns
/// the whole text and an empty one.
fn split_unquoted(text: &str, separator: u8) -> (&str, &str) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if byte == separator && !quoted => return (&text[..at], &text[at + 1..]),
            _ => {}
        }
    }
    (text, "")
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod properties;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn next(fields: &[&str]) -> Option<String> {
        let query = query_of(next_target(fields.iter().copied())?)?;
        Some(query.as_str().to_owned())
    }

    #[test]
    fn the_next_page_is_found() {
        for field in [
            r#"</v2/library/alpine/tags/list?last=3.9&n=2>; rel="next""#,
            r#"<https://host/v2/x/tags/list?last=3.9&n=2>;rel=next"#,
            r#"<?last=3.9&n=2>; REL="Next""#,
            r#"< /v2/x?last=3.9&n=2 > ; rel = "next""#,
            r#"</v2/x?last=3.9&n=2&ns=other.test>; rel=next"#,
            r#"</first?n=2>; rel="first", </v2/x?last=3.9&n=2#top?p=1>; title="a"; rel="last next""#,
            r#"</first?n=1>; title="a, b; rel=next <x>"; rel=first, </v2/x?last=3.9&n=2>; rel=next"#,
            r#"</first?n=1>; title="\"; rel=next"; rel=first, </v2/x?last=3.9&n=2>; rel=next"#,
            r#"</first?n=1>; rel=prev; rel=next,, </v2/x?last=3.9&n=2>; rel=next, </v2/x?n=3>; rel=next"#,
        ] {
            assert_eq!(next(&[field]).as_deref(), Some("last=3.9&n=2"), "{field}");
        }
        assert_eq!(next(&["</a?n=1>; rel=prev", "</b?n=2>; rel=next"]).as_deref(), Some("n=2"));
    }

    #[test]
    fn a_query_is_taken_as_it_is() {
        for query in ["next_page=NTA%3D&n=50", "t=a,b;c", "t=a+b%20c%2f", "x=1&x=2&flag&=", "t=a?b/c"] {
            assert_eq!(next(&[&format!("</v2/x?{query}>; rel=\"next\"")]).as_deref(), Some(query));
        }
    }

    #[test]
    fn what_is_no_next_page_is_none() {
        for field in [
            "",
            "</x?n=1>",
            r#"</x?n=1>; rel="prev""#,
            r#"</x?n=1>; rel="nextish""#,
            "</x>; rel=next",
            "</x/page/2>; rel=next",
            "</x?>; rel=next",
            "</x?ns=a>; rel=next",
            "</x#?n=1>; rel=next",
            "</x?n=1; rel=next",
            "</x?a b>; rel=next",
        ] {
            assert_eq!(next(&[field]), None, "{field}");
        }
        assert_eq!(next(&[&format!("</x?{}>; rel=next", "a".repeat(5000))]), None);
    }

    proptest! {
        #[test]
        fn a_next_page_comes_from_a_link_and_can_be_passed_on(
            bytes: Vec<u8>, field in "(\\PC|[<>\";,=\\\\]|rel=next){0,60}",
            near_miss in "(<[a-z?&=#,; \"]{0,9}>|; ?rel=(\"next\"|next|prev|\"last next\")|[,;\"\n]){0,9}",
        ) {
            properties::hold(&bytes);
            properties::hold(field.as_bytes());
            properties::hold(near_miss.as_bytes());
        }

        #[test]
        fn whatever_stands_before_and_after_it_the_next_page_is_found(
            title in "[ -~]{0,20}", query in "[a-z0-9=&%+/:]{1,20}", before in prop::bool::ANY,
        ) {
            prop_assume!(query.split('&').any(|parameter| !parameter.is_empty() && !parameter.starts_with("ns")));
            let title = title.replace('\\', "\\\\").replace('"', "\\\"");
            let first = format!("</a?n=1>; title=\"{title}\"; rel=first");
            let page = format!("</b?{query}>; title=\"{title}\"; rel=next");
            let field = if before { format!("{first}, {page}") } else { format!("{page}, {first}") };
            let expected = format!("?{query}");
            prop_assert_eq!(next(&[&field]), query_of(&expected).map(|query| query.as_str().to_owned()), "{}", field);
        }
    }
}
