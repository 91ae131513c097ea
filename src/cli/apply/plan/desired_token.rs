//! A token as the state file wants it.

use std::path::Path;

use serde_json::Value;

use crate::settings::state::TokenEntry;

/// A token of the file.
pub(super) struct DesiredToken<'a> {
    pub(super) name: &'a str,
    pub(super) entry: &'a TokenEntry,
    /// A field that only its kind has, named as in the API.
    pub(super) own: Option<(&'static str, Value)>,
    /// The file of its secret, if that is read from it where it exists.
    pub(super) given: Option<&'a Path>,
}

impl<'a> DesiredToken<'a> {
    /// Returns a token with a generated secret.
    pub(super) fn new(name: &'a str, entry: &'a TokenEntry, own: Option<(&'static str, Value)>) -> Self {
        Self { name, entry, own, given: None }
    }
}
