//! The handle of the directory.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use actix::prelude::*;
use arc_swap::{ArcSwap, Guard};
use tokio::sync::oneshot;

use super::{Audit, Change, ChangeError, Edited, Observer, PolicyEvaluator, Prepared};
use crate::actors::admission::AdmissionLimit;
use crate::domain::audit::Event;
use crate::domain::directory::{Directory, Write};
use crate::store::error::StoreError;
use crate::store::identities::IdentityStore;

/// Handle of the directory: reads a snapshot without a message, and sends changes to the actor.
#[derive(Clone)]
pub struct PolicyEvaluatorHandle {
    published: Arc<ArcSwap<Directory>>,
    observer: Arc<OnceLock<Observer>>,
    actor: Addr<PolicyEvaluator>,
    waiting: AdmissionLimit,
}

impl PolicyEvaluatorHandle {
    /// Starts the actor on this arbiter, with the directory that the store holds. At most `max_waiting`
    /// changes wait at a time.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be read.
    pub async fn start(store: IdentityStore, arbiter: &ArbiterHandle, max_waiting: usize) -> Result<Self, StoreError> {
        let directory = store.load().await?;
        Ok(Self::start_with(directory, store, arbiter, max_waiting))
    }

    fn start_with(directory: Directory, store: IdentityStore, arbiter: &ArbiterHandle, max_waiting: usize) -> Self {
        let published = Arc::new(ArcSwap::from_pointee(directory.clone()));
        let observer: Arc<OnceLock<Observer>> = Arc::default();
        let actor = PolicyEvaluator::new(directory, store, published.clone(), observer.clone());
        let actor = PolicyEvaluator::start_in_arbiter(arbiter, |_| actor);
        Self { published, observer, actor, waiting: AdmissionLimit::new("changes", max_waiting) }
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
        let directory = store.load()?;
        let store = IdentityStore::embedded(store);
        Ok((Self::start_with(directory, store.clone(), &Arbiter::current(), 100), store))
    }

    /// Calls `observer` with the current directory, and with each later one before its changes are acknowledged. It
    /// must not block or panic. Must be called before the first change, and once.
    pub fn observe(&self, observer: impl Fn(&Directory) + Send + Sync + 'static) {
        observer(&self.at_present());
        drop(self.observer.set(Box::new(observer)));
    }

    /// Returns the current directory. It contains every change that was acknowledged.
    pub fn directory(&self) -> Arc<Directory> {
        self.published.load_full()
    }

    /// Returns the current directory as a guard, which is cheaper than [`Self::directory`] but must not be held
    /// across an `await` or stored.
    pub fn at_present(&self) -> Guard<Arc<Directory>> {
        self.published.load()
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
        self.actor.do_send(Change(Box::new(move |directory| match edit(directory) {
            Err(error) => {
                drop(done.send(Err(ChangeError::Refused(error))));
                None
            }
            Ok((writes, audit, value)) => {
                let acknowledge = move |outcome: Result<(), StoreError>| {
                    // A caller that has left does not matter: its change is stored all the same.
                    drop(done.send(outcome.map(|()| value).map_err(ChangeError::from)));
                    drop(permit);
                };
                Some(Prepared { writes, audit, acknowledge: Box::new(acknowledge) })
            }
        })));
        result.await.unwrap_or_else(|_| Err(ChangeError::Store("the service is stopping".to_owned())))
    }
}
