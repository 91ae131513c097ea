//! Losses: the objects that a change takes away besides the one that it is about. They are shown before it is made,
//! confirmed by the form, and named after it.

use maud::{Markup, html};

use super::formatting::number_of;
use crate::http::api::losses::{Lost, Names};

/// Name of the hidden form field that confirms the objects that were shown.
pub(super) const FIELD: &str = "goes";

/// Returns the hidden field that confirms what is shown.
pub(super) fn field(lost: &Lost) -> Markup {
    html! { input type="hidden" name=(FIELD) value=(lost.mark); }
}

/// Shows the objects, in a list of facts, one line for each kind; nothing for none.
pub(super) fn facts(lost: &Lost) -> Markup {
    html! {
        (fact(&lost.groups, "group"))
        (fact(&lost.users, "user"))
        (fact(&lost.members, "membership"))
        (fact(&lost.tokens, "token"))
    }
}

/// Returns the objects as a sentence without a full stop, such as `1 token ('laptop' of bob)`; empty for none.
pub(super) fn sentence(lost: &Lost) -> String {
    let kinds =
        [(&lost.groups, "group"), (&lost.users, "user"), (&lost.members, "membership"), (&lost.tokens, "token")];
    let some = kinds.into_iter().filter(|(names, _)| names.total > 0);
    let words = some.map(|(names, thing)| {
        let more = if names.total > names.names.len() { ", …" } else { "" };
        format!("{} ({}{more})", number_of(names.total as u64, thing), names.names.join(", "))
    });
    words.collect::<Vec<_>>().join(" and ")
}

fn fact(Names { total, names }: &Names, thing: &str) -> Markup {
    html! {
        @if *total > 0 {
            dt { (number_of(*total as u64, thing)) }
            dd {
                ul {
                    @for name in names { li { (name) } }
                    @if *total > names.len() { li { "and " (total - names.len()) " more" } }
                }
            }
        }
    }
}
