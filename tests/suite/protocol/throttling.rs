//! Limits of failed logins: guessing is stopped, and nobody else is affected.

use futures::StreamExt;
use reqwest::Method;

use super::{ALICES_PASSWORD, House, PAIR, PULL, WRONG, denied, refusal, said, served};

#[actix_rt::test]
async fn failures_shut_out_guesses_and_nothing_that_is_known_to_be_good() {
    let house = House::with("[auth]\nmax_failed_logins = 3").await;
    let service = &house.service;
    service.user("bob", "bobs-own-password").await;
    let personal = service.personal_token(&house.alice, "mine", &PAIR).await;
    assert_eq!(house.pull("alice", ALICES_PASSWORD, "team").await, served(), "from now on remembered");
    for user in ["alice", "bob", "nobody-here"] {
        for number in 0..3 {
            assert_eq!(said(&service.token(user, &format!("guess-{number}"), PULL).await), denied(WRONG), "{user}");
        }
        let limited = service.token(user, "guess-3", "").await;
        let wait: u64 = limited.header("retry-after").parse().unwrap();
        let sentence = format!("Too many failed logins. Wait {wait} seconds");
        assert_eq!(said(&limited), refusal(429, "TOOMANYREQUESTS", &sentence), "{user}");
        assert!((1..=101).contains(&wait), "{wait}");
    }
    let long = "x".repeat(3000);
    for number in 0..5 {
        let answer = service.token(&long, &format!("guess-{number}"), PULL).await;
        assert_eq!(said(&answer), denied(WRONG), "nobody can have this name, so nothing is counted");
    }
    assert_eq!(service.token("bob", "bobs-own-password", PULL).await.status, 429, "it may be the last guess");
    assert_eq!(house.pull("alice", ALICES_PASSWORD, "team").await, served(), "a remembered password");
    assert_eq!(house.pull("alice", &personal.secret, "team").await, served());
    assert_eq!(house.pull(&house.ci.username, &house.ci.secret, "team").await, served());
    service.user("carol", "carols-own-password").await;
    assert_eq!(service.token("carol", "carols-own-password", "").await.status, 200, "who did not fail");
}

#[actix_rt::test]
async fn guesses_at_the_same_moment_are_no_more_than_one_after_the_other() {
    let house = House::with("[auth]\nmax_failed_logins = 3").await;
    let guess = |number: usize| {
        let service = &house.service;
        async move { service.token("alice", &format!("guess-{number}"), PULL).await.status }
    };
    let statuses: Vec<u16> = futures::future::join_all((0..20).map(guess)).await;
    assert_eq!(statuses.iter().filter(|status| **status == 403).count(), 3, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 17, "{statuses:?}");
}

#[actix_rt::test]
async fn the_same_login_many_times_at_once_is_one_check_and_no_failure() {
    let house = House::with("[auth]\nmax_failed_logins = 1").await;
    let login = |_: usize| house.service.token("alice", ALICES_PASSWORD, PULL);
    let answers = futures::future::join_all((0..50).map(login)).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
}

#[actix_rt::test]
async fn more_passwords_than_can_wait_are_refused_and_tokens_are_not() {
    let house = House::with("[auth]\npassword_threads = 1\npassword_queue = 0").await;
    let guess = |number: usize| {
        let service = &house.service;
        async move { service.token("alice", &format!("guess-{number}"), PULL).await }
    };
    let answers = futures::future::join_all((0..20).map(guess)).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert!(!refused.is_empty(), "one at a time");
    let sentence = "Too many logins with a password at once. Use a token, or try again";
    for answer in refused {
        assert_eq!(said(answer), refusal(503, "UNAVAILABLE", sentence));
        assert_eq!(answer.header("retry-after"), "2");
    }
    let token = |_: usize| house.service.token(&house.ci.username, &house.ci.secret, PULL);
    let busy = futures::future::join(futures::future::join_all((20..40).map(guess)), async {
        futures::future::join_all((0..20).map(token)).await
    });
    assert!(busy.await.1.iter().all(|answer| answer.status == 200));
}

#[actix_rt::test]
async fn guesses_from_one_address_leave_places_for_those_who_come_from_elsewhere() {
    let trusted = "[auth]\npassword_threads = 1\npassword_queue = 20\npassword_queue_per_address = 5";
    let house = House::configured(|config| {
        config.and(trusted).variable("DEPENDENCY_PROXY__SERVER__TRUSTED_PROXIES", "127.0.0.1")
    })
    .await;
    let login = |address: &'static str, user: String, password: &'static str| {
        let client = house.service.stranger().with_basic(&user, password);
        async move {
            let path = format!("/jwt/auth?service=dependency_proxy{PULL}");
            client.send(client.request(Method::GET, &path).header("x-forwarded-for", address)).await
        }
    };
    let guesses = (0..60).map(|number| login("192.0.2.1", format!("user-{number}"), "a-guess"));
    let right = [login("192.0.2.2", "alice".to_owned(), ALICES_PASSWORD)];
    let answers = futures::future::join_all(guesses.chain(right)).await;
    let (alice, guesses) = answers.split_last().unwrap();
    assert_eq!(said(alice), served(), "who comes from elsewhere");
    let refused = guesses.iter().filter(|answer| answer.status == 503).count();
    assert!(refused > 0 && guesses.iter().all(|answer| [403, 503].contains(&answer.status)));
    let again = login("192.0.2.1", "alice".to_owned(), ALICES_PASSWORD).await;
    assert_eq!(said(&again), served(), "once the guesses have been answered");
}

#[actix_rt::test]
async fn five_hundred_bad_logins_from_one_address_and_then_good_ones() {
    let house = House::new().await;
    let service = &house.service;
    service.user("bob", "bobs-own-password").await;
    let bad = |number: usize| async move {
        let secret = format!("{}{number}", ["a-guess-", "dpd-wrong-", "glpat-", "dpp-"][number % 4]);
        let other = format!("user-{number}");
        let user = if number.is_multiple_of(2) { "alice" } else { &other };
        service.token(user, &secret, PULL).await.status
    };
    let statuses: Vec<u16> = futures::stream::iter(0..500).map(bad).buffer_unordered(16).collect().await;
    assert!(statuses.iter().all(|status| [403, 429].contains(status)), "{statuses:?}");
    assert_eq!(said(&service.token(&house.ci.username, &house.ci.secret, PULL).await), served());
    assert_eq!(said(&service.token(&house.ci.username, &house.ci.secret, "").await), served());
    assert_eq!(said(&service.token("bob", "bobs-own-password", PULL).await), served());
}
