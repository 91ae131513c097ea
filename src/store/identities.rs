//! The store of identities: users, groups, members and tokens, when each credential was last used, and audit events.
//!
//! # Contract
//!
//! | operation | atomic | durable when it returns | after a crash during it |
//! |---|---|---|---|
//! | [`load`](IdentityStore::load) | the state after the last change | | |
//! | [`last_used`](IdentityStore::last_used) | each time by itself | | |
//! | [`commit`](IdentityStore::commit) | yes | yes, against the loss of power | the change is there whole, or not |
//! | [`events`](IdentityStore::events), [`event`](IdentityStore::event) | each event by itself; one that is seen has all earlier ones before it | | |
//! | [`note_events`](IdentityStore::note_events) | yes | no | some minutes may be lost |
//! | [`prune_events`](IdentityStore::prune_events) | in small steps | the removal of events of changes | some are removed |
//! | [`note_last_used`](IdentityStore::note_last_used), [`forget_last_used`](IdentityStore::forget_last_used) | no | no | some minutes may be lost |
//! | [`tidy`](IdentityStore::tidy) | yes | the export, if it was due | the export of before |
//! | [`finish`](IdentityStore::finish) | the export, yes | the export, and the times of last use | the export of before; some minutes may be lost |
//!
//! There is one writer of changes, the policy evaluator, which waits for each commit before the next. After an error it
//! goes on with the state before: an engine that cannot know whether a commit succeeded must find out, or refuse all
//! further ones. The other operations may run beside it. Nothing blocks the calling thread, unless stated otherwise.

use std::collections::HashMap;
use std::sync::Arc;

use super::blocking::blocking;
use super::embedded::identity::EmbeddedIdentities;
use super::error::StoreError;
use crate::domain::audit::Event;
use crate::domain::audit::query::{EventPart, EventQuery};
use crate::domain::audit::retention::{EventRetention, PrunedEvents};
use crate::domain::directory::{Directory, Write};
use crate::domain::id::{CredentialId, EventId};
use crate::domain::last_use::LastUse;

/// Handle of the store. Cheap to clone.
#[derive(Clone)]
pub struct IdentityStore(Engine);

/// The engines that can stand behind the store.
#[derive(Clone)]
enum Engine {
    Embedded(Arc<EmbeddedIdentities>),
}

impl IdentityStore {
    /// Returns the store over the embedded database.
    pub fn embedded(store: EmbeddedIdentities) -> Self {
        Self(Engine::Embedded(Arc::new(store)))
    }

    /// Returns all identities.
    ///
    /// # Errors
    ///
    /// Fails if the store is damaged or cannot be read.
    pub async fn load(&self) -> Result<Directory, StoreError> {
        self.run(EmbeddedIdentities::load).await
    }

    /// Writes a change with its audit events, or events alone.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails. The change may or may not be present after the next start, but never in
    /// part.
    pub async fn commit(&self, writes: Vec<Write>, events: Vec<Event>) -> Result<(), StoreError> {
        self.run(move |store| store.commit(&writes, &events)).await
    }

    /// Adds audit events of what is no change, each a sum of what happened several times.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails.
    pub async fn note_events(&self, events: Vec<Event>) -> Result<(), StoreError> {
        self.run(move |store| store.note_events(&events)).await
    }

    /// Returns a part of the audit events. May read all of them.
    ///
    /// # Errors
    ///
    /// Fails if the store is damaged or cannot be read.
    pub async fn events(&self, query: EventQuery) -> Result<EventPart, StoreError> {
        self.run(move |store| store.events(&query)).await
    }

    /// Returns the audit event with this number; `None` if there is none, or none any more.
    ///
    /// # Errors
    ///
    /// Fails if the store is damaged or cannot be read.
    pub async fn event(&self, id: EventId) -> Result<Option<Event>, StoreError> {
        self.run(move |store| store.event(id)).await
    }

    /// Removes audit events that are not to be kept: some of those that are too old, and all for which there is no
    /// space. Returns their numbers; there may be more as long as there were some.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails.
    pub async fn prune_events(&self, retention: EventRetention) -> Result<PrunedEvents, StoreError> {
        self.run(move |store| store.prune_events(&retention)).await
    }

    /// Returns when and from where each credential was last used, as far as it was written.
    ///
    /// # Errors
    ///
    /// Fails if the store is damaged or cannot be read.
    pub async fn last_used(&self) -> Result<HashMap<CredentialId, LastUse>, StoreError> {
        self.run(EmbeddedIdentities::last_used).await
    }

    /// Records when and from where credentials were last used.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails.
    pub async fn note_last_used(&self, used: HashMap<CredentialId, LastUse>) -> Result<(), StoreError> {
        self.run(move |store| store.note_last_used(used)).await
    }

    /// Deletes the last uses of these credentials.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails.
    pub async fn forget_last_used(&self, credentials: Vec<CredentialId>) -> Result<(), StoreError> {
        self.run(move |store| store.forget_last_used(&credentials)).await
    }

    /// Does the periodic work: refills the disk reserve for changes, and writes the export where it is due.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails.
    pub async fn tidy(&self) -> Result<(), StoreError> {
        self.run(|store| {
            store.refill_reserve();
            store.tidy()
        })
        .await
    }

    /// Writes the export and everything that waits in memory, for the end of the process.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails. Both are tried.
    pub async fn finish(&self) -> Result<(), StoreError> {
        self.run(|store| store.write_export().and(store.flush())).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&EmbeddedIdentities) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Engine::Embedded(store) = self.0.clone();
        blocking(move || work(&store)).await
    }
}
