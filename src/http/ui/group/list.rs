//! The list of a group's images: the part that the address requests, and the table.

use maud::{Markup, html};

use super::filter::{Counts, FILTERS, Filter, only};
use crate::actors::images::{ImageOrder, ImageQuery, ShownPage};
use crate::domain::group::Group;
use crate::http::query::value_in;
use crate::http::ui::address;
use crate::http::ui::fault::Fault;
use crate::http::ui::image_row;
use crate::http::ui::pages::{self, Numbered, PER_PAGE, page_in};
use crate::http::ui::parts::counted;
use crate::http::ui::table;
use crate::http::ui::visitor::Visitor;

/// A page of the list, with the options that led to it.
pub(super) struct List {
    options: ListOptions,
    found: ShownPage,
}

/// The options of a list in its address: search, order and page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ListOptions {
    search: String,
    filter: Filter,
    column: Column,
    descending: bool,
    /// The page, from 0.
    page: usize,
}

/// A column by which the list can be sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Column {
    #[default]
    Name,
    Size,
    Cached,
    LastPulled,
    Pulls,
}

impl List {
    /// Reads the part of the list that the query of the address requests.
    pub(super) async fn read(visitor: &Visitor, group: &Group, query: &str) -> Result<Self, Fault> {
        visitor.valid(ListOptions::check(query))?;
        let options = ListOptions::of(query);
        let query = ImageQuery { only: only(visitor, group, options.filter).await, ..options.query() };
        let found = visitor.caller.state.images.list(group.id, query).await;
        let found = found.map_err(|error| visitor.refused(&error.into()))?;
        Ok(Self { options, found })
    }

    /// Returns true if nothing was searched for.
    pub(super) fn is_of_all(&self) -> bool {
        self.options.search.is_empty() && self.options.filter == Filter::All
    }

    /// Returns true if there is no such image.
    pub(super) fn is_empty(&self) -> bool {
        self.found.total == 0
    }

    /// Shows the list.
    pub(super) fn show(&self, visitor: &Visitor, group: &Group, counts: Counts) -> Markup {
        let (base, owns) = (address::of_group(group.path.as_str()), visitor.owns(group));
        html! {
            (self.tools(&base, counts))
            @if self.is_empty() {
                p {
                    @if self.options.search.is_empty() {
                        (self.options.filter.empty()) " "
                    } @else {
                        "No " @if self.options.filter != Filter::All { (self.options.filter.word()) " " } "image has "
                        b { (self.options.search) } " in its name, tag or digest. "
                    }
                    a href=(base) { "Show all images" }
                }
            } @else {
                @if owns { form #selection action={ (base) "/delete" } {} }
                (table::show("Cached images", &self.columns(&base), html! {
                    @for (number, image) in self.found.images.iter().enumerate() {
                        (image_row::show(visitor, group, image, number))
                    }
                }))
                (self.pages(&base))
                @if owns { p.actions { button.minor form="selection" { "Delete the chosen images…" } } }
            }
        }
    }

    fn tools(&self, base: &str, counts: Counts) -> Markup {
        let hidden = ListOptions { search: String::new(), page: 0, ..self.options.clone() }.pairs();
        let hidden = hidden.each_ref().map(|(name, value)| (*name, value.as_str()));
        html! {
            div.tools {
                (pages::search_form(base, "Name, tag or digest", &self.options.search, &hidden))
                ul.filters aria-label="Show" {
                    @for (filter, _, label) in FILTERS {
                        @let filtered = ListOptions { filter, page: 0, ..self.options.clone() };
                        li {
                            a href={ (base) (filtered.address()) }
                                aria-current=[(filter == self.options.filter).then_some("true")] {
                                (label) (counted(counts.of(filter)))
                            }
                        }
                    }
                }
            }
        }
    }

    fn columns(&self, base: &str) -> [table::Column<'static>; 8] {
        [
            self.sortable(base, Column::Name, table::Column::main("Image")),
            table::Column::new("Platforms"),
            self.sortable(base, Column::Size, table::Column::num("Size")),
            self.sortable(base, Column::Cached, table::Column::new("Cached")),
            self.sortable(base, Column::LastPulled, table::Column::new("Last pulled")),
            self.sortable(base, Column::Pulls, table::Column::num("Pulls")),
            table::Column::new("State"),
            table::Column::actions(),
        ]
    }

    /// Returns a column whose label is a link that sorts by it, and that reverses the order if it is sorted already.
    fn sortable(&self, base: &str, column: Column, shown: table::Column<'static>) -> table::Column<'static> {
        let is_sorted = self.options.column == column;
        let direction = if self.options.descending { "descending" } else { "ascending" };
        // Numbers and times begin with the largest, which are of most interest.
        let descending = if is_sorted { !self.options.descending } else { column != Column::Name };
        let sorted = ListOptions { column, descending, page: 0, ..self.options.clone() };
        shown.sorted(is_sorted.then_some(direction)).link(format!("{base}{}", sorted.address()))
    }

    fn pages(&self, base: &str) -> Markup {
        let ListOptions { page, .. } = self.options;
        let to = |page| format!("{base}{}", ListOptions { page, ..self.options.clone() }.address());
        Numbered { page, total: self.found.total, things: "images" }.show(to)
    }
}

impl ListOptions {
    /// Fails with a sentence if a value in the query of an address is none of those that can be chosen.
    fn check(query: &str) -> Result<(), String> {
        pages::check_word(query, "sort", &["name", "size", "cached", "last_pulled", "pulls"])?;
        pages::check_word(query, "order", &["asc", "desc"])?;
        pages::check_word(query, "show", &FILTERS.map(|(_, word, _)| word)[1..])
    }

    fn of(query: &str) -> Self {
        let value = |name: &str| value_in(query, name).unwrap_or_default();
        let column = match value("sort").as_str() {
            "size" => Column::Size,
            "cached" => Column::Cached,
            "last_pulled" => Column::LastPulled,
            "pulls" => Column::Pulls,
            _ => Column::Name,
        };
        Self {
            search: value("q").trim().to_owned(),
            filter: Filter::of_word(&value("show")),
            column,
            descending: value("order") == "desc",
            page: page_in(query),
        }
    }

    fn query(&self) -> ImageQuery {
        let order = match self.column {
            Column::Name => ImageOrder::Name,
            Column::Size => ImageOrder::Size,
            Column::Cached => ImageOrder::CachedAt,
            Column::LastPulled => ImageOrder::LastPulledAt,
            Column::Pulls => ImageOrder::Pulls,
        };
        ImageQuery {
            search: Some(self.search.clone()).filter(|text| !text.is_empty()),
            pinned: (self.filter == Filter::Pinned).then_some(true),
            only: None,
            repository: None,
            order,
            descending: self.descending,
            skip: self.page * PER_PAGE,
            limit: PER_PAGE,
        }
    }

    /// Returns the query of an address that requests the same, without the values that are the defaults.
    fn address(&self) -> String {
        let pairs = self.pairs();
        pages::query_of(&pairs.each_ref().map(|(name, value)| (*name, value.as_str())))
    }

    fn pairs(&self) -> [(&'static str, String); 5] {
        let column = match self.column {
            Column::Name => "",
            Column::Size => "size",
            Column::Cached => "cached",
            Column::LastPulled => "last_pulled",
            Column::Pulls => "pulls",
        };
        [
            ("q", self.search.clone()),
            ("show", self.filter.word().to_owned()),
            ("sort", column.to_owned()),
            ("order", if self.descending { "desc" } else { "" }.to_owned()),
            ("page", pages::page_value(self.page)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_and_what_it_asks_for_are_the_same() {
        let all = ListOptions::default();
        assert_eq!((all.address(), ListOptions::of("")), (String::new(), all));
        let options = ListOptions {
            search: "a b&c".to_owned(),
            filter: Filter::Going,
            column: Column::LastPulled,
            descending: true,
            page: 3,
        };
        assert_eq!(options.address(), "?q=a+b%26c&show=going&sort=last_pulled&order=desc&page=4");
        assert_eq!(ListOptions::of(&options.address()[1..]), options);
        for query in ["page=0", "page=x", "page=18446744073709551616", "sort=other&order=up&show=none"] {
            assert_eq!(ListOptions::of(query), ListOptions::default(), "{query}");
        }
    }
}
