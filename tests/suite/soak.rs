//! Everything at once: pulls, revocations, pins, removals, evictions, faults of upstream and kills, for some seconds
//! here and for as long as an operator wants with `tests/soak everything`. It ends with a report, and fails where
//! anything was wrong or lost. The choices follow from the seed, which is printed; `DEPENDENCY_PROXY_TEST_SEED` sets
//! another one, and `DEPENDENCY_PROXY_TEST_SOAK_SECONDS` the duration. With the same seed the same things are tried;
//! their order still depends on the machine.
//!
//! - Each complete response has the bytes of upstream, whatever upstream sends. A range of a blob that is not stored
//!   may be wrong where upstream sends it wrong, because it cannot be verified.
//! - No pull that is allowed is refused, except with 429 or 502 to 504 because of a fault. None waits for ever.
//! - No group gets private content of another's account.
//! - A revoked credential, and that of a removed member, fails at the very next request and after each kill. Tokens
//!   that were created and not revoked log in. Pinned images are hits. Removed images stay removed.
//! - At the end each image can be pulled and becomes a hit, nothing is under way, and `fsck` finds nothing.

mod changes;
mod faults;
mod kills;
mod ledger;
mod pulls;
mod report;
mod site;

use std::cell::RefCell;
use std::process::Command;
use std::time::{Duration, Instant};

use fake_registry::{FakeRegistry, Listener};
use tokio::sync::Mutex;

use self::ledger::Ledger;
use self::report::Report;
use self::site::{ARCHIVE, Product, Team};
use crate::crash::Chances;
use crate::operating::metrics::metrics_at;
use crate::service::{Client, Service};

/// Duration without the variable, in seconds.
const SECONDS: u64 = 10;

/// Time after the duration for what has not happened yet even once, on a slow machine.
const MAX_OVERTIME: Duration = Duration::from_secs(240);

/// Maximum time for anything that must happen in the end: longer than each timeout of the service.
const DEADLINE: Duration = Duration::from_secs(120);

/// Number of clients that pull at the same time.
const PULLERS: usize = 6;

const PROGRESS_INTERVAL: Duration = Duration::from_secs(30);

/// A service under load, and all that must hold.
struct Soak {
    hub: FakeRegistry,
    service: RefCell<Service>,
    /// A client of the running service, without credentials.
    client: RefCell<Client>,
    teams: Vec<Team>,
    products: Vec<Product>,
    /// Locked during a change and its check, and while everything acknowledged is checked.
    ledger: Mutex<Ledger>,
    report: Report,
    /// Time at which it ends.
    end: Instant,
}

#[actix_rt::test]
async fn under_pulls_revocations_evictions_faults_and_kills_nothing_is_wrong_and_nothing_is_lost() {
    let seconds = std::env::var("DEPENDENCY_PROXY_TEST_SOAK_SECONDS").ok().and_then(|number| number.parse().ok());
    let mut chances = Chances::announced("soak");
    let soak = Soak::start(Duration::from_secs(seconds.unwrap_or(SECONDS))).await;
    let pulls = (0..PULLERS).map(|_| soak.pull_at_random(chances.branch())).collect::<Vec<_>>();
    tokio::join!(
        futures::future::join_all(pulls),
        soak.change_at_random(chances.branch()),
        soak.inject_faults(chances.branch()),
        soak.kill_at_random(chances.branch()),
        soak.show_progress(),
    );
    soak.end().await;
    eprintln!("{}", soak.report);
    soak.report.must_be_complete_and_without_violations();
}

impl Soak {
    async fn start(duration: Duration) -> Self {
        let hub = FakeRegistry::start();
        let products = site::stock(&hub);
        let service = site::config(&hub).start();
        let teams = site::teams(&service).await;
        let ledger = Mutex::new(Ledger::open(&service, &teams[0]).await);
        let client = RefCell::new(service.stranger());
        let (service, report, end) = (RefCell::new(service), Report::start(), Instant::now() + duration);
        Self { hub, service, client, teams, products, ledger, report, end }
    }

    /// Returns the group whose images are removed.
    fn archive(&self) -> &Team {
        self.teams.iter().find(|team| team.group.path == ARCHIVE).unwrap()
    }

    /// Returns true once the time has passed and everything has happened, or something was wrong.
    fn is_over(&self) -> bool {
        let now = Instant::now();
        let is_late = now >= self.end && (self.report.missing().is_none() || now >= self.end + MAX_OVERTIME);
        is_late || self.report.has_violations()
    }

    async fn show_progress(&self) {
        let mut next = Instant::now();
        while !self.is_over() {
            if Instant::now() >= next {
                eprintln!("{}", self.report.progress());
                next += PROGRESS_INTERVAL;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Checks that, once upstream works again, everything that was acknowledged holds, and everything can be pulled and
    /// is stored.
    async fn end(&self) {
        if self.report.has_violations() {
            return;
        }
        self.hub.behave();
        self.hub.release();
        for listener in [Listener::Registry, Listener::Realm, Listener::Storage] {
            self.hub.up(listener);
        }
        self.check_acknowledged().await;
        for team in &self.teams {
            for product in self.products.iter().filter(|product| product.is_for(team)) {
                let what = format!("{} pulls {}", team.group.path, product.name());
                self.must_happen(&what, async || self.pull(team, product).await).await;
                let what = format!("{} has {} stored", team.group.path, product.name());
                self.must_happen(&what, async || self.is_stored(team, product).await).await;
            }
        }
        self.must_happen("all downloads and waiters end", async || self.is_idle().await).await;
        self.note_evictions().await;
        self.examine();
    }

    /// Waits until this returns true, and notes a violation at the deadline.
    async fn must_happen(&self, what: &str, mut happens: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !happens().await {
            if Instant::now() >= deadline {
                return self.report.violated(&format!("not within {} seconds: {what}", DEADLINE.as_secs()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn is_idle(&self) -> bool {
        let address = self.service.borrow().metrics;
        let metrics = metrics_at(address).await;
        ["downloads_in_flight", "manifest_requests_in_flight", "queue_length{queue=\"blob_waiters\"}"]
            .map(|name| format!("dependency_proxy_{name} 0"))
            .iter()
            .all(|idle| metrics.lines().any(|line| line == idle))
    }

    /// Stops the service, and examines its folders with `fsck`.
    fn examine(&self) {
        let mut service = self.service.borrow_mut();
        if !service.stop().success() {
            self.report.violated("the service did not stop with success");
        }
        let config = service.config();
        let fsck =
            Command::new(env!("CARGO_BIN_EXE_dependency-proxy")).arg("fsck").arg("--config").arg(config).output();
        let fsck = fsck.unwrap();
        if !fsck.status.success() {
            let [out, error] = [&fsck.stdout, &fsck.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
            self.report.violated(&format!("fsck: {out}{error}"));
        }
    }
}
