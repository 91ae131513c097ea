//! Guesses of passwords on pages leave a trace, and have to wait.

use super::*;
use crate::service::{Config, eventually};

#[actix_rt::test]
async fn a_wrong_present_password_is_a_refusal_of_that_user_and_too_many_have_to_wait() {
    let few = |config: Config| config.variable("DEPENDENCY_PROXY__AUTH__MAX_FAILED_LOGINS", "2");
    let house = House::new(Scenario::new().configured(few)).await;
    let (service, bob) = (&house.started.service, house.visitor("bob").await);
    let guess = [("current_password", "a-wrong-password"), ("password", "another-password")];
    for _ in 0..2 {
        bob.post("/-/account", &guess).await.is(400, "The present password is wrong.");
    }
    let line = || service.log().lines().find(|line| line.contains(r#""path":"/-/account""#)).map(str::to_owned);
    eventually("the guess is in the log", async || line().is_some()).await;
    let line = line().unwrap_or_default();
    for part in [r#""reason":"wrong_secret""#, r#""principal_name":"bob""#] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    let log = service.log();
    assert!(!log.contains("a-wrong-password") && !log.contains("another-password"), "{log}");

    let late = bob.post("/-/account", &guess).await;
    late.is(429, "Too many failed logins, the next one is possible in");
    assert!(late.header("retry-after").parse::<u64>().unwrap() > 0);
    let mut stranger = Visitor::stranger(service);
    let late = stranger.sign_in("bob", "a-wrong-password", "/").await;
    late.is(429, "There were too many failed logins. The next one is possible in");
    assert!(late.header("retry-after").parse::<u64>().unwrap() > 0);
}
