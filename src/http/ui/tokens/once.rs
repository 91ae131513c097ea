//! Protection of the form for a new token against being sent twice.

use crate::domain::commands::CommandError;
use crate::domain::directory::Directory;
use crate::domain::token::TokenOwner;

/// A form that makes its token once: a reload of the page with the secret sends it again.
pub(super) struct Once {
    /// The number of the last token of the service when the form was shown; `None`: nothing is checked.
    pub(super) last_token: Option<u64>,
    /// The name of the new token.
    pub(super) name: String,
}

impl Once {
    /// Fails if a token of this name and of such an owner was made since the form was shown.
    ///
    /// # Errors
    /// There is such a token.
    pub(super) fn check(
        &self,
        directory: &Directory,
        is_owner: impl Fn(&TokenOwner) -> bool,
    ) -> Result<(), CommandError> {
        let Some(last) = self.last_token else { return Ok(()) };
        let mut newer = directory.tokens().rev().take_while(|token| token.id.0 > last);
        match newer.any(|token| token.name == self.name && is_owner(&token.owner)) {
            true => Err(CommandError::Refused(
                "A token of this name was made since this form was shown, perhaps by this form. Open it again to make another",
            )),
            false => Ok(()),
        }
    }
}
