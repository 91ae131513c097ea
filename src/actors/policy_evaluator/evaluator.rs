//! The actor: collects changes into batches, one of which is stored at a time, and publishes snapshots.

use std::mem;
use std::sync::Arc;

use actix::prelude::*;

use super::batch::{Batch, Computed};
use super::confirmations::Confirmations;
use super::published::Published;
use super::{Acknowledge, Change, Confirm, Confirmer, Edit, Follow};
use crate::actors::abort_on_panic::abort_on_panic;
use crate::domain::fleet::State;
use crate::store::error::StoreError;
use crate::store::fleet::{Committed, Missed};
use crate::store::identities::{IdentityStore, Snapshot, Stored};
use crate::telemetry::LineLimit;

/// Single writer of the directory; see the module.
pub struct PolicyEvaluator {
    store: IdentityStore,
    /// Waits for the other replicas; `None`: there are none.
    confirmer: Option<Confirmer>,
    published: Arc<Published>,
    /// The published directory.
    current: Snapshot,
    /// Changes of the next batch.
    waiting: Vec<Edit>,
    /// True while a batch is being stored.
    storing: bool,
}

/// Reports that a batch was stored, or why it was not.
#[derive(Message)]
#[rtype(result = "()")]
struct Finished(Computed);

impl PolicyEvaluator {
    /// Creates the actor. It publishes snapshots in `published`.
    pub(super) fn new(
        current: Snapshot,
        (store, confirmer): (IdentityStore, Option<Confirmer>),
        published: Arc<Published>,
    ) -> Self {
        Self { store, confirmer, published, current, waiting: Vec::new(), storing: false }
    }

    /// Stores all waiting changes in one batch. While a batch is being stored, further changes collect for the next
    /// one.
    fn store_waiting(&mut self, me: Addr<Self>) {
        if self.storing || self.waiting.is_empty() {
            return;
        }
        self.storing = true;
        let batch = Batch { known: self.current.clone(), edits: mem::take(&mut self.waiting) };
        let store = self.store.clone();
        actix_rt::spawn(async move { me.do_send(Finished(batch.store(&store).await)) });
    }

    fn publish(&mut self, snapshot: Snapshot) {
        self.current = snapshot;
        self.published.show(&self.current);
    }

    /// Publishes a stored change, unless a later one was published meanwhile.
    fn publish_stored(&mut self, Stored { snapshot, committed }: Stored) -> Option<Committed> {
        if snapshot.history != self.current.history || snapshot.version >= self.current.version {
            self.publish(snapshot);
        }
        committed
    }

    /// Tells the callers of a batch its outcome: of a stored change once no other replica decides without it.
    fn acknowledge(&self, outcome: Result<Option<Committed>, StoreError>, acknowledgements: Vec<Acknowledge>) {
        let tell = |outcome: &Result<(), StoreError>, all: Vec<Acknowledge>| {
            all.into_iter().for_each(|acknowledge| acknowledge(outcome.clone()));
        };
        // Also where nothing was written: what the callers learn was decided on a change that another replica may lack.
        match (outcome, self.confirmer.clone()) {
            (Ok(Some(committed)), Some(confirmer)) => {
                let state = State { history: committed.history.clone(), version: committed.version };
                let confirming = self.published.confirming(|confirmations| Some(confirmations.begin(state)));
                actix_rt::spawn(async move {
                    let confirmed = confirmer.confirm(committed).await;
                    confirming.into_iter().for_each(|confirming| confirming.end(confirmed.is_ok()));
                    tell(&confirmed, acknowledgements);
                });
            }
            (outcome, _) => tell(&outcome.map(drop), acknowledgements),
        }
    }
}

impl Actor for PolicyEvaluator {
    type Context = Context<Self>;
}

impl Handler<Change> for PolicyEvaluator {
    type Result = ();

    fn handle(&mut self, Change(edit): Change, ctx: &mut Self::Context) {
        self.waiting.push(edit);
        self.store_waiting(ctx.address());
    }
}

impl Handler<Finished> for PolicyEvaluator {
    type Result = ();

    fn handle(&mut self, Finished(Computed { outcome, acknowledgements }): Finished, ctx: &mut Self::Context) {
        self.storing = false;
        let outcome = outcome.map(|stored| self.publish_stored(stored));
        if let Err(error) = &outcome {
            static LINES: LineLimit<()> = LineLimit::new();
            if let Some(left_out) = LINES.admit(&()) {
                tracing::error!(%error, left_out, "changes of identities were not acknowledged");
            }
        }
        self.acknowledge(outcome, acknowledgements);
        self.store_waiting(ctx.address());
    }
}

impl Handler<Follow> for PolicyEvaluator {
    type Result = ();

    fn handle(&mut self, Follow(missed): Follow, _: &mut Self::Context) {
        match missed {
            // Of another history than the directory: the next look at the database has everything.
            Missed::Changes { history, .. } if history != self.current.history => {}
            Missed::Changes { changes, .. } => {
                let mut next = self.current.clone();
                for change in changes {
                    // A batch of this replica, or another look, may have added some meanwhile.
                    if change.version == next.version.next() {
                        next.follow(&[change]);
                    }
                }
                if next.version > self.current.version {
                    self.publish(next);
                }
            }
            Missed::Everything(snapshot) if snapshot.history == self.current.history => {
                // A batch may have published a later state meanwhile.
                if snapshot.version > self.current.version {
                    self.publish(*snapshot);
                }
            }
            Missed::Everything(snapshot) => {
                metrics::counter!("dependency_proxy_fleet_versions_went_back_total").increment(1);
                tracing::error!(
                    known = %self.current.version, found = %snapshot.version,
                    "the database was restored to an earlier state: credentials that were revoked since are valid again. \
                     Another history of changes begins"
                );
                self.publish(*snapshot);
            }
        }
    }
}

impl Handler<Confirm> for PolicyEvaluator {
    type Result = ();

    fn handle(&mut self, Confirm: Confirm, _: &mut Self::Context) {
        let confirming = self.published.confirming(Confirmations::begin_shown);
        let (Some(confirming), Some(confirmer)) = (confirming, self.confirmer.clone()) else { return };
        actix_rt::spawn(async move {
            let confirmed = confirmer.confirm_state(confirming.state()).await;
            if let Err(error) = &confirmed {
                static LINES: LineLimit<()> = LineLimit::new();
                if let Some(left_out) = LINES.admit(&()) {
                    let version = confirming.state().version;
                    tracing::warn!(%error, %version, left_out, "a change is not confirmed by all replicas");
                }
            }
            confirming.end(confirmed.is_ok());
        });
    }
}

impl Drop for PolicyEvaluator {
    fn drop(&mut self) {
        abort_on_panic("PolicyEvaluator");
    }
}
