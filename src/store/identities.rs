//! The store of identities: users, groups, members and tokens, when each credential was last used, and audit events.
//!
//! # Contract
//!
//! | operation | atomic | durable when it returns | after a crash during it |
//! |---|---|---|---|
//! | [`load`](IdentityStore::load) | the state after the last change | | |
//! | [`last_used`](IdentityStore::last_used) | each time by itself | | |
//! | [`begin`](IdentityStore::begin) | yes: the state after the last change, and no other change until the turn ends | | |
//! | [`commit`](ChangeTurn::commit) | yes | yes, against the loss of power | the change is there whole, or not |
//! | [`events`](IdentityStore::events), [`event`](IdentityStore::event) | each event by itself; one that is seen has all earlier ones before it | | |
//! | [`note_events`](IdentityStore::note_events) | yes | no | some minutes may be lost |
//! | [`prune_events`](IdentityStore::prune_events) | in small steps | the removal of events of changes | some are removed |
//! | [`note_last_used`](IdentityStore::note_last_used), [`forget_last_used`](IdentityStore::forget_last_used) | no | no | some minutes may be lost |
//! | [`used_elsewhere`](IdentityStore::used_elsewhere) | each time by itself | | |
//! | [`tidy`](IdentityStore::tidy) | yes | the export, if it was due; a fleet has none | the export of before |
//! | [`finish`](IdentityStore::finish) | the export, yes | the export, and the times of last use; nothing waits in a fleet | the export of before; some minutes may be lost |
//!
//! There is one writer of changes in a process, the policy evaluator, which has one turn at a time. After an error it
//! goes on with the state before: an engine that cannot know whether a commit succeeded must find out, or refuse all
//! further ones. The other operations may run beside it. Nothing blocks the calling thread, unless stated otherwise.

use std::collections::HashMap;
use std::sync::Arc;

use super::blocking::blocking;
use super::embedded::identity::EmbeddedIdentities;
use super::error::StoreError;
use super::fleet::{Committed, FleetIdentities, FleetTurn};
pub use super::snapshot::Snapshot;
use crate::domain::audit::Event;
use crate::domain::audit::query::{EventPart, EventQuery};
use crate::domain::audit::retention::{EventRetention, PrunedEvents};
use crate::domain::directory::{Directory, Version, Write};
use crate::domain::id::{CredentialId, EventId};
use crate::domain::last_use::LastUse;

/// Handle of the store. Cheap to clone.
#[derive(Clone)]
pub struct IdentityStore(Engine);

/// The engines that can stand behind the store.
#[derive(Clone)]
enum Engine {
    Embedded(Arc<EmbeddedIdentities>),
    Fleet(FleetIdentities),
}

/// The right to make the next change. Dropped without a commit, it changes nothing.
pub struct ChangeTurn {
    /// The identities after the last change. The holder applies its own to them.
    pub directory: Directory,
    version: Version,
    history: String,
    engine: TurnOf,
}

/// The engine of a turn.
enum TurnOf {
    Embedded(Arc<EmbeddedIdentities>),
    Fleet(Box<FleetTurn>),
}

/// A change that is stored.
pub struct Stored {
    /// The directory with the change.
    pub snapshot: Snapshot,
    /// The change as the other replicas get it, or the last one if nothing was written; `None` if there are no
    /// replicas.
    pub committed: Option<Committed>,
}

impl ChangeTurn {
    /// Writes a change with its audit events, or events alone, and returns the directory with its version.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails, or if a database that replicas share cannot be reached. The change may or
    /// may not be present after the next start, but never in part.
    pub async fn commit(self, writes: Vec<Write>, events: Vec<Event>) -> Result<Stored, StoreError> {
        let Self { directory, version, history, engine } = self;
        let (version, committed) = match engine {
            TurnOf::Embedded(_) if writes.is_empty() && events.is_empty() => (version, None),
            TurnOf::Embedded(store) => {
                blocking(move || store.commit(&writes, &events)).await?;
                (version.next(), None)
            }
            TurnOf::Fleet(turn) => {
                let committed = turn.commit(&writes, &events).await?;
                (committed.version, Some(committed))
            }
        };
        Ok(Stored { snapshot: Snapshot { directory, version, history }, committed })
    }
}

impl IdentityStore {
    /// Returns the store over the embedded database.
    pub fn embedded(store: EmbeddedIdentities) -> Self {
        Self(Engine::Embedded(Arc::new(store)))
    }

    /// Returns the store over the database that replicas share.
    pub fn fleet(store: FleetIdentities) -> Self {
        Self(Engine::Fleet(store))
    }

    /// Returns all identities.
    ///
    /// # Errors
    ///
    /// Fails if the store is damaged or cannot be read.
    pub async fn load(&self) -> Result<Snapshot, StoreError> {
        match &self.0 {
            Engine::Embedded(store) => {
                let directory = run(store, EmbeddedIdentities::load).await?;
                Ok(Snapshot { directory, ..Snapshot::default() })
            }
            Engine::Fleet(store) => store.load().await,
        }
    }

    /// Waits for the turn to make the next change. `known` is a state that was loaded or committed before.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be reached or read.
    pub async fn begin(&self, known: Snapshot) -> Result<ChangeTurn, StoreError> {
        match &self.0 {
            Engine::Embedded(store) => {
                let Snapshot { directory, version, history } = known;
                Ok(ChangeTurn { directory, version, history, engine: TurnOf::Embedded(store.clone()) })
            }
            Engine::Fleet(store) => {
                let turn = store.begin(known).await?;
                let Snapshot { directory, version, history } = turn.newest.clone();
                Ok(ChangeTurn { directory, version, history, engine: TurnOf::Fleet(Box::new(turn)) })
            }
        }
    }

    /// Adds audit events of what is no change, each a sum of what happened several times.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails.
    pub async fn note_events(&self, events: Vec<Event>) -> Result<(), StoreError> {
        match &self.0 {
            Engine::Embedded(store) => run(store, move |store| store.note_events(&events)).await,
            Engine::Fleet(store) => store.note_events(events).await,
        }
    }

    /// Returns a part of the audit events. May read all of them.
    ///
    /// # Errors
    ///
    /// Fails if the store is damaged or cannot be read.
    pub async fn events(&self, query: EventQuery) -> Result<EventPart, StoreError> {
        match &self.0 {
            Engine::Embedded(store) => run(store, move |store| store.events(&query)).await,
            Engine::Fleet(store) => store.events(query).await,
        }
    }

    /// Returns the audit event with this number; `None` if there is none, or none any more.
    ///
    /// # Errors
    ///
    /// Fails if the store is damaged or cannot be read.
    pub async fn event(&self, id: EventId) -> Result<Option<Event>, StoreError> {
        match &self.0 {
            Engine::Embedded(store) => run(store, move |store| store.event(id)).await,
            Engine::Fleet(store) => store.event(id).await,
        }
    }

    /// Removes audit events that are not to be kept: some of those that are too old, and all for which there is no
    /// space. Returns their numbers; there may be more as long as there were some.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails.
    pub async fn prune_events(&self, retention: EventRetention) -> Result<PrunedEvents, StoreError> {
        match &self.0 {
            Engine::Embedded(store) => run(store, move |store| store.prune_events(&retention)).await,
            Engine::Fleet(store) => store.prune_events(retention).await,
        }
    }

    /// Returns when and from where each credential was last used, as far as it was written.
    ///
    /// # Errors
    ///
    /// Fails if the store is damaged or cannot be read.
    pub async fn last_used(&self) -> Result<HashMap<CredentialId, LastUse>, StoreError> {
        match &self.0 {
            Engine::Embedded(store) => run(store, EmbeddedIdentities::last_used).await,
            Engine::Fleet(store) => store.last_used().await,
        }
    }

    /// Returns last uses that other processes have recorded since the last call, and may return some again.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be reached.
    pub async fn used_elsewhere(&self) -> Result<HashMap<CredentialId, LastUse>, StoreError> {
        match &self.0 {
            Engine::Embedded(_) => Ok(HashMap::new()),
            Engine::Fleet(store) => store.used_since_last_time().await,
        }
    }

    /// Records when and from where credentials were last used.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails.
    pub async fn note_last_used(&self, used: HashMap<CredentialId, LastUse>) -> Result<(), StoreError> {
        match &self.0 {
            Engine::Embedded(store) => run(store, move |store| store.note_last_used(used)).await,
            Engine::Fleet(store) => store.note_last_used(used).await,
        }
    }

    /// Deletes the last uses of these credentials.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails.
    pub async fn forget_last_used(&self, credentials: Vec<CredentialId>) -> Result<(), StoreError> {
        match &self.0 {
            Engine::Embedded(store) => run(store, move |store| store.forget_last_used(&credentials)).await,
            Engine::Fleet(store) => store.forget_last_used(credentials).await,
        }
    }

    /// Does the periodic work: refills the disk reserve for changes, and writes the export where it is due.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails.
    pub async fn tidy(&self) -> Result<(), StoreError> {
        let tidy = |store: &EmbeddedIdentities| {
            store.refill_reserve();
            store.tidy()
        };
        match &self.0 {
            Engine::Embedded(store) => run(store, tidy).await,
            Engine::Fleet(_) => Ok(()),
        }
    }

    /// Writes the export and everything that waits in memory, for the end of the process.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails. Both are tried.
    pub async fn finish(&self) -> Result<(), StoreError> {
        match &self.0 {
            Engine::Embedded(store) => run(store, |store| store.write_export().and(store.flush())).await,
            Engine::Fleet(_) => Ok(()),
        }
    }
}

/// Runs work on the embedded store, on a thread for blocking work.
async fn run<T: Send + 'static>(
    store: &Arc<EmbeddedIdentities>,
    work: impl FnOnce(&EmbeddedIdentities) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let store = store.clone();
    blocking(move || work(&store)).await
}
