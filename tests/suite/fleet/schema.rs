//! The schema of another release, and the check of the engines before a start.

use std::process::{Command, Output};

use engines::{KEY_ID, SECRET_KEY};

use super::Fleet;
use crate::service::Service;

/// What a later release would do to the database.
const LATER: &str = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) \
    VALUES (9000, 'later', '2030-01-01T00:00:00Z', '1'); \
    ALTER TABLE record ADD COLUMN later text; ALTER TABLE replica ADD COLUMN later text; CREATE TABLE later (number bigint)";

#[actix_rt::test]
async fn a_release_works_with_the_schema_of_the_next_one() {
    let mut fleet = Fleet::of(2);
    fleet.database.query(LATER);
    let group = fleet.service(0).group("team").await;
    fleet.replicas[1].service.stop();
    fleet.replicas[1].service.restart();
    let token = fleet.service(1).deploy_token(&group, "ci").await;
    let client = fleet.service(0).stranger().with_basic(&token.username, &token.secret);
    assert_eq!(client.get("/v2/").await.status, 200);
    assert!(!fleet.service(1).log().contains("ERROR"), "{}", fleet.service(1).log());
}

#[actix_rt::test]
async fn a_release_that_does_not_work_with_a_schema_is_refused_with_a_sentence() {
    let mut fleet = Fleet::of(1);
    fleet.database.query(LATER);
    fleet.database.query("UPDATE schema SET oldest_reader = 9000");
    fleet.replicas[0].service.stop();
    let refused = fleet.replicas[0].service.restart_unless_refused().unwrap_err();
    assert!(refused.contains("upgraded by a later release") && refused.contains("number 9000"), "{refused}");
    let checked = check(fleet.service(0), &[]);
    assert!(!checked.status.success() && text(&checked).contains("upgraded by a later release"), "{checked:?}");
    fleet.database.query("UPDATE schema SET oldest_reader = 1");
    fleet.replicas[0].service.restart();
}

fn check(service: &Service, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"));
    command.args(["serve", "--check", "--config"]).arg(service.config()).args(more);
    command.env("DEPENDENCY_PROXY__SERVER__EXTERNAL_URL", "http://images.test").output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[actix_rt::test]
async fn a_check_of_the_settings_tries_the_engines() {
    let fleet = Fleet::of(1);
    let (service, replica) = (fleet.service(0), &fleet.replicas[0]);
    let good = check(service, &[]);
    assert!(good.status.success(), "{}", text(&good));
    let name = fleet.database.query("SELECT current_database()");
    for (right, wrong, key, sentence) in [
        (name.as_str(), "no_such_database", "fleet.database_url", "Look at the name of the database"),
        (KEY_ID, "another-key", "fleet.bucket_url", "the store does not know this key"),
        (SECRET_KEY, "another-secret", "fleet.bucket_url", "the secret is not that of this key"),
    ] {
        service.replace_setting(right, wrong);
        let refused = check(service, &[]);
        let said = text(&refused);
        assert!(!refused.status.success() && said.contains(key) && said.contains(sentence), "{wrong}: {said}");
        assert!(check(service, &["--without-engines"]).status.success(), "{wrong}");
        service.replace_setting(wrong, right);
    }
    replica.lose_database(super::Mode::Refuse);
    replica.to_bucket.set(super::Mode::Refuse);
    let said = text(&check(service, &[]));
    assert!(said.contains("the database cannot be reached") && said.contains("the object store failed"), "{said}");
}
