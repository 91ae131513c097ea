//! The values that a form shows of what it changes, in a hidden field: it tells the change what the person has seen,
//! so that two people, or two tabs, do not undo each other's changes without knowing.

use maud::{Markup, html};

use super::form::Form;
use crate::domain::commands::seen::{Seen, SeenValue};

/// Name of the hidden field.
pub(super) const FIELD: &str = "seen";

/// Returns the hidden field with these values.
pub(super) fn field(values: &[SeenValue]) -> Markup {
    let pairs: Vec<(&str, &str)> = values.iter().map(|value| (value.key.as_str(), value.words.as_str())).collect();
    html! { input type="hidden" name=(FIELD) value=(serde_urlencoded::to_string(pairs).unwrap_or_default()); }
}

/// Returns the values that the page of a form showed.
pub(super) fn of(form: &Form) -> Seen {
    let sent = form.value(FIELD).unwrap_or_default();
    serde_urlencoded::from_str::<Vec<(String, String)>>(sent).unwrap_or_default().into_iter().collect()
}
