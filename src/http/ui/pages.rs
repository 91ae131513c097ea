//! Lists in pages: the number of a page in an address, and the links to the pages around it.

use maud::{Markup, html};

use super::formatting::number;
use crate::http::query::value_in;

/// Number of things on a page.
pub(super) const PER_PAGE: usize = 20;

/// Maximum number of a page, so that the number of its first item does not overflow.
const MAX_PAGE: usize = 1_000_000;

/// Maximum length of a text that is searched for, in bytes.
const MAX_SEARCH_BYTES: usize = 255;

/// A page of a list whose length is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbered<'a> {
    /// The page, from 0.
    pub(super) page: usize,
    /// Number of things in the whole list.
    pub(super) total: usize,
    /// Their name, in the plural.
    pub(super) things: &'a str,
}

/// The part of a list that the query of an address requests: a search, and a page of its results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// The text that names must contain, in lower case; empty: any name fits.
    pub(super) search: String,
    /// The page, from 0.
    page: usize,
}

/// A link with its words.
pub(super) type Link<'a> = (&'a str, String);

/// Fails with a sentence if the query of an address has a search or a page that no list can have.
pub(super) fn check(query: &str) -> Result<(), String> {
    let search = value_in(query, "q").unwrap_or_default();
    if search.len() > MAX_SEARCH_BYTES {
        return Err(format!("A search cannot be longer than {MAX_SEARCH_BYTES} bytes."));
    }
    if search.chars().any(char::is_control) {
        return Err("A search cannot contain control characters.".to_owned());
    }
    let page = value_in(query, "page").filter(|page| !page.is_empty());
    let is_page = |page: String| page.parse::<usize>().is_ok_and(|page| (1..=MAX_PAGE).contains(&page));
    if page.is_none_or(is_page) { Ok(()) } else { Err("The page in the address is not a number from 1 on.".to_owned()) }
}

/// Fails with a sentence if the query of an address has a value of this name that is none of these words.
pub(super) fn check_word(query: &str, name: &str, words: &[&str]) -> Result<(), String> {
    match value_in(query, name).filter(|word| !word.is_empty()) {
        Some(word) if !words.contains(&word.as_str()) => {
            Err(format!("The value of '{name}' in the address is none of these: {}.", words.join(", ")))
        }
        _ => Ok(()),
    }
}

/// Returns the number of the page that the query of an address requests, from 0.
pub(super) fn page_in(query: &str) -> usize {
    value_in(query, "page").and_then(|page| page.parse().ok()).unwrap_or(1).clamp(1, MAX_PAGE) - 1
}

/// Returns the query of an address with those of these pairs that have a value; empty without any.
pub(super) fn query_of(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<_> = pairs.iter().filter(|(_, value)| !value.is_empty()).collect();
    let query = serde_urlencoded::to_string(pairs).unwrap_or_default();
    if query.is_empty() { query } else { format!("?{query}") }
}

/// Returns the value of `page` in an address; empty for the first one, which needs none.
pub(super) fn page_value(page: usize) -> String {
    if page > 0 { (page + 1).to_string() } else { String::new() }
}

impl Part {
    /// Reads the query of an address.
    pub(super) fn of(query: &str) -> Self {
        let search = value_in(query, "q").unwrap_or_default().trim().to_lowercase();
        Self { search, page: page_in(query) }
    }

    /// Returns those of these things that are on the page.
    pub(super) fn of_all<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        let rest = all.get(self.page.saturating_mul(PER_PAGE)..).unwrap_or_default();
        &rest[..rest.len().min(PER_PAGE)]
    }

    /// Shows the form that searches, which leads to the address `base`, if all the `total` things need several pages.
    pub(super) fn search_form(&self, base: &str, label: &str, total: usize) -> Markup {
        html! {
            @if total > PER_PAGE || !self.search.is_empty() {
                div.tools { (search_form(base, label, &self.search, &[])) }
            }
        }
    }

    /// Shows the links to the other pages of the `total` things that were found, if there are any.
    pub(super) fn links(&self, base: &str, total: usize, things: &str) -> Markup {
        html! {
            @if total > PER_PAGE || self.page > 0 { (self.numbered((base, ("", "")), total, things)) }
        }
    }

    /// Shows which part of the `total` things this is, and the links to the other pages, which keep a further pair of
    /// the query.
    pub(super) fn numbered(&self, (base, other): (&str, (&str, &str)), total: usize, things: &str) -> Markup {
        let to = |page| format!("{base}{}", query_of(&[("q", &self.search), other, ("page", &page_value(page))]));
        Numbered { page: self.page, total, things }.show(to)
    }
}

/// Shows a form that searches, which leads to the address `base` with these further pairs, as far as they have a value.
pub(super) fn search_form(base: &str, label: &str, search: &str, others: &[(&str, &str)]) -> Markup {
    html! {
        form role="search" action=(base) {
            @for (name, value) in others {
                @if !value.is_empty() { input type="hidden" name=(name) value=(value); }
            }
            label.unseen for="q" { (label) }
            input #q name="q" type="search" placeholder=(label) autocapitalize="none" value=(search);
            button { "Search" }
        }
    }
}

impl Numbered<'_> {
    /// Shows which part of the list this is, and the links to the others. `to` returns the address of a page.
    pub(super) fn show(&self, to: impl Fn(usize) -> String) -> Markup {
        let first = self.page.saturating_mul(PER_PAGE);
        let last = self.total.min(first.saturating_add(PER_PAGE));
        let total = number(self.total as u64);
        let words = if last > first {
            format!("{} to {} of {total}", number(first as u64 + 1), number(last as u64))
        } else {
            format!("Nothing is here any more; there are {total} {}", self.things)
        };
        let before = (self.page > 0).then(|| ("Previous", to(self.page - 1)));
        links(before, Some(&words), (last < self.total).then(|| ("Next", to(self.page + 1))))
    }
}

/// Shows the links to the pages before and after the present one.
pub(super) fn links(before: Option<Link<'_>>, words: Option<&str>, after: Option<Link<'_>>) -> Markup {
    html! {
        nav.pages aria-label="Pages of the list" {
            @if let Some((label, to)) = before { a href=(to) rel="prev" { (label) } }
            @if let Some(words) = words { span { (words) } }
            @if let Some((label, to)) = after { a href=(to) rel="next" { (label) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_none_is_the_first() {
        for query in ["", "page=0", "page=x", "page=18446744073709551616"] {
            assert_eq!(page_in(query), 0, "{query}");
        }
        assert_eq!((page_in("page=3"), page_value(2), page_value(0)), (2, "3".to_owned(), String::new()));
        assert_eq!(query_of(&[("q", "a b&c"), ("show", "")]), "?q=a+b%26c");
        assert_eq!(query_of(&[("q", "")]), "");
    }

    #[test]
    fn an_address_with_a_value_that_no_list_has_is_refused() {
        let long = format!("q={}", "a".repeat(256));
        for query in [long.as_str(), "q=%00", "page=abc", "page=0", "page=18446744073709551616"] {
            assert!(check(query).is_err(), "{query}");
        }
        assert!(["", "q=&page=", "q=a&page=7"].into_iter().all(|query| check(query).is_ok()));
        assert!(check_word("sort=name", "sort", &["name"]).is_ok() && check_word("", "sort", &["name"]).is_ok());
        let refused = "The value of 'sort' in the address is none of these: name, size.".to_owned();
        assert_eq!(check_word("sort=zzz", "sort", &["name", "size"]), Err(refused));
    }

    #[test]
    fn a_part_of_a_list_is_a_page_of_what_was_found() {
        let all: Vec<usize> = (0..45).collect();
        let of = |query: &str| Part::of(query).of_all(&all).to_vec();
        assert_eq!((of(""), of("page=3")), ((0..20).collect(), (40..45).collect()));
        assert!(of("page=4").is_empty() && of("page=1000000").is_empty());
        assert_eq!(Part::of("q=+Team+&page=2"), Part { search: "team".to_owned(), page: 1 });
        assert!(Part::default().links("/", 20, "groups").into_string().is_empty());
        let links = Part::of("q=a").links("/", 45, "groups").into_string();
        assert!(links.contains(r#"href="/?q=a&amp;page=2""#) && links.contains("1 to 20 of 45"), "{links}");
    }

    #[test]
    fn a_list_says_which_part_of_it_is_shown() {
        let shown = |page, total| Numbered { page, total, things: "images" }.show(page_value).into_string();
        assert!(shown(0, 23).contains(r#"<span>1 to 20 of 23</span><a href="2" rel="next">"#), "{}", shown(0, 23));
        assert!(
            shown(1, 23).contains(r#"rel="prev">Previous</a><span>21 to 23 of 23</span></nav>"#),
            "{}",
            shown(1, 23)
        );
        assert!(shown(8, 1_023).contains("161 to 180 of 1,023"));
        assert!(shown(8, 23).contains("Nothing is here any more; there are 23 images"), "{}", shown(8, 23));
    }
}
