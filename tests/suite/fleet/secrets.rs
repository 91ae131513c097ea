//! The secret of a fleet: a replica or a command with another one is refused, and exchanging it step by step works.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::{Fleet, Mode, SECRET};
use crate::service::{Service, eventually};

const NEXT: &str = "the-next-secret-of-a-fleet-for-tests";
const SIGNS: &str = "SELECT id FROM fleet_secret";

/// Gives a replica a file with these secrets. It has them after a restart.
fn give(fleet: &Fleet, replica: usize, secrets: &[&str]) {
    let service = fleet.service(replica);
    let text = std::fs::read_to_string(service.config()).unwrap();
    let line = text.lines().find(|line| line.starts_with("secret_file")).unwrap();
    let folder = fleet._folder.path().join(format!("of-replica-{replica}"));
    std::fs::create_dir_all(&folder).unwrap();
    let file = super::secret_in(&folder);
    std::fs::write(&file, secrets.join("\n")).unwrap();
    service.change_setting(line, &format!("secret_file = \"{}\"", file.display()));
}

fn run(service: &Service, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"));
    command.args(arguments).arg("--config").arg(service.config());
    command.env("DEPENDENCY_PROXY__SERVER__EXTERNAL_URL", "http://images.test").stdin(Stdio::null());
    command.output().unwrap()
}

/// Checks that this was refused because of the secret, with the way out.
pub(super) fn assert_refused(said: &str) {
    for part in
        ["fleet.secret_file", "take the file of another replica", "as the second line first", "If the secret is lost"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains(SECRET) && !said.contains(NEXT), "{said}");
}

#[actix_rt::test]
async fn a_replica_or_a_command_with_another_secret_is_refused() {
    let mut fleet = Fleet::of(2);
    fleet.replicas[1].service.stop();
    give(&fleet, 1, &[NEXT]);
    let signs = fleet.database.query(SIGNS);
    assert_refused(&fleet.replicas[1].service.restart_unless_refused().expect_err("it should not have started"));
    let file = fleet.service(1).data().join("backup.json").display().to_string();
    for command in [&["serve", "--check"][..], &["backup", "--with-keys", "--output", file.as_str()]] {
        let output = run(fleet.service(1), command);
        assert!(!output.status.success(), "{command:?}: {output:?}");
        assert_refused(&format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    assert_eq!(fleet.database.query(SIGNS), signs);
    give(&fleet, 1, &[SECRET]);
    fleet.replicas[1].service.restart();
    let dump = fleet.database.query("SELECT fleet_secret FROM fleet_secret");
    assert!(!dump.contains(SECRET) && !dump.contains(&hex(SECRET)), "{dump}");
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[actix_rt::test]
async fn the_secret_is_exchanged_while_tokens_stay_valid_at_every_replica() {
    let mut fleet = Fleet::of(2);
    let first = fleet.database.query(SIGNS);
    let group = fleet.service(0).group("team").await;
    let token = fleet.service(0).deploy_token(&group, "ci").await;
    for (secrets, signs_as_before) in [(&[SECRET, NEXT][..], true), (&[NEXT, SECRET][..], false), (&[NEXT][..], false)]
    {
        for replica in 0..2 {
            give(&fleet, replica, secrets);
            fleet.replicas[replica].service.stop();
            fleet.replicas[replica].service.restart();
            // Between two restarts the replicas have different files.
            for (from, to) in [(0, 1), (1, 0)] {
                let login = fleet.service(from).token(&token.username, &token.secret, "").await.json();
                let bearer = format!("Bearer {}", login["token"].as_str().unwrap());
                let client = fleet.service(to).stranger().with_authorization(&bearer);
                assert_eq!(client.get("/v2/").await.status, 200, "{secrets:?}, from {from} to {to}");
            }
        }
        assert_eq!(fleet.database.query(SIGNS) == first, signs_as_before, "{secrets:?}");
    }
    fleet.replicas[0].service.stop();
    give(&fleet, 0, &[SECRET]);
    assert_refused(&fleet.replicas[0].service.restart_unless_refused().expect_err("it has the old secret alone"));
    give(&fleet, 0, &[NEXT]);
    fleet.replicas[0].service.restart();
}

#[actix_rt::test]
async fn a_fleet_whose_secret_is_lost_begins_with_another_one() {
    let mut fleet = Fleet::of(1);
    fleet.replicas[0].service.stop();
    give(&fleet, 0, &[NEXT]);
    fleet.database.query("DELETE FROM fleet_secret");
    fleet.replicas[0].service.restart();
    let group = fleet.service(0).group("team").await;
    let token = fleet.service(0).deploy_token(&group, "ci").await;
    assert_eq!(fleet.service(0).token(&token.username, &token.secret, "").await.status, 200);
}

#[actix_rt::test]
async fn a_replica_that_cannot_read_the_change_log_for_its_secret_says_so() {
    let mut fleet = Fleet::of(2);
    // Not in the order of the steps: the other replica does not have the new secret.
    give(&fleet, 0, &[NEXT, SECRET]);
    fleet.replicas[0].service.stop();
    fleet.replicas[0].service.restart();
    fleet.replicas[1].lose_database(Mode::Refuse);
    let group = fleet.service(0).api("POST", "/groups", json!({"name": "team", "path": "team"})).await;
    assert!([201, 503].contains(&group.status), "{}", group.text());
    let service = fleet.service(1);
    eventually("it says that the secret is another one", async || {
        let ready = service.stranger().get("/readyz").await;
        ready.status == 503 && ready.text().contains("is signed with another secret than that of this replica")
    })
    .await;
    let refused = service.api("GET", "/groups", Value::Null).await;
    assert!(refused.status == 503 && !refused.text().contains("do not respond"), "{}", refused.text());
    let log = service.log();
    assert!(log.contains("fleet.secret_file must have the secrets of all replicas"), "{log}");
    fleet.replicas[1].find_everything();
    eventually("it is back", async || service.stranger().get("/readyz").await.status == 200).await;
}

/// Path of a file with this secret, in a folder of its own.
pub(super) fn other_secret(folder: &std::path::Path) -> PathBuf {
    let file = folder.join("another-secret");
    std::fs::copy(super::secret_in(folder), &file).unwrap();
    std::fs::write(&file, NEXT).unwrap();
    file
}
