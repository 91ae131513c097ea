//! The follower of a fleet: looks at the database again and again for changes that other replicas have made, and reads
//! the change log in the object store while the database cannot be reached. Each look that has shown everything lets
//! the directory in memory be used for a bounded time.

mod absences;
mod background;

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures::future::{Either, select};
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep, timeout};

use self::absences::Absences;
use super::engine_states::{self, EngineState};
use super::policy_evaluator::{PolicyEvaluatorHandle, machine_time};
use crate::domain::deadlines;
use crate::domain::fleet::State;
use crate::domain::fleet::validity::{Bound, MachineTime};
use crate::store::error::{FleetError, StoreError};
use crate::store::fleet::{ChangeLog, Claims, FleetIdentities, Missed, Registered, Registration};
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
    /// A time before the registration.
    pub registered: MachineTime,
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
    /// The time from which this process confirms changes: another process with the same id has stopped to decide then.
    confirms_from: MachineTime,
    wake: Arc<Notify>,
    /// True once the loop must not look any more. Locked during a look.
    ended: Arc<Mutex<bool>>,
}

/// State of the loop.
struct Looking {
    parts: Follower,
    /// The beginning of the last request by which the database recorded that this replica is alive.
    last_recorded: Rc<Cell<MachineTime>>,
    /// The last time at which such a request was sent.
    last_alive: Cell<MachineTime>,
    /// The longest bound of all replicas, as the last look at the database has found it.
    longest_bound: Cell<Bound>,
    /// True if the database responded to the last look.
    database_responds: Cell<bool>,
    /// The last look at the log.
    last_log: Cell<MachineTime>,
    /// The last time at which old changes were removed.
    last_tidying: Cell<MachineTime>,
    /// The history whose log was verified; `None`: the log does not count yet.
    verified: Rc<RefCell<Option<String>>>,
    /// True while the log is being verified.
    verifying: Rc<Cell<bool>>,
    absences: Rc<RefCell<Absences>>,
    /// True while another process has the id of this replica.
    is_replaced: Cell<bool>,
}

impl FollowerHandle {
    /// Starts the loop on this arbiter. The directory must have been loaded after the registration.
    pub fn start(parts: Follower, arbiter: &ArbiterHandle) -> Self {
        let confirms_from = parts.bound.over_everywhere(parts.registered);
        let (policy, registration) = (parts.policy.clone(), parts.registration.clone());
        let handle = Self { policy, registration, confirms_from, wake: Arc::default(), ended: Arc::default() };
        let (wake, ended) = (handle.wake.clone(), handle.ended.clone());
        arbiter.spawn_fn(move || drop(actix_rt::spawn(Looking::new(parts).run(wake, ended))));
        handle
    }

    /// Waits until the directory has this change, for at most this time, and returns the state that it has then. Causes
    /// a look at once.
    pub async fn wait_for(&self, wanted: &State, limit: Duration) -> State {
        sleep(self.confirms_from.0.saturating_sub(machine_time().0)).await;
        let state = self.policy.state();
        if !state.covers(wanted) {
            self.wake.notify_one();
        }
        drop(timeout(limit, self.policy.reached(wanted)).await);
        self.policy.state()
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
    fn new(parts: Follower) -> Self {
        let now = machine_time();
        Self {
            last_recorded: Rc::new(Cell::new(parts.registered)),
            last_alive: Cell::new(now),
            longest_bound: Cell::new(parts.bound),
            database_responds: Cell::new(true),
            last_log: Cell::new(now),
            last_tidying: Cell::new(now),
            verified: Rc::default(),
            verifying: Rc::default(),
            absences: Rc::default(),
            is_replaced: Cell::new(false),
            parts,
        }
    }

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
            self.test_log();
            self.forget_old_changes();
            let rest = self.parts.bound.interval().saturating_sub(began.elapsed());
            drop(timeout(rest, wake.notified()).await);
        }
    }

    /// Looks at the database, and at the log where that has failed or does not respond soon.
    async fn look(&self) {
        let failed = Notify::new();
        let by_database = pin!(async {
            let looked = self.look_at_database().await;
            report("database", &looked);
            if looked.is_err() {
                failed.notify_one();
            }
            looked.is_ok()
        });
        // Not at once: the log costs more, and often has to be paid for.
        let patience = if self.database_responds.get() { self.parts.bound.interval() } else { Duration::ZERO };
        let by_log = pin!(async {
            drop(timeout(patience, failed.notified()).await);
            self.follow_log().await;
        });
        let responds = match select(by_database, by_log).await {
            // The log has nothing that the database has not shown: it must not hold up the next look.
            Either::Left((true, _)) => true,
            Either::Left((false, by_log)) => {
                by_log.await;
                false
            }
            Either::Right(((), by_database)) => by_database.await,
        };
        self.database_responds.set(responds);
        if responds {
            metrics::gauge!("dependency_proxy_fleet_follows_log").set(0.0);
        }
    }

    async fn look_at_database(&self) -> Result<(), StoreError> {
        let Follower { policy, identities, log, registration, bound, .. } = &self.parts;
        let (begun, known) = (machine_time(), policy.state());
        let look = identities.look(&known, bound.longest_look()).await?;
        match look.registered {
            Registered::Yes => self.is_replaced.set(false),
            Registered::No => {
                // Writers may not have waited for this replica. The next look has what it lacks.
                return registration.register().await.map(drop);
            }
            Registered::Replaced => {
                self.is_replaced.set(true);
                let problem =
                    "another process has registered with the id of this replica, as with a copy of its data folder";
                return Err(FleetError::Refused(problem.to_owned()).into());
            }
        }
        if look.history == known.history && look.newest < known.version {
            let from = State { history: look.history, version: look.newest };
            // The next look has everything, of the history that begins now.
            return log.begin_anew(identities, &from).await.map(drop);
        }
        policy.follow(look.missed).await;
        policy.validity().extend(bound.valid_until(begun));
        self.longest_bound.set(look.longest_bound);
        if look.logged >= look.newest {
            // Whoever lacks it has looked at the database or at the log before.
            let state = State { history: look.history.clone(), version: look.newest };
            policy.confirm_at(state, look.longest_bound.over_everywhere(machine_time()));
        }
        if self.verified.borrow().as_ref() != Some(&look.history) {
            self.verify_log();
        }
        Ok(())
    }

    async fn follow_log(&self) {
        let looked = self.look_at_log().await;
        report("object store", &looked);
        self.parts.policy.validity().note_other_secret(state_of(&looked) == EngineState::OtherSecret);
        self.last_log.set(machine_time());
        let follows = f64::from(u8::from(looked.is_ok()));
        metrics::gauge!("dependency_proxy_fleet_follows_log").set(follows);
    }

    async fn look_at_log(&self) -> Result<(), StoreError> {
        let Follower { policy, log, bound, without_database, .. } = &self.parts;
        while machine_time() < self.last_recorded.get() + *without_database {
            let (begun, known) = (machine_time(), policy.state());
            if self.is_replaced.get() {
                // Writers wait for the other process alone.
                return Err(FleetError::Refused("another process has the id of this replica".to_owned()).into());
            }
            if self.verified.borrow().as_ref() != Some(&known.history) {
                return Err(FleetError::ObjectStore("its change log was not verified yet".to_owned()).into());
            }
            match log.get(&known.history, known.version.next(), bound.longest_look()).await? {
                Some(change) => {
                    policy.follow(Missed::Changes { history: known.history, changes: vec![change] }).await;
                }
                None => {
                    policy.validity().extend(bound.valid_until(begun));
                    return self.note_logged(&known).await;
                }
            }
        }
        Err(FleetError::Unreachable("for longer than fleet.without_database".to_owned()).into())
    }

    /// Notes that no replica decides without this state soon, if the log has it.
    async fn note_logged(&self, known: &State) -> Result<(), StoreError> {
        let Follower { policy, log, bound, .. } = &self.parts;
        if !policy.is_certain(known) && log.get(&known.history, known.version, bound.longest_look()).await?.is_some() {
            // A replica that has a longer bound since the last look at the database is not among those known.
            policy.confirm_at(known.clone(), self.longest_bound.get().over_everywhere(machine_time()));
        }
        Ok(())
    }
}

fn report(engine: &'static str, looked: &Result<(), StoreError>) {
    static LINES: LineLimit<&'static str> = LineLimit::new();
    engine_states::note(engine, state_of(looked));
    metrics::gauge!("dependency_proxy_fleet_engine_up", "engine" => engine).set(f64::from(u8::from(looked.is_ok())));
    let Err(error) = looked else { return };
    if let Some(left_out) = LINES.admit(&engine) {
        match state_of(looked) {
            EngineState::OtherSecret => tracing::error!(%error, engine, left_out, "the change log cannot be used"),
            EngineState::Responds | EngineState::Silent => {
                tracing::warn!(%error, engine, left_out, "an engine of the fleet does not respond")
            }
        }
    }
}

fn state_of(looked: &Result<(), StoreError>) -> EngineState {
    match looked {
        Ok(()) => EngineState::Responds,
        Err(StoreError::Fleet(FleetError::OtherSignature(_))) => EngineState::OtherSecret,
        Err(_) => EngineState::Silent,
    }
}
