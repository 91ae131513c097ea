//! The filter of the audit trail: the form, and what its fields mean.

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::fields::{Field, FieldKind};
use super::formatting::parsed_day;
use super::pages::query_of;
use super::problem::Problem;
use super::visitor::Visitor;
use crate::domain::audit::names::EventKind;
use crate::domain::audit::query::{AuthorFilter, EntityFilter, EventFilter};
use crate::http::query::value_in;

/// Maximum length of a name that is searched for, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// The kinds of events, with their words in addresses and on the page.
const KINDS: [(&str, &str, Option<EventKind>); 8] = [
    ("", "Everything", None),
    ("people", "Users and members", Some(EventKind::People)),
    ("tokens", "Tokens", Some(EventKind::Tokens)),
    ("settings", "Groups and settings", Some(EventKind::Settings)),
    ("images", "Images", Some(EventKind::Images)),
    ("refusals", "Refusals", Some(EventKind::Refusals)),
    ("sign-ins", "Sign-ins", Some(EventKind::SignIns)),
    ("service", "The service itself", Some(EventKind::Service)),
];

/// The fields of the form as they were typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Typed {
    who: String,
    what: String,
    group: String,
    from: String,
    to: String,
}

impl Typed {
    /// Reads the query of an address.
    pub(super) fn of(query: &str) -> Self {
        let value = |name: &str| value_in(query, name).unwrap_or_default().trim().to_owned();
        Self { who: value("who"), what: value("what"), group: value("group"), from: value("from"), to: value("to") }
    }

    /// Returns true if nothing was typed.
    pub(super) fn is_empty(&self) -> bool {
        [&self.who, &self.what, &self.group, &self.from, &self.to].into_iter().all(String::is_empty)
    }

    /// Returns the query of the address of the events before one, or without it of the newest.
    pub(super) fn address(&self, before: &str) -> String {
        let pairs = [
            ("who", self.who.as_str()),
            ("what", &self.what),
            ("group", &self.group),
            ("from", &self.from),
            ("to", &self.to),
            ("before", before),
        ];
        // An empty address is that of the present page.
        Some(query_of(&pairs)).filter(|query| !query.is_empty()).unwrap_or_else(|| "?".to_owned())
    }

    /// Returns the filter, within this entity if there is one. A value that is not valid selects no events, not all.
    pub(super) fn filter(&self, visitor: &Visitor, entity: Option<EntityFilter>) -> Result<EventFilter, Problem> {
        let author = Some(self.who.clone()).filter(|who| !who.is_empty()).map(AuthorFilter::Name);
        self.check_lengths()?;
        let known = KINDS.into_iter().find(|(word, _, _)| *word == self.what);
        let (_, _, kind) = known.ok_or_else(|| Problem::at_field("what", "is none of those that can be chosen"))?;
        let entity = if entity.is_none() { self.group(visitor)? } else { entity };
        let (after, before) = (day("from", &self.from)?, day("to", &self.to)?.map(end_of_day));
        Ok(EventFilter { after, before, entity, author, kind, name: None })
    }

    fn check_lengths(&self) -> Result<(), Problem> {
        for (field, text) in [("who", &self.who), ("group", &self.group)] {
            if text.len() > MAX_NAME_BYTES {
                return Err(Problem::at_field(field, &format!("cannot be longer than {MAX_NAME_BYTES} bytes")));
            }
        }
        Ok(())
    }

    fn group(&self, visitor: &Visitor) -> Result<Option<EntityFilter>, Problem> {
        if self.group.is_empty() {
            return Ok(None);
        }
        let path = self.group.parse().ok();
        let group = path.and_then(|path| visitor.caller.directory.group_at(&path));
        let group = group.ok_or_else(|| Problem::at_field("group", "is none of this service"))?;
        Ok(Some(EntityFilter::Group(Some(group.id))))
    }

    /// Shows the form, with a field for the group if the page is about all of them.
    pub(super) fn form(&self, with_group: bool, problem: Option<&Problem>) -> Markup {
        html! {
            form.inline role="search" {
                (Field::new("who", "User name").kind(FieldKind::Identifier).short().value(&self.who).show(problem))
                (Field::new("what", "What").short().of_options(problem, html! {
                    @for (word, label, _) in KINDS { option value=(word) selected[word == self.what] { (label) } }
                }))
                @if with_group {
                    (Field::new("group", "Group").kind(FieldKind::Identifier).short().value(&self.group).show(problem))
                }
                (Field::new("from", "From").kind(FieldKind::Day("")).short().value(&self.from).show(problem))
                (Field::new("to", "To").kind(FieldKind::Day("")).short().value(&self.to).show(problem))
                div.actions { button { "Show" } @if !self.is_empty() { a href="?" { "Clear" } } }
            }
        }
    }
}

fn day(field: &'static str, typed: &str) -> Result<Option<Timestamp>, Problem> {
    parsed_day(typed).map_err(|error| Problem::at_field(field, &error.to_string()))
}

/// Returns the last moment of the day that begins then.
fn end_of_day(begin: Timestamp) -> Timestamp {
    let end = SignedDuration::from_hours(24) - SignedDuration::from_nanos(1);
    begin.checked_add(end).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_and_what_it_asks_for_are_the_same() {
        let typed = Typed::of("who=al+ice&what=tokens&from=2026-11-27&to=2026-11-28&before=7");
        assert_eq!(typed.address("9"), "?who=al+ice&what=tokens&from=2026-11-27&to=2026-11-28&before=9");
        assert_eq!(Typed::of(&typed.address("")[1..]), typed);
        assert!(Typed::of("before=7").is_empty() && Typed::of("").address("") == "?");
    }

    #[test]
    fn the_last_day_belongs_to_the_time_that_is_wanted() {
        let begin: Option<Timestamp> = day("to", "2026-11-28").ok().flatten();
        assert_eq!(begin.map(end_of_day).map(|end| end.to_string()), Some("2026-11-28T23:59:59.999999999Z".to_owned()));
        assert!(day("to", "yesterday").is_err());
    }
}
