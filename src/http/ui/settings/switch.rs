//! The switch of a group: whether it pulls.

use maud::{Markup, html};

use super::{Shown, action, saved};
use crate::domain::commands::group::GroupChange;
use crate::domain::commands::seen::SeenValue;
use crate::domain::group::Group;
use crate::domain::policy;
use crate::http::ui::fault::Fault;
use crate::http::ui::fields::Choice;
use crate::http::ui::form::Form;
use crate::http::ui::parts::typed_form;
use crate::http::ui::problem::Problem;
use crate::http::ui::seen;
use crate::http::ui::visitor::Visitor;

/// The form of this part of the page.
pub(super) const SECTION: &str = "proxy";

const INHERITED: &str = "As in the group above, or the service";

/// Saves the form. Returns the group and what to show.
pub(super) async fn change(form: &Form, group: &Group) -> Result<(Group, Shown), Fault> {
    let wanted = wanted(form);
    let proxy = wanted.as_ref().ok().and_then(|wanted| wanted.proxy_enabled).unwrap_or(group.proxy_enabled);
    saved(form, group, (wanted, values), |shown| Shown { proxy, ..shown }).await
}

/// Shows the form, with the value that is chosen.
pub(super) fn section(visitor: &Visitor, group: &Group, chosen: Option<bool>) -> Markup {
    let directory = &visitor.caller.directory;
    let switched = visitor.caller.state.is_switched_on(directory);
    let above = match group.parent {
        Some(parent) => switched && policy::proxy_enabled(directory, parent),
        None => switched,
    };
    let inherited = format!("It is {} there", if above { "on" } else { "off" });
    let choices = [
        ("inherit", INHERITED, inherited.as_str(), chosen.is_none()),
        ("on", "On", "Whatever the group above says", chosen == Some(true)),
        ("off", "Off", "Also in groups below, unless they say otherwise", chosen == Some(false)),
    ];
    html! {
        div.split {
            div { h2 { "Dependency proxy" } p.soft { "Off: every pull is refused with a sentence that says so. What is cached stays." } }
            form.column.stack method="post" action=(action(group)) {
                (typed_form(visitor))
                input type="hidden" name="section" value=(SECTION);
                (seen::field(&values(group)))
                fieldset {
                    legend.unseen { "Dependency proxy" }
                    @for (value, label, meaning, is_chosen) in choices {
                        (Choice::radio("proxy", value, label).chosen(is_chosen).show(meaning))
                    }
                }
                button { "Save the switch" }
            }
        }
    }
}

fn values(group: &Group) -> Vec<SeenValue> {
    let words = match group.proxy_enabled {
        None => INHERITED,
        Some(true) => "On",
        Some(false) => "Off",
    };
    vec![SeenValue::of("proxy", words)]
}

/// Returns the change that the form describes.
fn wanted(form: &Form) -> Result<GroupChange, Problem> {
    let unknown = || Problem::at_field("proxy", "is none of those that can be chosen");
    let proxy_enabled = match form.value("proxy") {
        Some("on") => Some(true),
        Some("off") => Some(false),
        Some("inherit") => None,
        _ => return Err(unknown()),
    };
    Ok(GroupChange { proxy_enabled: Some(proxy_enabled), ..GroupChange::default() })
}
