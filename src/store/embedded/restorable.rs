//! Identities that can be restored, as a backup, an export, a journal or a database has them.

use super::changes::{Entry, Records};
use super::event_key::id_in;
use super::events;
use crate::auth::jwt::KeySet;
use crate::domain::audit::Event;
use crate::domain::chosen_setting::ChosenSetting;
use crate::domain::directory::Directory;
use crate::domain::id::InstallationId;
use crate::store::all_identities::KeptEvent;
use crate::store::error::StoreError;

/// Identities that can be restored.
#[derive(Debug)]
pub struct Backup {
    /// All identities.
    pub directory: Directory,
    /// The audit events of their changes.
    pub events: KeptEvents,
    /// Number of the last change in it; 0 if it is not recorded.
    pub number: u64,
    /// The installation that it belongs to; `None` if it is not recorded.
    pub installation: Option<InstallationId>,
    /// True if the last change is incomplete and was left out, as in a copy of a journal that was taken while it
    /// was in use.
    pub incomplete: bool,
    /// Settings and signing keys, which only a file of `backup` has.
    pub beside: Beside,
}

/// The audit events in a backup, as they are stored.
#[derive(Debug, Default)]
pub struct KeptEvents(pub(super) Records);

/// Content of a backup beside the identities.
#[derive(Debug, Default)]
pub struct Beside {
    /// The settings that differ from the defaults.
    pub settings: Vec<ChosenSetting>,
    /// The signing keys; `None` if they were left out.
    pub signing_keys: Option<KeySet>,
    /// The keys of groups' accounts; `None` if they were left out.
    pub account_keys: Option<KeySet>,
}

impl KeptEvents {
    /// Returns the events by themselves.
    ///
    /// # Errors
    ///
    /// Fails if one has a key that is none of an event.
    pub fn into_events(self) -> Result<Vec<KeptEvent>, StoreError> {
        let kept = |(key, event): (String, _)| Ok(KeptEvent { id: id_in(key.as_bytes())?, of_change: true, event });
        self.0.into_iter().map(kept).collect()
    }

    /// Adds an event after the others.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be serialised.
    pub fn add(&mut self, event: &Event) -> Result<(), StoreError> {
        let Entry { key, value } = events::following(self.0.keys().next_back(), event)?;
        self.0.extend(value.map(|value| (key, value)));
        Ok(())
    }
}
