//! Failed logins that several replicas count together: a guesser gains nothing by going to several.

use std::time::{Duration, Instant};

use futures::future::join_all;

use super::{Fleet, Mode};

const PASSWORD: &str = "alice-has-a-password";

/// The limit of these tests, over a time in which none is forgotten.
const LIMIT: usize = 6;
const SETTINGS: &str = "[auth]\nmax_failed_logins = 6\nlogin_window = \"24h\"";

/// Tries wrong passwords at the replicas by turns. Returns how many were checked before each replica refused one.
async fn guesses(fleet: &Fleet, username: &str) -> usize {
    let (mut checked, mut refusing) = (0, vec![false; fleet.replicas.len()]);
    while refusing.contains(&false) {
        for (replica, refuses) in refusing.iter_mut().enumerate() {
            let answer = fleet.service(replica).token(username, &format!("guess-{replica}-{checked}"), "").await;
            match answer.status {
                429 => *refuses = true,
                status => {
                    assert!(!*refuses && (400..404).contains(&status), "{status}: {}", answer.text());
                    checked += 1;
                }
            }
        }
    }
    checked
}

#[actix_rt::test]
async fn a_guesser_gains_nothing_by_going_to_several_replicas() {
    let fleet = Fleet::with(3, SETTINGS);
    fleet.service(0).user("alice", PASSWORD).await;
    fleet.service(0).user("bob", PASSWORD).await;
    // Each of the other replicas learns from its own last failure how many there were before.
    let checked = guesses(&fleet, "alice").await;
    assert!((LIMIT..=LIMIT + 2).contains(&checked), "{checked} guesses");
    assert_eq!(fleet.service(1).token("alice", PASSWORD, "").await.status, 429, "a guess is not confirmed");
    assert_eq!(fleet.service(1).token("bob", PASSWORD, "").await.status, 200, "nobody else waits");
    let stored = fleet.database.query("SELECT count(*), max(level) > 5.9 FROM failed_login");
    assert_eq!(stored, "2|t", "one of the user name at its address, and one of the address");
    assert!(!fleet.database.query("SELECT key FROM failed_login").contains("alice"));
}

#[actix_rt::test]
async fn a_guesser_gains_nothing_by_sending_all_guesses_to_all_replicas_at_once() {
    let fleet = Fleet::with(3, SETTINGS);
    fleet.service(0).user("alice", PASSWORD).await;
    // Until each replica has counted the others.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let guess = |number: usize| {
        let service = fleet.service(number % 3);
        async move { service.token("alice", &format!("guess-{number}"), "").await.status }
    };
    let statuses = join_all((0..60).map(guess)).await;
    let checked = statuses.iter().filter(|status| **status != 429).count();
    assert!((3..=LIMIT + 2).contains(&checked), "{checked} guesses: {statuses:?}");
    assert!(guesses(&fleet, "alice").await + checked <= LIMIT + 5);
}

#[actix_rt::test]
async fn a_login_that_succeeds_needs_no_database_and_is_not_counted() {
    let fleet = Fleet::with(2, SETTINGS);
    fleet.service(0).user("alice", PASSWORD).await;
    let replica = &fleet.replicas[1];
    for round in 0..2 * LIMIT {
        assert_eq!(replica.service.token("alice", PASSWORD, "").await.status, 200, "{round}");
    }
    assert_eq!(fleet.database.query("SELECT count(*) FROM failed_login"), "0");
    replica.lose_database(Mode::Stall);
    fleet.replicas[0].lose_database(Mode::Stall);
    let mut times = Vec::new();
    for _ in 0..10 {
        let began = Instant::now();
        assert_eq!(fleet.service(0).token("alice", PASSWORD, "").await.status, 200);
        times.push(began.elapsed());
    }
    // A login that waited for the database would take a second, each time.
    assert!(times.iter().min().is_some_and(|time| *time < Duration::from_secs(1)), "{times:?}");
}

#[actix_rt::test]
async fn without_the_database_a_failure_counts_for_each_replica() {
    let fleet = Fleet::with(3, SETTINGS);
    fleet.service(0).user("alice", PASSWORD).await;
    // Until each replica has counted the others.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    fleet.replicas.iter().for_each(|replica| replica.lose_database(Mode::Refuse));
    let checked = guesses(&fleet, "alice").await;
    assert!((3..=LIMIT).contains(&checked), "{checked} guesses");
}
