//! Roles of members and of the bots of group access tokens: their names, and the choice of one in a form.

use maud::{Markup, html};

use crate::domain::access::AccessLevel;
use crate::http::api::ApiError;

/// The roles that forms offer. [`AccessLevel::Planner`] may do the same as the one before it.
const OFFERED: [AccessLevel; 5] =
    [AccessLevel::Guest, AccessLevel::Reporter, AccessLevel::Developer, AccessLevel::Maintainer, AccessLevel::Owner];

/// Returns the name of a role.
pub(super) fn role(level: AccessLevel) -> &'static str {
    match level {
        AccessLevel::Guest => "Guest",
        AccessLevel::Planner => "Planner",
        AccessLevel::Reporter => "Reporter",
        AccessLevel::Developer => "Developer",
        AccessLevel::Maintainer => "Maintainer",
        AccessLevel::Owner => "Owner",
    }
}

/// Shows the options of a form's field; `chosen` is the number of one of them.
pub(super) fn options(chosen: &str) -> Markup {
    html! {
        @for level in OFFERED {
            @let number = u8::from(level).to_string();
            option value=(number) selected[number == chosen] { (role(level)) }
        }
    }
}

/// Returns the role with this number.
///
/// # Errors
///
/// Fails if it is the number of none.
pub(super) fn chosen(number: &str) -> Result<AccessLevel, ApiError> {
    let level = number.parse::<u8>().ok().and_then(|number| AccessLevel::try_from(number).ok());
    level.ok_or_else(|| ApiError::Invalid { field: "access_level", reason: "is unknown".to_owned() })
}
