//! Backups during a stream of changes: each has every change that was acknowledged before, and works when restored.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::rc::Rc;

use fake_registry::{FakeRegistry, Image, Layer};
use serde_json::{Value, json};

use super::{backup, restored};
use crate::service::{ADMIN_TOKEN, Client, Config, Group, Token, eventually};

/// Number of backups while changes are made.
const BACKUPS: usize = 8;

/// Changes that were acknowledged.
#[derive(Default)]
struct Acknowledged {
    made: Vec<Token>,
    /// Numbers of tokens whose revocation was requested.
    going: HashSet<u64>,
    /// Numbers of revoked tokens.
    revoked: HashSet<u64>,
}

/// Makes deploy tokens and revokes every second one, until `stop` is set.
async fn change(client: Client, group: u64, done: Rc<RefCell<Acknowledged>>, stop: Rc<RefCell<bool>>) {
    let call = async |method: reqwest::Method, path: String, body: Value| {
        let request = client.request(method, &format!("/api/v4{path}")).header("private-token", ADMIN_TOKEN);
        client.send(if body.is_null() { request } else { request.json(&body) }).await
    };
    let tokens = format!("/groups/{group}/deploy_tokens");
    let mut revoke = false;
    while !*stop.borrow() {
        let fields = json!({"name": "ci", "scopes": ["read_registry", "write_registry"]});
        let made = call(reqwest::Method::POST, tokens.clone(), fields).await.json();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        let token = Token { id: made["id"].as_u64().unwrap(), username: text("username"), secret: text("token") };
        let id = token.id;
        done.borrow_mut().made.push(token);
        if revoke {
            done.borrow_mut().going.insert(id);
            let answer = call(reqwest::Method::DELETE, format!("{tokens}/{id}"), Value::Null).await;
            assert_eq!(answer.status, 204);
            done.borrow_mut().revoked.insert(id);
        }
        revoke = !revoke;
    }
}

/// Returns the numbers of the tokens in a backup.
fn tokens_in(backup: &std::path::Path) -> HashSet<u64> {
    let text = fs::read_to_string(backup).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let keys = lines.filter_map(|line| line["key"].as_str()?.strip_prefix("token/")?.parse().ok());
    keys.collect()
}

#[actix_rt::test]
async fn every_change_that_was_acknowledged_before_is_in_the_backup_and_it_restores_to_a_service_that_works() {
    let hub = FakeRegistry::start();
    hub.push_image("library/alpine", "1", &Image::single(&[Layer::random(1_000, 1)]));
    let service = Config::docker_hub(&hub).start();
    let group: Group = service.group("team").await;
    let alice = service.user("alice", "the-password-of-alice").await;
    service.add_member(&group, &alice, 30).await;
    let (done, stop) = (Rc::new(RefCell::new(Acknowledged::default())), Rc::new(RefCell::new(false)));
    let work: Vec<_> =
        (0..3).map(|_| actix_rt::spawn(change(service.stranger(), group.id, done.clone(), stop.clone()))).collect();
    let service = {
        let shared = std::sync::Arc::new(service);
        for number in 0..BACKUPS {
            let begun = done.borrow().made.len();
            eventually("changes go on", async || done.borrow().made.len() > begun).await;
            let (made, revoked): (Vec<u64>, HashSet<u64>) = {
                let done = done.borrow();
                (done.made.iter().map(|token| token.id).collect(), done.revoked.clone())
            };
            let during = shared.clone();
            let file = tokio::task::spawn_blocking(move || backup(&during, "backup", &[])).await.unwrap();
            let kept = tokens_in(&file);
            let later = &done.borrow().going;
            for id in made {
                assert!(kept.contains(&id) || later.contains(&id), "backup {number}: token {id} is missing");
            }
            assert!(kept.is_disjoint(&revoked), "backup {number}: a revoked token is in it");
        }
        *stop.borrow_mut() = true;
        futures::future::join_all(work).await.into_iter().for_each(|ended| ended.unwrap());
        std::sync::Arc::into_inner(shared).unwrap()
    };
    let done = Rc::into_inner(done).unwrap().into_inner();
    assert!(done.made.len() > BACKUPS && !done.revoked.is_empty());
    let mut service = service;
    let file = backup(&service, "backup", &[]);
    assert!(service.stop().success());
    service.forget_everything();
    restored(&service.data(), &file, &[]);
    service.restart();
    for token in done.made.iter().rev().take(20) {
        let works = service.token(&token.username, &token.secret, "").await.status == 200;
        assert_eq!(works, !done.revoked.contains(&token.id), "token {}", token.id);
    }
    assert_eq!(service.token("alice", "the-password-of-alice", "").await.status, 200);
    let living = done.made.iter().find(|token| !done.revoked.contains(&token.id)).unwrap();
    let client = service.log_in_with(living).await;
    assert_eq!(client.manifest("team", "alpine", "1").await.status, 200);
    let alice = service.log_in("alice", "the-password-of-alice").await;
    assert_eq!(alice.manifest("team", "alpine", "1").await.status, 200);
}

#[actix_rt::test]
async fn a_backup_of_a_stopped_service_is_the_same_but_for_its_time() {
    let mut service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    service.group("team").await;
    let lines = |path: &std::path::Path| -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().skip(1).filter(|line| !line.starts_with("{\"records\":"));
        lines.map(str::to_owned).collect()
    };
    let running = lines(&backup(&service, "running", &["--with-keys"]));
    service.kill();
    let stopped = lines(&backup(&service, "stopped", &["--with-keys"]));
    assert!(!running.is_empty());
    assert_eq!(running, stopped);
}

#[actix_rt::test]
async fn what_was_revoked_since_the_backup_is_named_and_lives_again_unless_it_must_not() {
    let mut service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    let team = service.group("team").await;
    let revoked = service.deploy_token(&team, "fleet").await;
    let file = backup(&service, "backup", &[]);
    let path = format!("/groups/{}/deploy_tokens/{}", team.id, revoked.id);
    assert_eq!(service.api("DELETE", &path, Value::Null).await.status, 204);
    for (options, status) in [(&["--yes", "--revoke-them"][..], 401), (&["--yes"], 200)] {
        assert!(service.stop().success());
        let said = restored(&service.data(), &file, options);
        let row = said.lines().find(|line| line.contains("deploy token")).unwrap_or_else(|| panic!("{said}"));
        assert!(row.contains("fleet") && row.contains("team"), "{said}");
        service.restart();
        let answer = service.token(&revoked.username, &revoked.secret, "").await.status;
        assert_eq!(answer == 200, status == 200, "{options:?}: {answer}");
    }
}
