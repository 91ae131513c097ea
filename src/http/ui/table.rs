//! The frame of tables: the head with its columns, and rows that become cards on narrow screens. Roles are explicit,
//! because the style sheet changes how the elements are displayed, and browsers then forget what they are.

use maud::{Markup, Render, html};

/// A column of a table.
#[derive(Clone, Debug)]
pub(super) struct Column<'a> {
    class: &'static str,
    label: &'a str,
    is_unseen: bool,
    /// The direction in which the table is sorted by this column.
    sort: Option<&'static str>,
    /// The address of the table sorted by this column.
    link: Option<String>,
}

impl<'a> Column<'a> {
    /// Returns a column of texts.
    pub(super) fn new(label: &'a str) -> Self {
        Self { class: "", label, is_unseen: false, sort: None, link: None }
    }

    /// Returns the column that says what a row is about.
    pub(super) fn main(label: &'a str) -> Self {
        Self::new(label).class("main-column")
    }

    /// Returns a column of numbers.
    pub(super) fn num(label: &'a str) -> Self {
        Self::new(label).class("num")
    }

    /// Returns a column with what can be done; its label is for screen readers alone.
    pub(super) fn actions() -> Self {
        Self::new("Actions").class("act").unseen()
    }

    /// Sets the class.
    pub(super) fn class(self, class: &'static str) -> Self {
        Self { class, ..self }
    }

    /// Shows the label to screen readers alone.
    pub(super) fn unseen(self) -> Self {
        Self { is_unseen: true, ..self }
    }

    /// Marks the column as the one by which the table is sorted, in this direction; `None`: by another one.
    pub(super) fn sorted(self, sort: Option<&'static str>) -> Self {
        Self { sort, ..self }
    }

    /// Makes the label a link to the table sorted by this column.
    pub(super) fn link(self, to: String) -> Self {
        Self { link: Some(to), ..self }
    }

    fn head(&self) -> Markup {
        html! {
            th class=[Some(self.class).filter(|class| !class.is_empty())] role="columnheader" scope="col"
                aria-sort=[self.sort] {
                @match &self.link {
                    Some(to) => { a href=(to) { (self.label) } },
                    None if self.is_unseen => { span.unseen { (self.label) } },
                    None => { (self.label) },
                }
            }
        }
    }
}

/// Shows a table with this name, which screen readers say, and these rows.
pub(super) fn show(name: &str, columns: &[Column<'_>], rows: impl Render) -> Markup {
    html! {
        table.cards role="table" aria-label=(name) {
            thead role="rowgroup" { tr role="row" { @for column in columns { (column.head()) } } }
            tbody role="rowgroup" { (rows) }
        }
    }
}
