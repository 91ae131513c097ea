//! The handle of the directory.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::prelude::*;
use arc_swap::{ArcSwap, Guard};
use tokio::sync::{oneshot, watch};

use super::confirmations::{Confirmations, NotConfirmed};
use super::published::Published;
use super::{Audit, Change, ChangeError, Confirm, Confirmer, Edited, Follow, PolicyEvaluator, Prepared, Validity};
use crate::actors::admission::AdmissionLimit;
use crate::domain::audit::Event;
use crate::domain::directory::{Directory, Write};
use crate::domain::fleet::State;
use crate::domain::fleet::validity::MachineTime;
use crate::store::error::{FleetError, StoreError};
use crate::store::fleet::Missed;
use crate::store::identities::{IdentityStore, Snapshot};

/// Handle of the directory: reads a snapshot without a message, and sends changes to the actor.
#[derive(Clone)]
pub struct PolicyEvaluatorHandle {
    published: Arc<Published>,
    validity: Validity,
    actor: Addr<PolicyEvaluator>,
    waiting: AdmissionLimit,
}

/// The parts that the actor needs where other replicas change the directory, too.
pub struct Shared {
    /// Waits for the other replicas.
    pub confirmer: Confirmer,
    /// The time for which the directory may be used. Its holder extends it.
    pub validity: Validity,
}

impl PolicyEvaluatorHandle {
    /// Starts the actor on this arbiter, with the directory that the store holds. At most `max_waiting`
    /// changes wait at a time. `shared` is given where other replicas have the same store.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be read.
    pub async fn start(
        store: IdentityStore,
        arbiter: &ArbiterHandle,
        max_waiting: usize,
        shared: Option<Shared>,
    ) -> Result<Self, StoreError> {
        let current = store.load().await?;
        Ok(Self::start_with(current, (store, shared), arbiter, max_waiting))
    }

    fn start_with(
        current: Snapshot,
        (store, shared): (IdentityStore, Option<Shared>),
        arbiter: &ArbiterHandle,
        max_waiting: usize,
    ) -> Self {
        let (confirmer, validity) = match shared {
            Some(Shared { confirmer, validity }) => (Some(confirmer), validity),
            None => (None, Validity::default()),
        };
        let state = State { history: current.history.clone(), version: current.version };
        let published = Arc::new(Published {
            directory: ArcSwap::from_pointee(current.directory.clone()),
            confirmations: confirmer.as_ref().map(|_| Confirmations::new(state.clone())),
            state: watch::Sender::new(state),
            observer: OnceLock::new(),
        });
        let actor = PolicyEvaluator::new(current, (store, confirmer), published.clone());
        let actor = PolicyEvaluator::start_in_arbiter(arbiter, |_| actor);
        Self { published, validity, actor, waiting: AdmissionLimit::new("changes", max_waiting) }
    }

    /// Starts an actor on this thread with these records, which are stored in this folder first.
    #[cfg(test)]
    pub(crate) fn over(records: &Directory, data: &std::path::Path) -> Result<Self, Box<dyn std::error::Error>> {
        Self::over_store(records, data).map(|(policy, _)| policy)
    }

    /// Starts such an actor, and returns its store, too.
    #[cfg(test)]
    pub(crate) fn over_store(
        records: &Directory,
        data: &std::path::Path,
    ) -> Result<(Self, IdentityStore), Box<dyn std::error::Error>> {
        let store = crate::store::embedded::identity::EmbeddedIdentities::open(data)?;
        store.commit(&records.records().map(Write::Put).collect::<Vec<_>>(), &[])?;
        let current = Snapshot { directory: store.load()?, ..Snapshot::default() };
        let store = IdentityStore::embedded(store);
        Ok((Self::start_with(current, (store.clone(), None), &Arbiter::current(), 100), store))
    }

    /// Calls `observer` with the current directory, and with each later one before its changes are acknowledged. It
    /// must not block or panic. Must be called before the first change, and once.
    pub fn observe(&self, observer: impl Fn(&Directory) + Send + Sync + 'static) {
        observer(&self.at_present());
        drop(self.published.observer.set(Box::new(observer)));
    }

    /// Returns the current directory. It contains every change that was acknowledged.
    pub fn directory(&self) -> Arc<Directory> {
        self.published.directory.load_full()
    }

    /// Returns the current directory as a guard, which is cheaper than [`Self::directory`] but must not be held
    /// across an `await` or stored.
    pub fn at_present(&self) -> Guard<Arc<Directory>> {
        self.published.directory.load()
    }

    /// Returns true if the directory may be used now. Requests are decided only while it may.
    pub fn validity(&self) -> &Validity {
        &self.validity
    }

    /// Returns the state of the current directory.
    pub fn state(&self) -> State {
        self.published.state.borrow().clone()
    }

    /// Waits until the current directory has this change.
    pub async fn reached(&self, wanted: &State) {
        let mut states = self.published.state.subscribe();
        // It fails only if the sender is gone, which this handle keeps.
        drop(states.wait_for(|state| state.covers(wanted)).await);
    }

    /// Waits until no replica decides without what the current directory shows, for at most this time. Call it after
    /// the directory was read, and before anybody learns from the result that something is revoked. It costs nothing
    /// where there are no other replicas.
    ///
    /// # Errors
    ///
    /// Fails if a replica may still decide without it.
    pub async fn confirmed(&self, limit: Duration) -> Result<(), NotConfirmed> {
        match &self.published.confirmations {
            None => Ok(()),
            Some(confirmations) => confirmations.wait(limit, || self.actor.do_send(Confirm)).await,
        }
    }

    /// Waits until no replica decides without the last change in the store, which the current directory may lack.
    ///
    /// # Errors
    ///
    /// Fails if a replica may still decide without it.
    pub async fn newest_confirmed(&self) -> Result<(), NotConfirmed> {
        match &self.published.confirmations {
            None => Ok(()),
            // A change that writes nothing is acknowledged in the same way.
            Some(_) => self.record(Vec::new()).await.map_err(|_| NotConfirmed),
        }
    }

    /// Notes that no replica decides without this state from a later time on.
    pub fn confirm_at(&self, state: State, time: MachineTime) {
        self.published.confirmations.iter().for_each(|confirmations| confirmations.confirm_at(state.clone(), time));
    }

    /// Returns true if it is known of this state that no replica decides without it, from now on or soon.
    pub fn is_certain(&self, state: &State) -> bool {
        self.published.confirmations.as_ref().is_none_or(|confirmations| confirmations.is_certain(state))
    }

    /// Adds what other replicas have changed. When this returns, it is published.
    pub async fn follow(&self, missed: Missed) {
        if matches!(&missed, Missed::Changes { changes, .. } if changes.is_empty()) {
            return;
        }
        // It fails only when the service stops.
        self.actor.send(Follow(missed)).await.ok();
    }

    /// Applies an edit, which sees the directory with all earlier changes. When this returns, all of its writes are
    /// durable, with their audit events, and published, or none was made.
    ///
    /// # Errors
    ///
    /// Fails if the edit refuses the change, if too many changes wait, or if the change cannot be stored.
    pub async fn change<T, E>(
        &self,
        edit: impl FnOnce(&Directory) -> Result<Edited<T>, E> + Send + 'static,
    ) -> Result<T, ChangeError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let edited = |Edited { writes, origin, value }| (writes, Audit::Origin(origin), value);
        self.prepare(move |directory| edit(directory).map(edited)).await
    }

    /// Stores audit events of what is no change of identities. When this returns, they are durable.
    ///
    /// # Errors
    ///
    /// Fails if too many changes wait, or if the events cannot be stored.
    pub async fn record(&self, events: Vec<Event>) -> Result<(), ChangeError<Infallible>> {
        self.prepare(move |_| Ok((Vec::new(), Audit::Given(events), ()))).await
    }

    async fn prepare<T, E>(
        &self,
        edit: impl FnOnce(&Directory) -> Result<(Vec<Write>, Audit, T), E> + Send + 'static,
    ) -> Result<T, ChangeError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let permit = self.waiting.try_acquire().ok_or(ChangeError::Busy)?;
        let (done, result) = oneshot::channel();
        let edit = |newest: Result<&Directory, &StoreError>| match newest {
            Ok(directory) => edit(directory).map_err(ChangeError::Refused),
            Err(error) => Err(error.clone().into()),
        };
        self.actor.do_send(Change(Box::new(move |newest| {
            let (change, reply) = match edit(newest) {
                Ok((writes, audit, value)) => (Some((writes, audit)), Ok(value)),
                Err(error) => (None, Err(error)),
            };
            let acknowledge = move |outcome: Result<(), StoreError>| {
                let reply = match outcome {
                    // A refusal stays one, whatever became of the other changes of its batch. But it may come from a
                    // change that is not confirmed yet.
                    Err(error @ StoreError::Fleet(FleetError::Unconfirmed)) => Err(error.into()),
                    Err(error) => reply.and_then(|_| Err(error.into())),
                    Ok(()) => reply,
                };
                // A caller that has left does not matter: its change is stored all the same.
                drop(done.send(reply));
                drop(permit);
            };
            Prepared { change, acknowledge: Box::new(acknowledge) }
        })));
        result.await.unwrap_or_else(|_| Err(ChangeError::Store("the service is stopping".to_owned())))
    }
}
