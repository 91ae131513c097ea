//! The comments of a TOML file, by the lines of the keys below them.

use crate::settings::node::Place;

/// The lines of a file.
pub(super) struct Comments(Vec<&'static str>);

impl Comments {
    /// Takes the lines of this file.
    pub(super) fn of(text: &'static str) -> Self {
        Self(text.lines().collect())
    }

    /// Returns the comment above the key in this line, as one line. Keys that follow another without a comment of their
    /// own share that of the first.
    pub(super) fn of_place(&self, place: &Place) -> Option<String> {
        let Place::File { line, .. } = place else { return None };
        let above = self.0.get(..line.saturating_sub(1))?.iter().rev();
        let is_key = |line: &&&str| !line.is_empty() && !line.starts_with(['#', '[']);
        let comment: Vec<&str> = above.skip_while(is_key).map_while(|line| line.strip_prefix('#')).collect();
        let text = comment.iter().rev().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
        Some(text).filter(|text| !text.is_empty())
    }
}
