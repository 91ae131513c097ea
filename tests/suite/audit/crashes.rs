//! Kills, backups and restores: an event is there exactly if its change is.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use super::{events, only, service};
use crate::crash::Chances;
use crate::service::{ADMIN_TOKEN, Service};

const KILLS: usize = 12;

#[actix_rt::test]
async fn after_kills_every_change_has_its_event_and_no_event_is_without_its_change() {
    let mut chances = Chances::announced("kills and audit events");
    let mut service = service();
    for round in 0..KILLS {
        let changing = actix_rt::spawn(create_users(service.url(), round));
        tokio::time::sleep(chances.moment(120)).await;
        service.kill();
        changing.await.unwrap();
        service.restart();
        let changed = created_users(&service).await;
        let told: BTreeSet<String> = all_of(&service, "user_created").await.iter().map(target).collect();
        assert_eq!(told, changed);
    }
    assert!(created_users(&service).await.len() > KILLS, "the kills came too early");
}

/// Creates users until the service is gone.
async fn create_users(url: String, round: usize) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for number in 0.. {
        let name = format!("user-{round}-{number}");
        let user = json!({"username": name, "name": name, "email": "", "force_random_password": true});
        let request = http.post(format!("{url}/api/v4/users")).header("private-token", ADMIN_TOKEN).json(&user);
        if request.send().await.is_err() {
            break;
        }
    }
}

async fn created_users(service: &Service) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for page in 1.. {
        let answer = service.api("GET", &format!("/users?per_page=100&page={page}"), Value::Null).await;
        let users: Vec<Value> = serde_json::from_slice(&answer.body).unwrap();
        names.extend(users.iter().map(|user| user["username"].as_str().unwrap().to_owned()));
        if users.len() < 100 {
            break;
        }
    }
    names
}

/// Returns all events with this name, page by page.
async fn all_of(service: &Service, name: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut next = format!("/audit_events?pagination=keyset&per_page=100&event_name={name}");
    loop {
        let answer = service.api("GET", &next, Value::Null).await;
        let events: Vec<Value> = serde_json::from_slice(&answer.body).unwrap();
        all.extend(events);
        let Some((_, rest)) = answer.header("link").split_once("/api/v4") else { return all };
        next = rest.split('>').next().unwrap().to_owned();
    }
}

fn target(event: &Value) -> String {
    event["details"]["target_details"].as_str().unwrap().to_owned()
}

#[actix_rt::test]
async fn a_backup_has_the_events_and_a_restore_adds_its_own() {
    let mut service = service();
    service.group("team").await;
    let before = events(&service, "").await;
    let file = service.data().with_extension("backup");
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_dependency-proxy")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let config = service.config().to_str().unwrap().to_owned();
    run(&["backup", "--config", &config, "--output", file.to_str().unwrap(), "--with-keys"]);
    service.group("later").await;
    assert!(service.stop().success());
    let data = service.data();
    run(&["restore", "--data", data.to_str().unwrap(), "--from", file.to_str().unwrap(), "--yes"]);
    service.restart();
    let after = events(&service, "").await;
    assert_eq!(after[..before.len()], before[..]);
    let restored = only(&service, "event_name=identities_restored").await;
    assert_eq!((&restored["author_id"], &restored["details"]["author_name"]), (&json!(0), &json!("(Operator)")));
    service.group("again").await;
    assert_eq!(target(events(&service, "event_name=group_created").await.last().unwrap()), "again");
}

#[actix_rt::test]
async fn the_oldest_events_go_where_there_are_too_many_and_the_journal_stays_small() {
    let service = crate::service::Config::upstream_at("docker.io", "http://127.0.0.1:9")
        .and("[audit]\nmax_bytes = \"256KiB\"")
        .start();
    for number in 0..500 {
        let path = format!("team-{number}");
        let group = json!({"name": "x".repeat(250), "path": path, "description": "y".repeat(500)});
        assert_eq!(service.api("POST", "/groups", group).await.status, 201);
    }
    let is_pruned = async || {
        let size: usize = all_of(&service, "group_created").await.iter().map(|event| event.to_string().len()).sum();
        size < 400 << 10
    };
    crate::service::eventually("old events are removed", is_pruned).await;
    let left = all_of(&service, "group_created").await;
    assert_eq!(target(&left[0]), "team-499");
    assert!(left.len() > 100, "{}", left.len());
}
