//! The name, the path, the description and the visibility of a group, and the group below which it is.

use maud::{Markup, html};

use super::{Shown, action, not_saved, saved, shown_after, typed};
use crate::domain::access::AccessLevel;
use crate::domain::commands::group::GroupChange;
use crate::domain::commands::seen::SeenValue;
use crate::domain::group::{Group, Visibility};
use crate::http::api::groups;
use crate::http::ui::fault::Fault;
use crate::http::ui::fields::{Choice, Field, FieldKind};
use crate::http::ui::form::Form;
use crate::http::ui::group_choice;
use crate::http::ui::parts::typed_form;
use crate::http::ui::problem::Problem;
use crate::http::ui::seen;
use crate::http::ui::visitor::Visitor;

/// The form with the name, the path, the description and the visibility.
pub(super) const SECTION: &str = "details";

/// The form that moves the group below another one.
pub(super) const PLACE: &str = "place";

/// The fields of the forms, as they were typed.
pub(super) struct Typed {
    name: String,
    path: String,
    description: String,
    visibility: String,
    parent: String,
}

/// The choices of who can pull, with their meanings.
const VISIBILITIES: [(Visibility, &str, &str); 3] = [
    (Visibility::Private, "Members", "Others cannot see that the group exists"),
    (Visibility::Internal, "Members, as an internal group", "For groups and scripts that came from GitLab"),
    (Visibility::Public, "Also others", "Those that the service admits to public groups (auth.public_groups)"),
];

/// Saves the form. Returns the group and what to show.
pub(super) async fn change(form: &Form, group: &Group) -> Result<(Group, Shown), Fault> {
    let details = Typed::new(form, group);
    let wanted = details.change();
    saved(form, group, (wanted, values), |shown| Shown { details, ..shown }).await
}

/// Moves the group below another one, or to the top. Returns the group and what to show.
pub(super) async fn change_place(form: &Form, group: &Group) -> Result<(Group, Shown), Fault> {
    let visitor = &form.visitor;
    let details = Typed { parent: typed(form, "parent"), ..Typed::of(group) };
    let moved = match group_choice::chosen(visitor, &details.parent) {
        Ok(parent) => groups::move_seen(&visitor.caller, group.id, parent, (seen::of(form), place)).await,
        Err(error) => Err(error),
    };
    let moved = moved.map_err(|error| not_saved(visitor, &error));
    shown_after(visitor, group, moved, |shown| Shown { details, ..shown })
}

/// Shows the form.
pub(super) fn section(visitor: &Visitor, group: &Group, typed: &Typed, problem: Option<&Problem>) -> Markup {
    html! {
        div.split {
            div {
                h2 { "Name and path" }
                p.soft {
                    "The path is a part of the names by which images are pulled. With another one, pulls by the old "
                    "names fail at once. What is cached stays."
                }
            }
            form.column.stack method="post" action=(action(group)) {
                (typed_form(visitor))
                input type="hidden" name="section" value=(SECTION);
                (seen::field(&values(group)))
                (Field::new("name", "Name").required().max_chars(255).value(&typed.name).show(problem))
                @if may_rename(visitor, group) {
                    (Field::new("path", "Path").kind(FieldKind::Identifier).required().value(&typed.path)
                        .hint("Small letters and digits, between them “.”, “_” or “-”. Groups below move along")
                        .show(problem))
                } @else {
                    p.hint { "The path can be changed by " (renamers(group)) "." }
                }
                (Field::new("description", "Description").value(&typed.description).show(problem))
                (visibility(group, typed, problem))
                button { "Save name and path" }
            }
        }
    }
}

/// Returns true if the visitor could make a group at another path beside this one.
fn may_rename(visitor: &Visitor, group: &Group) -> bool {
    let owns_above = |parent| visitor.authority().level(parent) >= Some(AccessLevel::Owner);
    visitor.caller.user.admin || group.parent.is_some_and(owns_above)
}

fn renamers(group: &Group) -> String {
    match above(group) {
        "" => "administrators".to_owned(),
        above => format!("owners of {above}"),
    }
}

fn visibility(group: &Group, typed: &Typed, problem: Option<&Problem>) -> Markup {
    // Groups that are internal come from the API alone.
    let is_offered = |visibility| visibility != Visibility::Internal || group.visibility == Visibility::Internal;
    html! {
        fieldset {
            legend { "Who can pull" }
            (Problem::at(problem, "visibility"))
            @for (visibility, label, meaning) in VISIBILITIES {
                @if is_offered(visibility) {
                    (Choice::radio("visibility", visibility.as_str(), label)
                        .chosen(typed.visibility == visibility.as_str()).show(meaning))
                }
            }
        }
    }
}

/// Shows the form that moves the group, and the way to its deletion.
pub(super) fn place_section(visitor: &Visitor, group: &Group, typed: &Typed, problem: Option<&Problem>) -> Markup {
    html! {
        div.split {
            div {
                h2 { "Place" }
                p.soft {
                    "Members of a group above are members of this one, too. With another group above, the path changes, "
                    "also of the groups below, and pulls by the old names fail at once."
                }
            }
            form.column.stack method="post" action=(action(group)) {
                (typed_form(visitor))
                input type="hidden" name="section" value=(PLACE);
                (seen::field(&place(group)))
                (group_choice::field(visitor, &typed.parent, Some(group), problem))
                button { "Move the group" }
            }
        }
        div.split {
            div {
                h2 { "Delete" }
                p.soft { "The group, the groups below it, their tokens and what they have cached. It cannot be undone." }
            }
            p { a.button.danger href={ (action(group)) "/delete" } { "Delete the group…" } }
        }
    }
}

fn values(group: &Group) -> Vec<SeenValue> {
    vec![
        SeenValue::of("name", group.name.as_str()),
        SeenValue::of("path", group.path.last_part()),
        SeenValue::of("description", group.description.as_str()),
        SeenValue::of("visibility", group.visibility.as_str()),
    ]
}

/// Returns the place of a group.
fn place(group: &Group) -> Vec<SeenValue> {
    vec![SeenValue::of("parent", above(group))]
}

/// Returns the path of the group above; empty at the top.
fn above(group: &Group) -> &str {
    group.path.as_str().rsplit_once('/').map_or("", |(above, _)| above)
}

impl Typed {
    /// Returns the fields with what the group has.
    pub(super) fn of(group: &Group) -> Self {
        Self {
            name: group.name.clone(),
            path: group.path.last_part().to_owned(),
            description: group.description.clone(),
            visibility: group.visibility.as_str().to_owned(),
            parent: above(group).to_owned(),
        }
    }

    /// Reads the fields. One that is missing stays as it is.
    fn new(form: &Form, group: &Group) -> Self {
        let present = Self::of(group);
        let typed = |name: &str, present: String| form.value(name).map_or(present, |text| text.trim().to_owned());
        Self {
            name: typed("name", present.name),
            path: typed("path", present.path),
            description: typed("description", present.description),
            visibility: typed("visibility", present.visibility),
            parent: present.parent,
        }
    }

    fn change(&self) -> Result<GroupChange, Problem> {
        let found = VISIBILITIES.into_iter().find(|(visibility, ..)| visibility.as_str() == self.visibility);
        let (visibility, ..) =
            found.ok_or_else(|| Problem::at_field("visibility", "is none of those that can be chosen"))?;
        Ok(GroupChange {
            name: Some(self.name.clone()),
            path: Some(self.path.clone()),
            description: Some(self.description.clone()),
            visibility: Some(visibility),
            ..GroupChange::default()
        })
    }
}
