//! All identities of an open store, for a store of another kind.

use super::EmbeddedIdentities;
use crate::store::all_identities::AllIdentities;
use crate::store::error::StoreError;

impl EmbeddedIdentities {
    /// Returns everything in the store.
    ///
    /// # Errors
    ///
    /// Fails if the database is damaged or cannot be read.
    pub fn all(&self) -> Result<AllIdentities, StoreError> {
        let end = self.journal.end()?;
        Ok(AllIdentities {
            directory: self.database.load()?,
            number: end.number,
            installation: end.installation,
            events: self.database.kept_events()?,
            last_used: self.database.last_used()?,
        })
    }
}
