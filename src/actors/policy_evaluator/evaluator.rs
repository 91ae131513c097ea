//! The actor: applies changes one after the other, writes them in batches, and publishes snapshots.

use std::mem;
use std::sync::{Arc, OnceLock};

use actix::prelude::*;
use arc_swap::ArcSwap;
use jiff::Timestamp;

use super::{Acknowledge, Audit, Change, Observer, Prepared};
use crate::actors::abort_on_panic::abort_on_panic;
use crate::auth::secret;
use crate::domain::audit::Event;
use crate::domain::audit::changes;
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

impl PolicyEvaluator {
    /// Creates the actor. It publishes snapshots in `published`, and calls the observer, if there is one.
    pub(super) fn new(
        directory: Directory,
        store: IdentityStore,
        published: Arc<ArcSwap<Directory>>,
        observer: Arc<OnceLock<Observer>>,
    ) -> Self {
        Self { store, published, observer, next: directory, waiting: Vec::new(), committing: false }
    }

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

impl Drop for PolicyEvaluator {
    fn drop(&mut self) {
        abort_on_panic("PolicyEvaluator");
    }
}
