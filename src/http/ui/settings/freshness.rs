//! The time for which the tags that a group pulls are fresh.

use maud::{Markup, html};

use super::{Shown, action, saved};
use crate::domain::commands::group::GroupChange;
use crate::domain::commands::seen::SeenValue;
use crate::domain::group::Group;
use crate::http::ui::fault::Fault;
use crate::http::ui::fields::{Field, FieldKind};
use crate::http::ui::form::Form;
use crate::http::ui::parts::typed_form;
use crate::http::ui::problem::Problem;
use crate::http::ui::seen;
use crate::http::ui::visitor::Visitor;

/// The form of this part of the page.
pub(super) const SECTION: &str = "freshness";

/// Saves the form. Returns the group and what to show.
pub(super) async fn change(form: &Form, group: &Group) -> Result<(Group, Shown), Fault> {
    let freshness = form.value("freshness").map_or_else(|| of(group), |text| text.trim().to_owned());
    let wanted = wanted(&freshness);
    saved(form, group, (wanted, values), |shown| Shown { freshness, ..shown }).await
}

/// Returns the field with what the group has.
pub(super) fn of(group: &Group) -> String {
    group.cache.tag_freshness_seconds.map(|seconds| seconds.to_string()).unwrap_or_default()
}

/// Shows the form.
pub(super) fn section(visitor: &Visitor, group: &Group, typed: &str, problem: Option<&Problem>) -> Markup {
    html! {
        div.split {
            div {
                h2 { "Freshness of tags" }
                p.soft {
                    "After this time the registry confirms a tag again when it is pulled. It holds for all tags that
                    this group and the groups below it pull."
                }
            }
            form.column.stack method="post" action=(action(group)) {
                (typed_form(visitor))
                input type="hidden" name="section" value=(SECTION);
                (seen::field(&values(group)))
                (Field::new("freshness", "Tags are fresh for this number of seconds").kind(FieldKind::Whole).short()
                    .hint("Such as 600; 0: confirmed at every pull. Empty: as in the group above, or the service")
                    .value(typed).show(problem))
                button { "Save freshness" }
            }
        }
    }
}

fn values(group: &Group) -> Vec<SeenValue> {
    vec![SeenValue::of("freshness", of(group))]
}

fn wanted(typed: &str) -> Result<GroupChange, Problem> {
    let seconds = match typed {
        "" => None,
        typed => Some(typed.parse::<u32>().map_err(|_| Problem::at_field("freshness", "is not a number of seconds"))?),
    };
    Ok(GroupChange { tag_freshness_seconds: Some(seconds), ..GroupChange::default() })
}
