//! The choice of the group below which another one is: of few groups a list, of many a field for the path.

use maud::{Markup, html};

use super::fields::{Field, FieldKind};
use super::problem::Problem;
use super::visitor::Visitor;
use crate::domain::access::AccessLevel;
use crate::domain::group::Group;
use crate::domain::id::GroupId;
use crate::http::api::ApiError;

/// Maximum number of groups that are offered; of more, the path is typed.
const MAX_OPTIONS: usize = 100;

/// Returns the groups below which the visitor may put one.
pub(super) fn parents(visitor: &Visitor) -> impl Iterator<Item = &Group> {
    let groups = visitor.caller.directory.groups();
    groups.filter(|group| visitor.authority().level(group.id) >= Some(AccessLevel::Owner)).map(AsRef::as_ref)
}

/// Returns the group with the path that was typed; `None` for an empty one, which is the top.
///
/// # Errors
///
/// Fails if it is no group that the visitor owns.
pub(super) fn chosen(visitor: &Visitor, path: &str) -> Result<Option<GroupId>, ApiError> {
    if path.is_empty() {
        return Ok(None);
    }
    let found = parents(visitor).find(|group| group.path.as_str() == path).map(|group| group.id);
    let reason = || "is no group that you own".to_owned();
    found.map(Some).ok_or_else(|| ApiError::Invalid { field: "parent", reason: reason() })
}

/// Shows the field. `moved` is the group that gets another place, below which it cannot be itself.
pub(super) fn field(visitor: &Visitor, typed: &str, moved: Option<&Group>, problem: Option<&Problem>) -> Markup {
    let field = Field::new("parent", "Below");
    let is_offered = |group: &&Group| moved.is_none_or(|moved| !group.path.is_within(&moved.path));
    let groups: Vec<&Group> = parents(visitor).filter(is_offered).take(MAX_OPTIONS + 1).collect();
    if groups.len() > MAX_OPTIONS {
        let hint = "The path of the group above, whose members are members of this one, too. Empty: no other group";
        return field.kind(FieldKind::Identifier).hint(hint).value(typed).show(problem);
    }
    let (may_be_top, is_listed) =
        (visitor.caller.user.admin || typed.is_empty(), groups.iter().any(|group| group.path.as_str() == typed));
    let options = html! {
        @if may_be_top { option value="" { "No other group" } }
        // The place of a group whose owner does not own the one above.
        @if moved.is_some() && !typed.is_empty() && !is_listed { option value=(typed) selected { (typed) } }
        @for group in groups {
            option value=(group.path) selected[group.path.as_str() == typed] { (group.path) }
        }
    };
    field.hint("Members of a group above are members of this one, too").of_options(problem, options)
}
