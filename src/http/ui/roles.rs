//! The choice of a role in a form, for members and for the bots of group access tokens.

use maud::{Markup, html};

use crate::domain::access::AccessLevel;
use crate::http::api::ApiError;

/// The roles that forms offer. [`AccessLevel::Planner`] may do the same as the one before it.
const OFFERED: [AccessLevel; 5] =
    [AccessLevel::Guest, AccessLevel::Reporter, AccessLevel::Developer, AccessLevel::Maintainer, AccessLevel::Owner];

/// Shows the options of a form's field; `chosen` is the number of one of them.
pub(super) fn options(chosen: &str) -> Markup {
    html! {
        @for level in OFFERED {
            @let number = u8::from(level).to_string();
            option value=(number) selected[number == chosen] { (level.name()) }
        }
    }
}

/// Returns the role with this number.
///
/// # Errors
///
/// Fails if no role has this number.
pub(super) fn chosen(number: &str) -> Result<AccessLevel, ApiError> {
    let level = number.parse::<u8>().ok().and_then(|number| AccessLevel::try_from(number).ok());
    level.ok_or_else(|| ApiError::Invalid { field: "access_level", reason: "is unknown".to_owned() })
}
