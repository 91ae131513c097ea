//! Where a list goes on: the `Link` header (RFC 8288), of which only the query of the next page is used.

/// The query of the first link with `rel="next"`, without its `?`.
pub(super) fn next_query<'a>(fields: impl Iterator<Item = &'a str>) -> Option<String> {
    fields.flat_map(links).find(|(_, parameters)| is_next(parameters)).and_then(|(target, _)| query(target))
}

/// Each target with its parameters. A comma inside the angle brackets separates nothing.
fn links(field: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = field;
    while let Some((_, after)) = rest.split_once('<') {
        let Some((target, after)) = after.split_once('>') else { break };
        let end = after.find('<').unwrap_or(after.len());
        found.push((target, &after[..end]));
        rest = &after[end..];
    }
    found
}

fn is_next(parameters: &str) -> bool {
    parameters.split([';', ',']).filter_map(|parameter| parameter.split_once('=')).any(|(name, value)| {
        let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
        name.trim().eq_ignore_ascii_case("rel") && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
    })
}

fn query(target: &str) -> Option<String> {
    let (_, query) = target.split_once('?')?;
    let query = query.split('#').next().unwrap_or(query);
    let safe = query.len() <= 2048 && query.bytes().all(|byte| byte.is_ascii_graphic());
    (safe && !query.is_empty()).then(|| query.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn next(field: &str) -> Option<String> {
        next_query([field].into_iter())
    }

    #[test]
    fn the_next_page_is_found() {
        for field in [
            r#"</v2/library/alpine/tags/list?last=3.9&n=2>; rel="next""#,
            r#"<https://host/v2/x/tags/list?last=3.9&n=2>;rel=next"#,
            r#"</first?n=2>; rel="first", </v2/x?last=3.9&n=2#top>; title="a"; rel="last next""#,
        ] {
            assert_eq!(next(field).as_deref(), Some("last=3.9&n=2"), "{field}");
        }
    }

    #[test]
    fn what_is_no_next_page_is_none() {
        for field in
            ["", "</x?n=1>", r#"</x?n=1>; rel="prev""#, "</x>; rel=next", "</x?n=1; rel=next", "</x?a b>; rel=next"]
        {
            assert_eq!(next(field), None, "{field}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(field in "\\PC*") {
            let _ = next(&field);
        }
    }
}
