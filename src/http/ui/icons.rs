//! Icons of pages.

use maud::{Markup, html};

/// The shapes of all icons, which pages use by name.
pub(super) const ICONS: &str = include_str!("assets/icons.svg");

/// Returns an icon, by the end of its name in `icons.svg`.
pub(super) fn icon(name: &str) -> Markup {
    html! { svg.icon aria-hidden="true" { use href={ "#i-" (name) } {} } }
}
