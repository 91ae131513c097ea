//! Warnings about groups in the settings of upstream accounts that do not exist.

use fake_registry::FakeRegistry;
use serde_json::{Value, json};

use crate::service::{Config, Service};

const ACCOUNTS: &str = "username = \"robot\"\npassword = \"a-password\"\ngroups = [\"team/ci\", \"misspelt\"]\n\
    [upstreams.\"docker.io\".accounts.other]\nusername = \"second\"\npassword = \"a-password\"\n\
    groups = [\"team/ci/deep\"]";
const AT_START: &str = "the settings keep an account for a group that does not exist";
const VACATED: &str = "a group that the settings keep an account for is no longer at its path";

/// Returns the account and path of each warning with this message so far.
fn warned(service: &Service, message: &str) -> Vec<String> {
    let warnings = service.log_lines().into_iter().filter(|line| line["message"] == message);
    let text = |line: &Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
    let named = |line: Value| {
        assert_eq!(
            (text(&line, "level").to_lowercase().as_str(), &*text(&line, "upstream")),
            ("warn", "docker.io"),
            "{line}"
        );
        format!("{} {}", text(&line, "account"), text(&line, "group"))
    };
    let mut named: Vec<String> = warnings.map(named).collect();
    named.sort();
    named
}

#[actix_rt::test]
async fn groups_of_accounts_that_do_not_exist_are_warned_of_at_the_start() {
    let mut service = Config::docker_hub(&FakeRegistry::start()).and(ACCOUNTS).start();
    assert_eq!(warned(&service, AT_START), ["robot misspelt", "robot team/ci", "second team/ci/deep"]);
    service.group("team").await;
    service.group("team/ci").await;
    service.stop();
    service.restart();
    assert_eq!(warned(&service, AT_START), ["robot misspelt", "second team/ci/deep"]);
}

#[actix_rt::test]
async fn a_group_that_leaves_the_path_of_an_account_is_warned_of() {
    let service = Config::docker_hub(&FakeRegistry::start()).and(ACCOUNTS).start();
    let team = service.group("team").await;
    let ci = service.group("team/ci").await;
    let deep = service.group("team/ci/deep").await;
    let rename = async |id: u64, path: &str| {
        let answer = service.api("PUT", &format!("/groups/{id}"), json!({"path": path})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    service.api("PUT", &format!("/groups/{}", ci.id), json!({"name": "other", "path": "CI"})).await;
    assert!(warned(&service, VACATED).is_empty(), "it is where it was");
    rename(team.id, "crew").await;
    assert_eq!(warned(&service, VACATED), ["robot team/ci", "second team/ci/deep"], "both moved along");
    rename(team.id, "team").await;
    rename(deep.id, "shallow").await;
    assert_eq!(warned(&service, VACATED).len(), 3);
    assert_eq!(service.api("DELETE", &format!("/groups/{}", team.id), Value::Null).await.status, 202);
    let expected = ["robot team/ci", "robot team/ci", "second team/ci/deep", "second team/ci/deep"];
    assert_eq!(warned(&service, VACATED), expected);
}
