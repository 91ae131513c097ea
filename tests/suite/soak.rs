//! Everything at once: pulls, revocations, evictions, faults of upstream and kills, for some seconds here and for as long
//! as an operator wants with `tests/soak everything`. It ends with a report.

mod report;
mod work;

use std::cell::{Cell, RefCell};
use std::process::Command;
use std::time::{Duration, Instant};

use fake_registry::{FakeRegistry, Image, Layer, Listener};

use self::report::Report;
use crate::crash::Chances;
use crate::service::{Client, Group, Scenario, Service, Started, eventually};

/// The cache has space for about half of the images.
const SETTINGS: &str = "header_timeout = \"2s\"\nidle_timeout = \"2s\"\n[cache]\ntag_freshness = \"1s\"\nnegative_ttl = 0\n\
                        [storage]\nmax_bytes = \"20MB\"";

const IMAGES: u64 = 20;
const LAYER_BYTES: u64 = 2_000_000;

/// A service under load.
struct Soak {
    hub: FakeRegistry,
    service: RefCell<Service>,
    team: Group,
    /// A client of the running service.
    client: RefCell<Client>,
    images: Vec<Image>,
    /// Login tokens whose credentials were revoked, and the secrets of those that were not.
    revoked: RefCell<Vec<String>>,
    kept: RefCell<Vec<(String, String)>>,
    report: Report,
    end: Cell<Instant>,
}

#[actix_rt::test]
async fn under_pulls_revocations_evictions_faults_and_kills_nothing_is_wrong_and_nothing_is_lost() {
    let seconds = std::env::var("DEPENDENCY_PROXY_TEST_SOAK_SECONDS").ok().and_then(|number| number.parse().ok());
    let soak = Soak::start().await;
    soak.end.set(Instant::now() + Duration::from_secs(seconds.unwrap_or(12)));
    let mut chances = Chances::announced("soak");
    let pulls = (0..6).map(|_| soak.pull_images(chances.branch())).collect::<Vec<_>>();
    futures::join!(
        futures::future::join_all(pulls),
        soak.change_tokens(chances.branch()),
        soak.inject_faults(chances.branch()),
        soak.kill(chances.branch()),
    );
    soak.nothing_is_lost().await;
    eprintln!("{}", soak.report);
    soak.report.must_have_done_everything();
}

impl Soak {
    async fn start() -> Self {
        let images: Vec<Image> = (0..IMAGES)
            .map(|seed| Image::single(&[Layer::random(LAYER_BYTES, seed), Layer::random(1_000, seed)]))
            .collect();
        let Started { hub, service, team, client, .. } = Scenario::new().settings(SETTINGS).start().await;
        for (number, image) in images.iter().enumerate() {
            hub.push_image(&format!("library/app{number}"), "1", image);
        }
        let (service, client) = (RefCell::new(service), RefCell::new(client));
        let (revoked, kept, report, end) =
            (RefCell::default(), RefCell::default(), Report::default(), Cell::new(Instant::now()));
        Self { hub, service, team, client, images, revoked, kept, report, end }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.end.get()
    }

    /// Every image can be pulled, every token that was not revoked logs in, no other does, and no file is wrong.
    async fn nothing_is_lost(&self) {
        self.hub.behave();
        self.hub.up(Listener::Registry);
        for number in 0..self.images.len() {
            eventually("each image can be pulled", async || self.pull(number).await).await;
        }
        let client = self.client.borrow().clone();
        for (username, secret) in self.kept.take() {
            let token = client.with_basic(&username, &secret).get("/jwt/auth?service=dependency_proxy").await;
            assert_eq!(token.status, 200, "a token is lost: {}", token.text());
        }
        for bearer in self.revoked.take() {
            let answer = client.with_authorization(&bearer).get("/v2/").await;
            assert_eq!(answer.status, 401, "a revocation is lost");
        }
        let mut service = self.service.borrow_mut();
        assert!(service.stop().success());
        let mut fsck = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"));
        let examined = fsck.arg("fsck").arg("--data").arg(service.data()).output().unwrap();
        assert!(examined.status.success(), "{}", String::from_utf8_lossy(&examined.stdout));
    }
}
