//! The REST API of the real binary, driven by python-gitlab, and its objects after the process was killed.

use std::process::Command;

use fake_registry::FakeRegistry;
use serde_json::Value;

use crate::service::{ADMIN_TOKEN, Config, Service, python};

#[actix_rt::test]
async fn python_gitlab_finds_everything_as_in_gitlab_and_a_killed_service_forgets_none_of_it() {
    let hub = FakeRegistry::start();
    let mut service = Config::docker_hub(&hub).start();
    drive(&service);

    let log = service.log();
    for secret in [ADMIN_TOKEN, "long enough", "another long one", "a secret from elsewhere", "dpp-", "dpg-", "dpd-"] {
        assert!(!log.contains(secret), "'{secret}' is in the log");
    }

    let before = everything(&service).await;
    service.kill_and_restart();
    assert_eq!(everything(&service).await, before);
}

/// Runs all checks of `tests/clients/gitlab.py`.
fn drive(service: &Service) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/gitlab.py");
    let mut command = Command::new(python());
    let driven = command.arg(script).arg(service.url()).env("GITLAB_ADMIN_TOKEN", ADMIN_TOKEN).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&driven.stdout), String::from_utf8_lossy(&driven.stderr));
    assert!(driven.status.success(), "in {out}\n{err}");
    assert!(out.ends_with("settings\n"), "every check ran: {out}");
}

/// Returns all identities that the administrator can list, without the values that depend on the time and the port.
async fn everything(service: &Service) -> Vec<Value> {
    let mut all = Vec::new();
    for list in ["/users", "/groups", "/personal_access_tokens", "/deploy_tokens"] {
        all.extend(listed(service, list).await);
    }
    let groups = listed(service, "/groups").await;
    for group in groups.iter().map(|group| &group["id"]) {
        all.extend(listed(service, &format!("/groups/{group}/members")).await);
        all.extend(listed(service, &format!("/groups/{group}/access_tokens")).await);
    }
    assert!(all.len() > 40, "the checks leave much behind: {}", all.len());
    all
}

async fn listed(service: &Service, path: &str) -> Vec<Value> {
    let answer = service.api("GET", &format!("{path}?per_page=100"), Value::Null).await;
    assert_eq!((answer.status, answer.header("x-next-page")), (200, ""), "one page of {path}");
    let mut items: Vec<Value> = serde_json::from_slice(&answer.body).unwrap();
    for item in items.iter_mut().filter_map(Value::as_object_mut) {
        item.remove("web_url");
        for field in ["last_used_at", "last_used_ips", "last_used_from"] {
            item.remove(field);
        }
    }
    items
}
