//! Logs that are not read, or whose reader has gone, delay nothing.

use std::io::{BufRead, BufReader};
use std::process::ChildStderr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use fake_registry::{FakeRegistry, Image, Layer};
use futures::future::join_all;
use serde_json::Value;

use super::metrics::{metrics, value};
use crate::service::{Client, Config, Service, eventually};

const DROPPED: &str = "dependency_proxy_log_lines_dropped_total";
/// Number of pulls: more lines than the pipe and the buffer can hold.
const PULLS: usize = 3000;
const CONCURRENT_PULLS: usize = 30;

/// A service with an image in its cache, whose log is a pipe.
struct Piped {
    _hub: FakeRegistry,
    service: Service,
    /// The reading end of the pipe, until it is closed.
    pipe: Option<BufReader<ChildStderr>>,
    client: Client,
}

impl Piped {
    async fn start() -> Self {
        let hub = FakeRegistry::start();
        hub.push_image("library/app", "1", &Image::single(&[Layer::random(1000, 1)]));
        let config = Config::docker_hub(&hub).variable("DEPENDENCY_PROXY__LOG__MAX_WAITING_BYTES", "200000");
        let mut service = config.start();
        let token = service.deploy_token(&service.group("team").await, "ci").await;
        service.stop();
        let pipe = Some(service.restart_into_pipe());
        let client = service.log_in_with(&token).await;
        assert_eq!(client.manifest("team", "app", "1").await.status, 200);
        Self { _hub: hub, service, pipe, client }
    }

    async fn pull(&self, pulls: usize) {
        for _ in 0..pulls.div_ceil(CONCURRENT_PULLS) {
            let pulls = (0..CONCURRENT_PULLS).map(|_| self.client.manifest("team", "app", "1"));
            assert!(join_all(pulls).await.iter().all(|response| response.status == 200));
        }
    }

    async fn dropped(&self) -> f64 {
        value(&metrics(&self.service).await, DROPPED)
    }

    /// Stops the service, and checks that this does not take longer than it should.
    async fn is_stopped(&mut self) {
        self.service.tell_to_stop();
        let told = Instant::now();
        assert_eq!(self.service.ended().await.code(), Some(0));
        assert!(told.elapsed() < Duration::from_secs(20), "{:?}", told.elapsed());
    }
}

#[actix_rt::test]
async fn a_log_that_nobody_reads_holds_up_neither_pulls_nor_health_nor_the_end() {
    let mut piped = Piped::start().await;
    piped.pull(PULLS).await;
    assert_eq!(piped.service.stranger().get("/healthz").await.status, 200);
    assert!(piped.dropped().await > 0.0);
    piped.is_stopped().await;
}

#[actix_rt::test]
async fn a_log_whose_reader_is_gone_holds_up_nothing() {
    let mut piped = Piped::start().await;
    assert_eq!(piped.dropped().await, 0.0);
    piped.pipe = None;
    piped.pull(CONCURRENT_PULLS).await;
    eventually("lost lines are counted", async || piped.dropped().await > 0.0).await;
    piped.pull(PULLS).await;
    piped.is_stopped().await;
}

#[actix_rt::test]
async fn a_log_that_is_read_again_says_how_many_lines_are_missing_and_goes_on() {
    let mut piped = Piped::start().await;
    piped.pull(PULLS).await;
    let dropped = piped.dropped().await;
    assert!(dropped > 0.0);
    let lines = read_on(piped.pipe.take().unwrap());
    let missing = || {
        let lines = lines.lock().unwrap();
        let told = lines.iter().position(|line| line["message"].as_str().unwrap().contains("lines are missing"))?;
        Some((told, lines[told]["lines"].as_f64().unwrap()))
    };
    eventually("the log tells of the missing lines", async || missing().is_some()).await;
    let (told, number) = missing().unwrap();
    assert_eq!(number, dropped);
    assert!(told + number as usize >= PULLS, "{told} lines before {number} that are missing");
    piped.pull(CONCURRENT_PULLS).await;
    eventually("the lines of new pulls are there", async || lines.lock().unwrap().len() > told + CONCURRENT_PULLS)
        .await;
    piped.is_stopped().await;
    eventually("the last line is there", async || {
        lines.lock().unwrap().last().unwrap()["message"].as_str().unwrap().starts_with("stopping")
    })
    .await;
    assert_eq!(lines.lock().unwrap().iter().filter(|line| line["lines"].is_number()).count(), 1);
}

/// Reads the further lines, each of which must be complete.
fn read_on(pipe: BufReader<ChildStderr>) -> Arc<Mutex<Vec<Value>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let read = lines.clone();
    thread::spawn(move || {
        for line in pipe.lines() {
            let line = serde_json::from_str(&line.unwrap()).unwrap();
            read.lock().unwrap().push(line);
        }
    });
    lines
}
