//! Limits of upstreams: a report to one replica holds for all, and they share the maximum of concurrent requests.

use std::time::{Duration, Instant};

use fake_registry::{Image, Kind, Layer};
use tokio::time::sleep;

use super::{Fleet, Mode};
use crate::operating::metrics::metric;
use crate::service::{Client, eventually};

/// Time within which all replicas know a report to one: it is written once a second, and read as often.
const EXCHANGED: Duration = Duration::from_millis(2_500);

const LEFT: &str = "dependency_proxy_upstream_pulls_left{upstream=\"docker.io\",account=\"\"}";

/// Returns a client of the group `team` for each replica, and pushes images `library/app:1` to `:9`.
async fn clients(fleet: &Fleet) -> Vec<Client> {
    for number in 1..=9 {
        fleet.hub.push_image("library/app", &number.to_string(), &Image::single(&[Layer::random(1_000, number)]));
    }
    fleet.clients().await
}

#[actix_rt::test]
async fn all_replicas_know_how_many_pulls_an_account_has_left() {
    let fleet = Fleet::of(3);
    let clients = clients(&fleet).await;
    fleet.hub.pulls_left(40);
    assert_eq!(clients[0].manifest("team", "app", "1").await.status, 200);
    for replica in 0..3 {
        eventually("each knows it", async || metric(fleet.service(replica), LEFT).await == 39).await;
    }
    assert_eq!(clients[1].manifest("team", "app", "2").await.status, 200);
    for replica in 0..3 {
        eventually("the smaller number counts", async || metric(fleet.service(replica), LEFT).await == 38).await;
    }
    assert_eq!(
        fleet.database.query("SELECT count(*), min(remaining), min(source) FROM upstream_budget"),
        "2|38|127.0.0.1"
    );
}

#[actix_rt::test]
async fn a_pause_of_one_replica_holds_for_all() {
    let fleet = Fleet::of(3);
    let clients = clients(&fleet).await;
    fleet.hub.on(Kind::ManifestGet).times(1).too_many_requests(600);
    let limited = clients[0].manifest("team", "app", "1").await;
    assert_eq!(limited.status, 503, "{}", limited.text());
    sleep(EXCHANGED).await;
    let requests = fleet.hub.counts().total();
    for client in &clients {
        let refused = client.manifest("team", "app", "2").await;
        assert_eq!(refused.status, 503, "{}", refused.text());
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((500..=600).contains(&wait), "{wait}");
    }
    assert_eq!(fleet.hub.counts().total(), requests, "upstream would respond to a request");
    // Requests of another kind do not pause.
    let tags = clients[1].get("/v2/team/dependency_proxy/containers/app/tags/list").await;
    assert_eq!(tags.status, 200, "{}", tags.text());
}

#[actix_rt::test]
async fn a_short_pause_ends_at_all_replicas_and_what_waits_goes_on() {
    let fleet = Fleet::of(2);
    let clients = clients(&fleet).await;
    fleet.hub.on(Kind::ManifestGet).times(1).too_many_requests(6);
    let first = {
        let client = clients[0].clone();
        actix_rt::spawn(async move { client.manifest("team", "app", "1").await })
    };
    sleep(EXCHANGED).await;
    let began = Instant::now();
    let waited = clients[1].manifest("team", "app", "2").await;
    assert_eq!(waited.status, 200, "{}", waited.text());
    assert!(began.elapsed() > Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(first.await.unwrap().status, 200);
}

#[actix_rt::test]
async fn replicas_share_the_maximum_of_concurrent_requests_and_take_over_the_share_of_one_that_has_left() {
    let mut fleet = Fleet::configured(3, "max_concurrent = 4", "");
    let layers: Vec<Layer> = (0..4).map(|seed| Layer::random(3 << 20, 20 + seed)).collect();
    fleet.hub.push_image("library/large", "1", &Image::single(&layers));
    fleet.hub.on(Kind::BlobDownload).slow(128 << 10);
    let clients = clients(&fleet).await;
    assert_eq!(clients[0].manifest("team", "large", "1").await.status, 200);
    sleep(EXCHANGED).await;
    for layer in &layers {
        let (client, digest) = (clients[0].clone(), layer.digest().to_owned());
        drop(actix_rt::spawn(async move { client.blob("team", "large", &digest).await }));
    }
    let content = async |name: &str| {
        let labels = if name == "in_flight" { ",kind=\"content\"" } else { "" };
        let sample = format!("dependency_proxy_upstream_{name}{{upstream=\"docker.io\"{labels}}}");
        metric(fleet.service(0), &sample).await
    };
    eventually("three wait", async || content("waiting").await == 3).await;
    assert_eq!(content("in_flight").await, 1, "a third of four, rounded down");
    // Without the database a replica keeps its share.
    fleet.replicas[0].lose_database(Mode::Refuse);
    sleep(EXCHANGED).await;
    assert_eq!(content("in_flight").await, 1);
    fleet.replicas[0].find_everything();
    for replica in [1, 2] {
        fleet.replicas[replica].service.stop();
    }
    let sample = "dependency_proxy_upstream_in_flight{upstream=\"docker.io\",kind=\"content\"}";
    eventually("all four", async || metric(fleet.service(0), sample).await == 4).await;
}
