//! The PolicyEvaluator is the single writer of the directory of identities: it applies one change after the other,
//! makes them durable in batches together with their audit events, and publishes snapshots. Access decisions are a pure function over a snapshot
//! (`domain::policy`), which callers evaluate without a message.

use std::convert::Infallible;
use std::mem;
use std::sync::{Arc, OnceLock};

use actix::prelude::*;
use arc_swap::{ArcSwap, Guard};
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::abort_on_panic::abort_on_panic;
use super::admission::AdmissionLimit;
use crate::auth::secret;
use crate::domain::audit::Event;
use crate::domain::audit::changes::{self, Origin};
use crate::domain::directory::{Directory, Write};
use crate::store::error::StoreError;
use crate::store::identities::IdentityStore;
use crate::telemetry::LineLimit;

/// Single writer of the directory; see the module.
pub struct PolicyEvaluator {
    store: IdentityStore,
    published: Arc<ArcSwap<Directory>>,
    observer: Arc<OnceLock<Observer>>,
    /// The published directory with all changes applied that are not durable yet.
    next: Directory,
    /// Changes of the next batch.
    waiting: Vec<Waiting>,
    /// True while a batch is being written.
    committing: bool,
}

/// Handle of the directory: reads a snapshot without a message, and sends changes to the actor.
#[derive(Clone)]
pub struct PolicyEvaluatorHandle {
    published: Arc<ArcSwap<Directory>>,
    observer: Arc<OnceLock<Observer>>,
    actor: Addr<PolicyEvaluator>,
    waiting: AdmissionLimit,
}

/// Function that is called with each directory that is published, before its changes are acknowledged. It must not
/// block or panic.
type Observer = Box<dyn Fn(&Directory) + Send + Sync>;

/// The writes of a change, by whom they are made, and the result for the caller.
pub struct Edited<T> {
    /// The writes.
    pub writes: Vec<Write>,
    /// The origin, from which the audit events are made.
    pub origin: Origin,
    /// The result for the caller.
    pub value: T,
}

/// Reason why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError<E> {
    /// The change itself was refused.
    #[error(transparent)]
    Refused(E),
    /// Too many changes are waiting already.
    #[error("too many changes wait to be stored")]
    Busy,
    /// The disk is full.
    #[error("the disk that holds the identities is full")]
    Full,
    /// The change could not be stored; the text is the reason.
    #[error("the change could not be stored: {0}")]
    Store(String),
}

impl<E> From<StoreError> for ChangeError<E> {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::Full,
            StoreError::Io(_) | StoreError::Damaged(_) | StoreError::Closed => Self::Store(error.to_string()),
        }
    }
}

/// Applies an edit to the directory. The closure sends the result to its caller itself.
#[derive(Message)]
#[rtype(result = "()")]
struct Change(Edit);

type Edit = Box<dyn FnOnce(&Directory) -> Option<Prepared> + Send>;

/// A change that is not applied yet.
struct Prepared {
    writes: Vec<Write>,
    audit: Audit,
    acknowledge: Acknowledge,
}

/// Source of the audit events of a change.
enum Audit {
    /// They are made from the writes.
    Origin(Origin),
    /// They are given, for a change of something else than identities.
    Given(Vec<Event>),
}

/// Function that reports the result of a change to its caller.
type Acknowledge = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Reports that a batch was written, or why it was not. `directory` contains its changes.
#[derive(Message)]
#[rtype(result = "()")]
struct Committed {
    directory: Directory,
    batch: Vec<Waiting>,
    outcome: Result<(), StoreError>,
}

/// A change that waits to become durable, and the function that reports the result to its caller.
struct Waiting {
    writes: Vec<Write>,
    events: Vec<Event>,
    acknowledge: Acknowledge,
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
        let actor = PolicyEvaluator {
            store,
            published: published.clone(),
            observer: observer.clone(),
            next: directory,
            waiting: Vec::new(),
            committing: false,
        };
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

    /// Calls `observer` with the current directory, and with each later one before its changes are acknowledged. It must
    /// not block or panic. Must be called before the first change, and once.
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

impl PolicyEvaluator {
    /// Writes all waiting changes in one batch. While a batch is being written, further changes collect
    /// for the next one.
    fn commit(&mut self, me: Addr<Self>) {
        if self.committing || self.waiting.is_empty() {
            return;
        }
        self.committing = true;
        let (store, directory, batch) = (self.store.clone(), self.next.clone(), mem::take(&mut self.waiting));
        actix_rt::spawn(async move {
            let writes: Vec<Write> = batch.iter().flat_map(|change| change.writes.clone()).collect();
            let events: Vec<Event> = batch.iter().flat_map(|change| change.events.clone()).collect();
            let outcome = store.commit(writes, events).await;
            me.do_send(Committed { directory, batch, outcome });
        });
    }
}

impl Actor for PolicyEvaluator {
    type Context = Context<Self>;
}

impl Handler<Change> for PolicyEvaluator {
    type Result = ();

    fn handle(&mut self, Change(edit): Change, ctx: &mut Self::Context) {
        if let Some(Prepared { writes, audit, acknowledge }) = edit(&self.next) {
            let before = self.next.clone();
            self.next.apply(&writes);
            let events = audit.events((&before, &self.next), &writes);
            self.waiting.push(Waiting { writes, events, acknowledge });
            self.commit(ctx.address());
        }
    }
}

impl Audit {
    /// Returns the events, in which nothing has the form of a secret.
    fn events(self, directories: (&Directory, &Directory), writes: &[Write]) -> Vec<Event> {
        let events = match self {
            Self::Origin(origin) => changes::events(directories, writes, &origin, Timestamp::now()),
            Self::Given(events) => events,
        };
        events.into_iter().map(|event| event.with_texts(|text| secret::redacted(text).into_owned())).collect()
    }
}

impl Handler<Committed> for PolicyEvaluator {
    type Result = ();

    fn handle(&mut self, Committed { directory, mut batch, outcome }: Committed, ctx: &mut Self::Context) {
        self.committing = false;
        match &outcome {
            Ok(()) => {
                let directory = Arc::new(directory);
                self.published.store(directory.clone());
                self.observer.get().into_iter().for_each(|observer| observer(&directory));
            }
            Err(error) => {
                static LINES: LineLimit<()> = LineLimit::new();
                if let Some(left_out) = LINES.admit(&()) {
                    tracing::error!(%error, left_out, "changes of identities could not be stored");
                }
                // Later changes were computed from a directory that contains the failed ones, so they fail, too.
                batch.append(&mut self.waiting);
                self.next = Directory::clone(&self.published.load());
            }
        }
        for change in batch {
            (change.acknowledge)(outcome.clone());
        }
        self.commit(ctx.address());
    }
}

impl Drop for PolicyEvaluator {
    fn drop(&mut self) {
        abort_on_panic("PolicyEvaluator");
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::domain::audit::{Author, Who};
    use crate::domain::directory::{Record, Service};
    use crate::store::embedded::identity::EmbeddedIdentities;
    use futures::future::join_all;

    fn count_up(directory: &Directory) -> Result<Edited<u64>, String> {
        let last_user = directory.service().last_user + 1;
        let service = Service { last_user, ..directory.service().clone() };
        let origin = Origin { author: Author::local(Who::Service), message: "counted" };
        Ok(Edited { writes: vec![Write::Put(Record::Service(service))], origin, value: last_user })
    }

    async fn start(data: &std::path::Path) -> PolicyEvaluatorHandle {
        let store = IdentityStore::embedded(EmbeddedIdentities::open(data).unwrap());
        PolicyEvaluatorHandle::start(store, &Arbiter::current(), 1000).await.unwrap()
    }

    #[actix_rt::test]
    async fn changes_that_come_together_all_happen_one_after_the_other() {
        let data = tempfile::tempdir().unwrap();
        let policy = start(data.path()).await;
        let mut numbers: Vec<u64> =
            join_all((0..200).map(|_| policy.change(count_up))).await.into_iter().map(Result::unwrap).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
        assert_eq!(policy.directory().service().last_user, 200);
        assert_eq!(policy.actor.send(Stored).await.unwrap(), 200, "acknowledged means stored");
    }

    #[actix_rt::test]
    async fn a_refused_change_leaves_nothing_behind() {
        let data = tempfile::tempdir().unwrap();
        let policy = start(data.path()).await;
        let refused = policy.change(|_| Err::<Edited<()>, _>("no")).await;
        assert_eq!(refused, Err(ChangeError::Refused("no")));
        assert_eq!(policy.change(count_up).await, Ok(1));
    }

    #[actix_rt::test]
    async fn on_a_full_disk_a_change_is_refused_and_nothing_of_it_stays() {
        let data = tempfile::tempdir().unwrap();
        let mut store = EmbeddedIdentities::open(data.path()).unwrap();
        store.fill_up();
        let store = IdentityStore::embedded(store);
        let policy = PolicyEvaluatorHandle::start(store, &Arbiter::current(), 1000).await.unwrap();
        for _ in 0..2 {
            assert_eq!(policy.change(count_up).await, Err(ChangeError::Full));
        }
        assert_eq!(policy.directory().service().last_user, 0);
        assert_eq!(policy.actor.send(Stored).await.unwrap(), 0, "what was refused is not stored either");
    }

    #[derive(Message)]
    #[rtype(result = "u64")]
    struct Stored;

    impl Handler<Stored> for PolicyEvaluator {
        type Result = ResponseFuture<u64>;

        fn handle(&mut self, _: Stored, _: &mut Self::Context) -> Self::Result {
            let store = self.store.clone();
            Box::pin(async move { store.load().await.unwrap().service().last_user })
        }
    }
}
