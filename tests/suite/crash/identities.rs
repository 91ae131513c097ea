//! Damage to one of the files of identities between two runs: nothing revoked becomes valid, no acknowledged change
//! is missing and no number is assigned twice, or the start is refused with a message. The places follow from the
//! seed; `DEPENDENCY_PROXY_TEST_DAMAGES` sets their number (see `tests/soak`).

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::Chances;
use crate::service::{ADMIN_TOKEN, Config, Group, Service, Token, User, eventually};

/// Number of damages without the variable.
const DAMAGES: u64 = 44;
const FILES: [&str; 3] = ["identity/db", "identity.journal", "identity.jsonl"];

/// Facts that must hold after every start.
struct Facts {
    team: Group,
    /// Credentials, with whether they are valid.
    credentials: Vec<(String, String, bool)>,
    removed: User,
    kept: User,
    /// Highest assigned number of a token.
    last_token: u64,
}

/// Kind of damage to a file.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Flip { at: u64, bit: u8 },
    Zeros { at: u64 },
    Cut { to: u64 },
    Emptied,
    Missing,
}

#[actix_rt::test]
async fn no_damage_to_a_file_of_identities_undoes_a_change() {
    let mut chances = Chances::announced("damaged identities");
    let damages = std::env::var("DEPENDENCY_PROXY_TEST_DAMAGES").ok().and_then(|number| number.parse().ok());
    let damages = damages.unwrap_or(DAMAGES);
    let (mut started, mut refused) = (0, 0);
    for end in ["kill", "stop"] {
        let mut service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
        let facts = Facts::make(&service).await;
        if end == "kill" {
            service.kill()
        } else {
            assert_eq!(service.stop().code(), Some(0))
        }
        let kept = service.data().with_extension("kept");
        copy(&service.data(), &kept);
        for number in 0..damages / 2 {
            service.forget_everything();
            copy(&kept, &service.data());
            let file = FILES[usize::try_from(number).unwrap() % FILES.len()];
            let Some(damage) = Damage::by_chance(&mut chances, &service.data().join(file)) else { continue };
            damage.be_done(&service.data().join(file));
            let what = format!("after a {end}, {damage:?} of {file}");
            match service.restart_unless_refused() {
                Ok(()) => {
                    started += 1;
                    facts.hold(&service, &what).await;
                    service.kill();
                }
                Err(log) => {
                    refused += 1;
                    assert!(log.contains("admin restore --data") && !log.contains("panicked"), "{what}: {log}");
                    assert_ne!(file, "identity.jsonl", "{what}: the service does not need it: {log}");
                }
            }
        }
    }
    eprintln!("{started} damaged stores started with everything, {refused} were refused");
    assert!(started > 0 && refused > 0);
}

#[actix_rt::test]
async fn a_journal_that_is_removed_from_a_running_service_is_written_anew_and_counted() {
    let mut service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    let facts = Facts::make(&service).await;
    fs::remove_file(service.data().join("identity.journal")).unwrap();
    let revoked = service.deploy_token(&facts.team, "revoked later").await;
    let path = format!("/groups/{}/deploy_tokens/{}", facts.team.id, revoked.id);
    assert_eq!(service.api("DELETE", &path, Value::Null).await.status, 204);
    eventually("the journal is written again", async || service.data().join("identity.journal").exists()).await;
    let metrics = reqwest::get(format!("http://{}/metrics", service.metrics)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("dependency_proxy_damaged_total{kind=\"identities\"} 1"), "{metrics}");
    let log = service.log();
    let error = log.lines().find(|line| line.contains("a stored file is damaged")).unwrap();
    assert!(error.contains("\"ERROR\"") && error.contains("identity.journal"), "{error}");
    service.kill_and_restart();
    assert_ne!(service.token(&revoked.username, &revoked.secret, "").await.status, 200);
    facts.hold(&service, "after the journal was removed").await;
}

impl Facts {
    async fn make(service: &Service) -> Self {
        let team = service.group("team").await;
        let [revoked, deleted, kept] = ["revoked", "deleted", "kept"].map(|name| service.deploy_token(&team, name));
        let (revoked, deleted, kept) = (revoked.await, deleted.await, kept.await);
        let bot = service.group_token(&team, "bot", &["read_registry", "write_registry"]).await;
        let mut users = Vec::new();
        for name in ["blocked", "removed", "kept"] {
            let user = service.user(name, &password(name)).await;
            service.add_member(&team, &user, 30).await;
            users.push(user);
        }
        let [blocked, removed, kept_user] = <[User; 3]>::try_from(users).ok().unwrap();
        // Changes that nothing may undo, each the last one before the next.
        for (method, path) in [
            ("DELETE", format!("/groups/{}/deploy_tokens/{}", team.id, revoked.id)),
            ("DELETE", format!("/groups/{}/access_tokens/{}", team.id, bot.id)),
            ("POST", format!("/users/{}/block", blocked.id)),
            ("DELETE", format!("/groups/{}/members/{}", team.id, removed.id)),
            ("DELETE", format!("/groups/{}/deploy_tokens/{}", team.id, deleted.id)),
        ] {
            let response = service.api(method, &path, Value::Null).await;
            assert!((200..300).contains(&response.status), "{path}: {response:?}");
        }
        let last = service.deploy_token(&team, "last").await;
        let last_token = last.id;
        let tokens = [(revoked, false), (deleted, false), (bot, false), (kept, true), (last, true)];
        let tokens = tokens.into_iter().map(|(token, works): (Token, bool)| (token.username, token.secret, works));
        let users = [("blocked", false), ("kept", true)].map(|(name, works)| (name.to_owned(), password(name), works));
        let credentials = tokens.chain(users).chain([("root".to_owned(), ADMIN_TOKEN.to_owned(), true)]).collect();
        Self { team, credentials, removed, kept: kept_user, last_token }
    }

    async fn hold(&self, service: &Service, what: &str) {
        for (username, secret, works) in &self.credentials {
            let status = service.token(username, secret, "").await.status;
            assert_eq!(status == 200, *works, "{what}: {username}: {status}");
        }
        let team = self.team.id;
        for (user, status) in [(&self.removed, 404), (&self.kept, 200)] {
            let path = format!("/groups/{team}/members/{}", user.id);
            assert_eq!(service.api("GET", &path, Value::Null).await.status, status, "{what}: {}", user.username);
        }
        let (path, token) =
            (format!("/groups/{team}/deploy_tokens"), json!({"name": "new", "scopes": ["read_registry"]}));
        let made = service.api("POST", &path, token).await;
        assert_eq!(made.status, 201, "{what}: {made:?}");
        let id = made.json()["id"].as_u64().unwrap();
        assert!(id > self.last_token, "{what}: {id} is given twice");
    }
}

impl Damage {
    /// Returns a random kind of damage; `None` where the file does not exist.
    fn by_chance(chances: &mut Chances, path: &Path) -> Option<Self> {
        let bytes = fs::read(path).ok()?;
        // sled's file ends with unused zeros.
        let used = bytes.iter().rposition(|byte| *byte != 0)? as u64 + 1;
        Some(match chances.below(12) {
            0..=4 => Self::Flip { at: chances.below(used), bit: u8::try_from(chances.below(8)).unwrap() },
            5..=7 => Self::Zeros { at: chances.below(used) },
            8 => Self::Cut { to: chances.below(used) },
            9 => Self::Cut { to: used - 1 - chances.below(used.min(700)) },
            10 => Self::Emptied,
            _ => Self::Missing,
        })
    }

    fn be_done(self, path: &Path) {
        let mut bytes = fs::read(path).unwrap();
        let at = |at: u64| usize::try_from(at).unwrap();
        match self {
            Self::Flip { at: byte, bit } => bytes[at(byte)] ^= 1 << bit,
            Self::Zeros { at: begin } => {
                let end = bytes.len().min(at(begin) + 512);
                bytes[at(begin)..end].fill(0);
            }
            Self::Cut { to } => bytes.truncate(at(to)),
            Self::Emptied => bytes.clear(),
            Self::Missing => return fs::remove_file(path).unwrap(),
        }
        fs::write(path, bytes).unwrap();
    }
}

fn password(name: &str) -> String {
    format!("the-password-of-{name}")
}

pub(super) fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}
