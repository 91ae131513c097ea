//! The follower of a fleet: looks at the database again and again for changes that other replicas have made, and reads
//! the change log in the object store while the database cannot be reached. Each look that has shown everything lets
//! the directory in memory be used for a bounded time.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures::future::join;
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, timeout};

use super::policy_evaluator::{PolicyEvaluatorHandle, machine_time};
use crate::domain::deadlines;
use crate::domain::directory::Version;
use crate::domain::fleet::validity::{Bound, MachineTime};
use crate::store::error::{FleetError, StoreError};
use crate::store::fleet::{ChangeLog, Claims, FleetIdentities, Missed, Registration};
use crate::telemetry::LineLimit;

/// The parts that the follower works with.
pub struct Follower {
    /// The directory in memory.
    pub policy: PolicyEvaluatorHandle,
    /// The database.
    pub identities: FleetIdentities,
    /// The change log.
    pub log: ChangeLog,
    /// The downloads that replicas share.
    pub claims: Claims,
    /// The registration of this replica.
    pub registration: Registration,
    /// Maximum age of what this replica knows.
    pub bound: Bound,
    /// Maximum time for which the log stands in for the database.
    pub without_database: Duration,
}

/// Handle of the follower. Cheap to clone.
#[derive(Clone)]
pub struct FollowerHandle {
    policy: PolicyEvaluatorHandle,
    registration: Registration,
    wake: Arc<Notify>,
    /// True once the loop must not look any more. Locked during a look.
    ended: Arc<Mutex<bool>>,
}

/// State of the loop.
struct Looking {
    parts: Follower,
    /// The last look at the database that succeeded.
    last_database: Cell<MachineTime>,
    /// The last time at which this replica recorded that it is alive.
    last_alive: Cell<MachineTime>,
    /// The last look at the log.
    last_log: Cell<MachineTime>,
    /// The last time at which old changes were removed.
    last_tidying: Cell<MachineTime>,
    /// The history of changes whose log counts.
    history: RefCell<String>,
}

/// Interval at which a replica records that it is alive.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// Interval at which a replica looks at the log also while the database responds, to report whether it could.
const LOG_INTERVAL: Duration = Duration::from_secs(30);
/// Interval at which a replica removes changes that are too old.
const TIDY_INTERVAL: Duration = Duration::from_secs(3600);

impl FollowerHandle {
    /// Starts the loop on this arbiter. The directory must have been loaded after the registration.
    pub fn start(parts: Follower, arbiter: &ArbiterHandle) -> Self {
        let (policy, registration) = (parts.policy.clone(), parts.registration.clone());
        let handle = Self { policy, registration, wake: Arc::default(), ended: Arc::default() };
        let (wake, ended) = (handle.wake.clone(), handle.ended.clone());
        arbiter.spawn_fn(move || {
            let now = machine_time();
            let [last_database, last_alive, last_log, last_tidying] = [now; 4].map(Cell::new);
            let history = RefCell::default();
            let looking = Looking { parts, last_database, last_alive, last_log, last_tidying, history };
            actix_rt::spawn(looking.run(wake, ended));
        });
        handle
    }

    /// Waits until the directory has this change, for at most this time, and returns the version that it has then.
    /// Causes a look at once.
    pub async fn wait_for(&self, version: Version, limit: Duration) -> Version {
        if self.policy.version() < version {
            self.wake.notify_one();
        }
        drop(timeout(limit, self.policy.reached(version)).await);
        self.policy.version()
    }

    /// Ends the loop and the registration, so that writers do not wait for this replica any more. Call it when no
    /// request is served any more.
    pub async fn leave(&self) {
        // No look is in progress now, which would register the replica again.
        *self.ended.lock().await = true;
        let left = timeout(deadlines::LEAVE, self.registration.leave()).await;
        let left =
            left.unwrap_or_else(|_| Err(FleetError::Unreachable("it does not respond in time".to_owned()).into()));
        if let Err(error) = left {
            tracing::warn!(%error, "this replica is still registered: changes take longer until it is back");
        }
    }
}

impl Looking {
    async fn run(self, wake: Arc<Notify>, ended: Arc<Mutex<bool>>) {
        loop {
            let ended = ended.lock().await;
            if *ended {
                return;
            }
            let began = Instant::now();
            self.look().await;
            drop(ended);
            self.note_alive();
            self.forget_old_changes();
            let rest = self.parts.bound.interval().saturating_sub(began.elapsed());
            drop(timeout(rest, wake.notified()).await);
        }
    }

    async fn look(&self) {
        let mut by_database = pin!(async {
            let looked = self.look_at_database().await;
            report("database", &looked);
            looked.is_ok()
        });
        if machine_time() >= self.last_log.get() + LOG_INTERVAL {
            join(by_database, self.follow_log()).await;
            return;
        }
        // Otherwise the log is read where the database does not respond soon: it costs more, and often has to be paid
        // for.
        match timeout(self.parts.bound.interval(), &mut by_database).await {
            Ok(true) => {}
            Ok(false) => self.follow_log().await,
            Err(_) => drop(join(by_database, self.follow_log()).await),
        }
    }

    async fn follow_log(&self) {
        self.last_log.set(machine_time());
        report("object store", &self.look_at_log().await);
    }

    async fn look_at_database(&self) -> Result<(), StoreError> {
        let Follower { policy, identities, registration, bound, .. } = &self.parts;
        let asked = machine_time();
        let look = identities.look(policy.version(), bound.longest_look()).await?;
        if !look.is_registered {
            // Its row was removed, and writers have not waited for it since. The next look has what it lacks.
            registration.register().await?;
            return Ok(());
        }
        policy.follow(look.missed).await;
        *self.history.borrow_mut() = look.history;
        policy.validity().extend(bound.valid_until(asked));
        self.last_database.set(asked);
        metrics::gauge!("dependency_proxy_fleet_follows_log").set(0.0);
        Ok(())
    }

    async fn look_at_log(&self) -> Result<(), StoreError> {
        let Follower { policy, log, bound, without_database, .. } = &self.parts;
        let history = self.history.borrow().clone();
        while machine_time() < self.last_database.get() + *without_database {
            let asked = machine_time();
            match log.get(&history, policy.version().next(), bound.longest_look()).await? {
                Some(change) => policy.follow(Missed::Changes(vec![change])).await,
                None => {
                    policy.validity().extend(bound.valid_until(asked));
                    let is_alone = asked > self.last_database.get() + bound.0;
                    metrics::gauge!("dependency_proxy_fleet_follows_log").set(f64::from(u8::from(is_alone)));
                    break;
                }
            }
        }
        Ok(())
    }

    /// Removes changes that no replica needs any more, in the background.
    fn forget_old_changes(&self) {
        if machine_time() < self.last_tidying.get() + TIDY_INTERVAL {
            return;
        }
        self.last_tidying.set(machine_time());
        let Follower { identities, log, claims, .. } = &self.parts;
        let (identities, log, claims) = (identities.clone(), log.clone(), claims.clone());
        let history = self.history.borrow().clone();
        actix_rt::spawn(async move {
            let removed = async {
                let versions = identities.forget_old_changes().await?;
                log.remove(&history, &versions).await?;
                claims.forget_old().await
            };
            if let Err(error) = removed.await {
                tracing::warn!(%error, "old changes and downloads could not all be removed from the engines");
            }
        });
    }

    /// Records that this replica is alive, in the background: it must not delay looks.
    fn note_alive(&self) {
        if machine_time() < self.last_alive.get() + ALIVE_INTERVAL {
            return;
        }
        self.last_alive.set(machine_time());
        let (registration, without_database) = (self.parts.registration.clone(), self.parts.without_database);
        // A failure is reported by the looks.
        actix_rt::spawn(async move { registration.note_alive(without_database).await.ok() });
    }
}

fn report(engine: &'static str, looked: &Result<(), StoreError>) {
    static LINES: LineLimit<&'static str> = LineLimit::new();
    metrics::gauge!("dependency_proxy_fleet_engine_up", "engine" => engine).set(f64::from(u8::from(looked.is_ok())));
    if let Err(error) = looked
        && let Some(left_out) = LINES.admit(&engine)
    {
        tracing::warn!(%error, engine, left_out, "an engine of the fleet does not respond");
    }
}
