//! Gates for the requests of each account: while upstream's limit is reached (429) they wait here for a bounded time,
//! and then pass a few at a time. Groups take turns. A gate is used on one thread only, so that no task waits for
//! another thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::request::ContentKind;
use crate::actors::admission::{Counted, refused};
use crate::domain::fair_queue::FairQueue;
use crate::domain::id::GroupId;
use crate::domain::origin::{Account, Origin};
use crate::domain::repository::UpstreamName;
use crate::domain::throttle::{Outcome, Throttle};
use crate::upstream::{RateLimit, UpstreamError};

/// The gates of all upstreams.
#[derive(Default)]
pub(super) struct Gates(HashMap<GateKey, Gate>);

/// The requests that pass one gate.
pub(super) type GateKey = (ContentKind, UpstreamName, Account);

/// The gate for one kind of requests with one account. Cheap to clone; clones share their state.
#[derive(Clone)]
pub(super) struct Gate(Rc<RefCell<State>>);

struct State {
    throttle: Throttle,
    waiting: FairQueue<Option<GroupId>, oneshot::Sender<Pass>>,
    /// The limit that the last 429 reported.
    limit: RateLimit,
    /// End of the pause after the last 429; `None` once it was reported to the other replicas.
    pause: Option<Instant>,
    held: metrics::Gauge,
}

/// Permission to send one request. Dropped without [`Self::end`], its outcome counts as unknown.
pub(super) struct Pass {
    gate: Gate,
    outcome: Outcome,
}

/// Conditions on which a request waits at a gate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    /// The group for which it is sent.
    pub(super) group: Option<GroupId>,
    /// Time until which it waits; `None`: not at all.
    pub(super) until: Option<Instant>,
    /// Maximum number of requests that wait.
    pub(super) max_waiting: usize,
}

impl Gates {
    /// Returns the gate for these requests.
    pub(super) fn of(&mut self, kind: ContentKind, origin: &Origin) -> Gate {
        let Origin { upstream, account, repository: _ } = origin;
        self.0.entry((kind, upstream.clone(), account.clone())).or_insert_with(|| Gate::of(upstream)).clone()
    }

    /// Opens the gates of these upstreams for requests from now on.
    pub(super) fn forget(&mut self, names: &[UpstreamName]) {
        self.0.retain(|(_, upstream, _), _| !names.contains(upstream));
    }

    /// Removes the gates of this account for requests from now on.
    pub(super) fn forget_account(&mut self, (upstream, account): &(UpstreamName, Account)) {
        for kind in ContentKind::ALL {
            self.0.remove(&(kind, upstream.clone(), account.clone()));
        }
    }

    /// Returns the ends of the pauses that upstreams have caused since the last call, with their gates.
    pub(super) fn take_pauses(&self, now: Instant) -> Vec<(GateKey, Instant)> {
        let pause = |(key, gate): (&GateKey, &Gate)| {
            let until = gate.0.borrow_mut().pause.take().filter(|until| now < *until)?;
            Some((key.clone(), until))
        };
        self.0.iter().filter_map(pause).collect()
    }

    /// Closes a gate until `until`, because upstream has sent a 429 to another replica.
    pub(super) fn hold(&mut self, key: GateKey, until: Instant) {
        let gate = self.0.entry(key).or_insert_with_key(|(_, upstream, _)| Gate::of(upstream));
        let closed = gate.0.borrow_mut().throttle.hold(until, Instant::now());
        if closed {
            gate.admit_at(until);
        }
    }

    /// Returns the time until which a gate of this account is closed.
    pub(super) fn closed_until(&self, upstream: &UpstreamName, account: &Account, now: Instant) -> Option<Instant> {
        let gate = |kind| self.0.get(&(kind, upstream.clone(), account.clone()));
        let gates = ContentKind::ALL.into_iter().filter_map(gate);
        gates.filter_map(|gate| gate.0.borrow().throttle.closed_until(now)).max()
    }
}

impl Gate {
    fn of(upstream: &UpstreamName) -> Self {
        let held = metrics::gauge!("dependency_proxy_upstream_held", "upstream" => upstream.to_string());
        Self(Rc::new(RefCell::new(State {
            throttle: Throttle::default(),
            waiting: FairQueue::default(),
            limit: RateLimit::default(),
            pause: None,
            held,
        })))
    }

    /// Returns the permission to send a request.
    ///
    /// # Errors
    ///
    /// Fails with [`UpstreamError::RateLimited`] if upstream's limit is reached for longer than the request waits, and
    /// with [`UpstreamError::Busy`] if too many wait.
    pub(super) async fn enter(&self, wait: Wait) -> Result<Pass, UpstreamError> {
        let now = Instant::now();
        let (receiver, until, _waiting) = {
            let mut state = self.0.borrow_mut();
            if state.waiting.is_empty() && state.throttle.enter(now).is_ok() {
                return Ok(self.pass());
            }
            let opens = state.throttle.closed_until(now).unwrap_or(now);
            let Some(until) = wait.until.filter(|until| opens < *until) else { return Err(state.refusal(now)) };
            state.waiting.retain(|waiter| !waiter.is_closed());
            if state.waiting.len() >= wait.max_waiting {
                refused("upstream");
                return Err(UpstreamError::Busy);
            }
            let (sender, receiver) = oneshot::channel();
            state.waiting.push(wait.group, sender);
            (receiver, until, Counted::by(state.held.clone()))
        };
        match tokio::time::timeout_at(until.into(), receiver).await {
            Ok(Ok(pass)) => Ok(pass),
            Ok(Err(_)) | Err(_) => Err(self.0.borrow().refusal(Instant::now())),
        }
    }

    fn pass(&self) -> Pass {
        Pass { gate: self.clone(), outcome: Outcome::Unknown }
    }

    /// Admits as many waiting requests as the throttle allows.
    fn admit_waiting(&self) {
        let now = Instant::now();
        self.0.borrow_mut().waiting.retain(|waiter| !waiter.is_closed());
        let admitted = || {
            let mut state = self.0.borrow_mut();
            if state.waiting.is_empty() || state.throttle.enter(now).is_err() { None } else { state.waiting.pop() }
        };
        while let Some(waiter) = admitted() {
            // Those that have left were removed above.
            drop(waiter.send(self.pass()));
        }
    }

    fn ended(&self, outcome: Outcome) {
        let now = Instant::now();
        let opens = {
            let mut state = self.0.borrow_mut();
            state.throttle.ended(outcome, now);
            let opens = state.throttle.closed_until(now);
            if matches!(outcome, Outcome::Limited(_)) {
                state.pause = opens;
            }
            opens
        };
        match opens {
            Some(until) if matches!(outcome, Outcome::Limited(_)) => self.admit_at(until),
            Some(_) => {}
            None => self.admit_waiting(),
        }
    }

    fn admit_at(&self, time: Instant) {
        let gate = self.clone();
        actix_rt::spawn(async move {
            tokio::time::sleep_until(time.into()).await;
            gate.admit_waiting();
        });
    }
}

impl State {
    fn refusal(&self, now: Instant) -> UpstreamError {
        let opens = self.throttle.closed_until(now).map(|until| until.duration_since(now));
        UpstreamError::RateLimited(RateLimit { retry_after: opens, ..self.limit })
    }
}

impl Pass {
    /// Reports the outcome of the request.
    pub(super) fn end<T>(mut self, outcome: &Result<T, UpstreamError>) {
        self.outcome = match outcome {
            Err(UpstreamError::RateLimited(limit)) => {
                self.gate.0.borrow_mut().limit = *limit;
                Outcome::Limited(limit.retry_after)
            }
            Err(error) if !error.was_sent() => Outcome::Unknown,
            Err(UpstreamError::TimedOut | UpstreamError::Unreachable { .. } | UpstreamError::Lost) => Outcome::Unknown,
            Ok(_) | Err(_) => Outcome::Passed,
        };
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.ended(self.outcome);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::time::Duration;

    use futures::future::join_all;

    use super::*;

    fn gate() -> Gate {
        Gate::of(&"docker.io".parse().unwrap())
    }

    fn wait(group: u64, milliseconds: u64) -> Wait {
        let until = Instant::now() + Duration::from_millis(milliseconds);
        Wait { group: Some(GroupId(group)), until: Some(until), max_waiting: 100 }
    }

    fn limited(milliseconds: u64) -> Result<(), UpstreamError> {
        let retry_after = Some(Duration::from_millis(milliseconds));
        Err(UpstreamError::RateLimited(RateLimit { retry_after, ..RateLimit::default() }))
    }

    #[actix_rt::test]
    async fn those_who_wait_pass_in_turns_once_the_limit_has_passed() {
        let (gate, order) = (gate(), RefCell::new(Vec::new()));
        gate.enter(wait(0, 0)).await.unwrap().end(&limited(200));
        let request = async |group| {
            let pass = gate.enter(wait(group, 60_000)).await.unwrap();
            order.borrow_mut().push(group);
            pass.end(&Ok(()));
        };
        join_all([1, 1, 1, 1, 2, 3].map(&request)).await;
        assert_eq!(*order.borrow(), [1, 2, 3, 1, 1, 1]);
    }

    #[actix_rt::test]
    async fn who_does_not_wait_and_who_would_wait_in_vain_is_refused_at_once_with_the_time() {
        let gate = gate();
        gate.enter(wait(0, 0)).await.unwrap().end(&limited(60_000));
        for wait in [Wait { until: None, ..wait(1, 0) }, wait(1, 30_000)] {
            let refused = gate.enter(wait).await.err();
            let is_long = |limit: RateLimit| limit.retry_after.is_some_and(|time| time > Duration::from_secs(59));
            assert!(matches!(refused, Some(UpstreamError::RateLimited(limit)) if is_long(limit)));
        }
    }

    #[actix_rt::test]
    async fn a_pause_of_another_replica_holds_here_and_ends_without_a_request() {
        let mut gates = Gates::default();
        let key = || (ContentKind::Blobs, "docker.io".parse().unwrap(), Account::Anonymous);
        gates.hold(key(), Instant::now() + Duration::from_millis(200));
        assert!(gates.take_pauses(Instant::now()).is_empty(), "it is passed on by the other one");
        let gate = gates.0[&key()].clone();
        assert!(gate.enter(Wait { until: None, ..wait(1, 0) }).await.is_err());
        let begun = Instant::now();
        gate.enter(wait(1, 60_000)).await.unwrap().end(&limited(60_000));
        assert!(begun.elapsed() >= Duration::from_millis(150), "{:?}", begun.elapsed());
        let pauses = gates.take_pauses(Instant::now());
        assert_eq!(pauses.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(), [key()]);
        assert!(gates.take_pauses(Instant::now()).is_empty());
    }

    #[actix_rt::test]
    async fn who_leaves_takes_no_turn_and_too_many_are_refused() {
        let gate = gate();
        let taken = gate.enter(wait(0, 0)).await.unwrap();
        taken.end(&limited(100));
        let few = Wait { max_waiting: 1, ..wait(1, 60_000) };
        let left = tokio::time::timeout(Duration::from_millis(10), gate.enter(few)).await;
        assert!(left.is_err());
        let (first, second) = tokio::join!(gate.enter(few), gate.enter(few));
        assert!(first.is_ok() && second.is_err_and(|error| error == UpstreamError::Busy));
    }
}
