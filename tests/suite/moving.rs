//! `docs/moving.md`: its commands, word for word, with an old cache that is a real one, and its tables. What an
//! operator has to fill in is replaced.

mod from_gitlab;
mod old_cache;

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fake_registry::{FakeRegistry, Image, Layer};

use crate::documents::{self, MOVING, OPERATING, run_as_administrator, said};
use crate::service::{Client, Config, Scenario, Service, Started};

const SETTINGS: &str = include_str!("../../config/default.toml");
const SCOPE: &str = "&scope=repository:team/dependency_proxy/containers/alpine:pull";

fn blocks(title: &str, language: &str) -> Vec<&'static str> {
    documents::blocks(MOVING, title, language)
}

fn image(seed: u64) -> Image {
    Image::single(&[Layer::random(10_000, seed)])
}

/// Creates the group `team` with a deploy token, and logs in.
async fn team(service: &Service) -> Client {
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    service.log_in_with(&token).await
}

#[actix_rt::test]
async fn a_secret_is_brought_along_from_a_machine_that_has_stored_it() {
    let [bring] = blocks("Bringing secrets along", "sh")[..] else { panic!("one block") };
    let Started { hub: _hub, service, .. } = Scenario::new().image("library/alpine", "latest", &image(1)).start().await;
    let (name, secret) = ("gitlab+deploy-token-7", "gldt-a-secret-of-gitlab-7");
    let home = service.data().with_file_name("home");
    fs::create_dir_all(home.join(".docker")).unwrap();
    let auth = STANDARD.encode(format!("{name}:{secret}"));
    let stored = format!(r#"{{"auths": {{"gitlab.example.com": {{"auth": "{auth}"}}}}}}"#);
    fs::write(home.join(".docker/config.json"), stored).unwrap();
    assert_eq!(service.token(name, secret, SCOPE).await.status, 403);
    let output = said(run_as_administrator(&service, &format!("export HOME={}\n{bring}", home.display())));
    assert!(!output.contains(secret), "{output}");
    assert_eq!(service.token(name, secret, SCOPE).await.status, 200);
    assert!(!service.data().with_file_name("old-secret").exists());
}

/// Returns the cells of the last columns of all tables.
fn cells() -> Vec<&'static str> {
    let rows = MOVING.lines().filter(|line| line.starts_with("| ") && !line.ends_with("| here |"));
    rows.map(|row| row.trim_end_matches(" |").rsplit(" | ").next().unwrap()).collect()
}

#[test]
fn the_settings_that_its_tables_name_exist() {
    let settings: toml::Table = SETTINGS.parse().unwrap();
    let mut found = 0;
    for word in cells().iter().flat_map(|cell| cell.split('`').skip(1).step_by(2)) {
        let Some((section, key)) = word.split_once('.').filter(|(section, _)| settings.contains_key(*section)) else {
            continue;
        };
        assert!(settings[section].get(key).is_some(), "{word}");
        found += 1;
    }
    assert!(found >= 15, "{found}");
}

#[test]
fn the_sections_that_the_documents_link_to_exist() {
    let anchors = |document: &str| -> Vec<String> {
        let titles = document.lines().filter_map(|line| line.strip_prefix("## "));
        titles.map(|title| title.to_lowercase().replace(' ', "-").replace(['\'', ',', '`', ':'], "")).collect()
    };
    let mut links = 0;
    for link in MOVING.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        let (file, anchor) = link.split_once('#').unwrap();
        let of = if file.is_empty() { MOVING } else { OPERATING };
        assert!(file.is_empty() || file == "operating.md", "{link}");
        assert!(anchors(of).iter().any(|known| known == anchor), "{link}: {:?}", anchors(of));
        links += 1;
    }
    assert!(links >= 4, "{links}");
}
