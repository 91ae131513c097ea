//! Figures and audit events that several replicas share, whichever of them is asked.

use fake_registry::{Image, Layer};
use serde_json::Value;

use super::{Fleet, Mode};
use crate::service::{Client, Group, Service, eventually};

/// A fleet with the image `library/app:1`, and a client of the group `team` for each replica.
async fn pulling(replicas: usize) -> (Fleet, Group, Vec<Client>) {
    let fleet = Fleet::of(replicas);
    fleet.hub.push_image("library/app", "1", &Image::single(&[Layer::random(1_000, 1)]));
    let group = fleet.service(0).group("team").await;
    let token = fleet.service(0).deploy_token(&group, "ci").await;
    let mut clients = Vec::new();
    for replica in &fleet.replicas {
        clients.push(replica.service.log_in_with(&token).await);
    }
    (fleet, group, clients)
}

/// Returns the number of pulls of a group, or of all, as a replica shows it.
async fn pulls(service: &Service, of: &str) -> u64 {
    let statistics = service.api("GET", &format!("{of}/dependency_proxy/statistics"), Value::Null).await;
    assert_eq!(statistics.status, 200, "{}", statistics.text());
    statistics.json()["traffic"]["pulls"].as_u64().unwrap()
}

/// Returns the names of the audit events that a replica shows.
async fn events(service: &Service) -> Vec<String> {
    let events = service.api("GET", "/audit_events?per_page=100", Value::Null).await.json();
    events.as_array().unwrap().iter().filter_map(|event| event["event_name"].as_str().map(str::to_owned)).collect()
}

#[actix_rt::test]
async fn the_traffic_of_a_group_is_that_of_all_replicas_and_what_was_counted_without_the_database_is_added_later() {
    let (fleet, group, clients) = pulling(2).await;
    let pull = async |replica: usize, times: usize| {
        for _ in 0..times {
            assert_eq!(clients[replica].manifest("team", "app", "1").await.status, 200);
        }
    };
    pull(0, 3).await;
    pull(1, 4).await;
    let of_group = format!("/groups/{}", group.id);
    let both_show = async |number: u64| {
        for replica in 0..2 {
            eventually("each shows it", async || pulls(fleet.service(replica), &of_group).await == number).await;
        }
    };
    both_show(7).await;
    fleet.replicas[1].lose_database(Mode::Refuse);
    pull(1, 2).await;
    fleet.replicas[1].find_everything();
    both_show(9).await;
    assert_eq!(pulls(fleet.service(0), "").await, 9);
}

#[actix_rt::test]
async fn refusals_and_changes_of_a_cache_at_one_replica_are_in_the_audit_trail_of_all() {
    let (mut fleet, group, clients) = pulling(2).await;
    assert_eq!(clients[1].manifest("team", "app", "1").await.status, 200);
    let refused = fleet.service(1).token("nobody", "a-wrong-password", "").await;
    assert!([401, 403].contains(&refused.status), "{}", refused.text());
    let cleared =
        fleet.service(1).api("DELETE", &format!("/groups/{}/dependency_proxy/cache", group.id), Value::Null).await;
    assert_eq!(cleared.status, 202, "{}", cleared.text());
    assert!(events(fleet.service(0)).await.contains(&"cache_cleared".to_owned()));
    // Sums of refusals are written a minute after their first, and at the end.
    fleet.replicas[1].service.stop();
    let known = events(fleet.service(0)).await;
    assert!(known.contains(&"login_failed".to_owned()), "{known:?}");
}
