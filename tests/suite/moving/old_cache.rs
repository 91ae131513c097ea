//! The old cache behind the service for the first week: Debian's `docker-registry` as a pull-through cache, and a
//! GitLab, whose part another instance of the service plays.

use fake_registry::{Kind, Listener};

use super::*;
use crate::operating::metrics::{metrics, value};
use crate::real_clients::DebianRegistry;
use crate::service::eventually;

const TITLE: &str = "The old cache, for the first week";
const APPLIED: &str = "SIGHUP: changed settings are applied";

/// Pulls an image through the old cache, and waits until its blobs are stored there.
async fn pull_through(old: &DebianRegistry, folder: &std::path::Path, image: &Image) {
    let url = format!("http://{}/v2/library/alpine", old.address());
    let manifest = reqwest::Client::new().get(format!("{url}/manifests/3.22")).header("accept", image.media_type());
    assert_eq!(manifest.send().await.unwrap().status(), 200);
    for digest in image.blobs().map(|blob| blob.digest().to_owned()) {
        assert_eq!(reqwest::get(format!("{url}/blobs/{digest}")).await.unwrap().status(), 200);
        let hex = digest.replace("sha256:", "");
        let file = folder.join("docker/registry/v2/blobs/sha256").join(&hex[..2]).join(&hex).join("data");
        eventually("the old cache has stored a blob", async || file.exists()).await;
    }
}

/// Adds lines to the first upstream of the settings, and applies them with the command of the document.
async fn reload_with(service: &Service, lines: &str, command: &str) {
    let settings = fs::read_to_string(service.config()).unwrap();
    let (header, rest) = settings.split_once('\n').unwrap();
    assert_eq!(Some(header), lines.lines().next());
    fs::write(service.config(), format!("{lines}\n{rest}")).unwrap();
    let command = command.replace("systemctl reload dependency-proxy", &format!("kill -HUP {}", service.pid()));
    run_as_administrator(service, &command);
    eventually(APPLIED, async || service.log().contains(APPLIED)).await;
}

#[actix_rt::test]
async fn what_a_registry_2_has_cached_comes_from_it_and_nothing_breaks_when_it_is_turned_off() {
    let (mirror, commands) = (blocks(TITLE, "toml")[0], blocks(TITLE, "sh")[0]);
    let (reload, check_and_warm) = commands.split_once('\n').unwrap();
    let hub = FakeRegistry::start();
    hub.require_auth(false);
    hub.redirect_blobs(false);
    hub.push_image("library/alpine", "3.22", &image(1));
    hub.push_image("library/alpine", "latest", &image(2));
    let folder = tempfile::tempdir().unwrap();
    let old = DebianRegistry::cache_of(folder.path(), &hub.url());
    pull_through(&old, folder.path(), &image(1)).await;
    let downloads = hub.requests().of(Kind::BlobDownload);

    let service = Config::docker_hub(&hub).start();
    let client = team(&service).await;
    reload_with(&service, &mirror.replace("old-cache.example.com:5000", old.address()), reload).await;
    fs::write(service.data().with_file_name("images.txt"), "alpine:3.22\n").unwrap();
    let output = said(run_as_administrator(&service, check_and_warm));
    assert!(output.contains(old.address()) && output.contains("can be pulled"), "{output}");
    assert_eq!(hub.requests().of(Kind::BlobDownload), downloads, "all blobs came from the old cache");
    let of = format!("upstream=\"docker.io\",mirror=\"{}\",outcome=\"ok\"", old.address());
    let counted = format!("dependency_proxy_mirror_requests_total{{{of}}}");
    assert!(value(&metrics(&service).await, &counted) >= 3.0);

    drop(old);
    let pulled = client.manifest("team", "alpine", "latest").await;
    assert_eq!((pulled.status, &pulled.body), (200, image(2).bytes()), "{}", pulled.text());
    hub.down(Listener::Registry);
    for blob in image(1).blobs() {
        assert_eq!(client.blob("team", "alpine", blob.digest()).await.header("x-cache"), "hit");
    }
}

/// Starts a service whose Docker Hub is the old cache, with the lines of the document; returns the password file, too.
fn start_behind(old: &Service, secret: &str) -> (Service, tempfile::NamedTempFile) {
    let lines = blocks(TITLE, "toml")[1].replace("https://gitlab.example.com", &old.url());
    let password = tempfile::NamedTempFile::new().unwrap();
    fs::write(password.path(), secret).unwrap();
    let lines = lines.replace("/etc/dependency-proxy/old-cache", password.path().to_str().unwrap());
    let mut lines = lines.lines();
    assert_eq!(lines.next(), Some("[upstreams.\"docker.io\"]"));
    let url = lines.next().unwrap().strip_prefix("url = \"").unwrap().trim_end_matches('"');
    (Config::upstream_at("docker.io", url).and(&lines.collect::<Vec<_>>().join("\n")).start(), password)
}

#[actix_rt::test]
async fn a_gitlab_stands_in_for_docker_hub_and_afterwards_no_blob_is_downloaded_again() {
    let scenario = Scenario::new().image("library/alpine", "3.22", &image(1));
    let Started { hub, service: old, team: group, .. } = scenario.start().await;
    let fields = serde_json::json!({
        "name": "old", "username": "gitlab+deploy-token-7", "scopes": ["read_registry", "write_registry"]
    });
    let token = old.deploy_token_with(&group, fields).await;
    let (mut service, _password) = start_behind(&old, &token.secret);
    let client = team(&service).await;
    let pulled = client.manifest("team", "alpine", "3.22").await;
    assert_eq!((pulled.status, &pulled.body), (200, image(1).bytes()), "{}", pulled.text());
    for blob in image(1).blobs() {
        client.stored_blob("team", "alpine", blob.digest()).await;
    }
    let others = service.group("others").await;
    let other = service.deploy_token(&others, "ci").await;
    let refused = service.log_in_with(&other).await.manifest("others", "alpine", "3.22").await;
    assert_ne!(refused.status, 200, "groups without the login get nothing");

    let downloads = hub.requests().of(Kind::BlobDownload);
    assert!(service.stop().success());
    let settings = fs::read_to_string(service.config()).unwrap();
    let (_, rest) = settings.split_once("[server]").unwrap();
    let (realm, storage) = (hub.host(Listener::Realm), hub.host(Listener::Storage));
    let docker_hub = format!("url = \"{}\"\nauth_hosts = [\"{realm}\"]\nredirect_hosts = [\"{storage}\"]", hub.url());
    fs::write(service.config(), format!("[upstreams.\"docker.io\"]\n{docker_hub}\n[server]{rest}")).unwrap();
    service.restart();
    let client = service.stranger().with_authorization(client.authorization());
    assert_eq!(client.manifest("team", "alpine", "3.22").await.body, *image(1).bytes());
    for blob in image(1).blobs() {
        assert_eq!(client.blob("team", "alpine", blob.digest()).await.status, 200);
    }
    assert_eq!(hub.requests().of(Kind::BlobDownload), downloads);
}

#[actix_rt::test]
async fn a_project_that_anyone_may_pull_from_is_a_mirror_by_its_path() {
    let hub = FakeRegistry::start();
    hub.push_image("library/alpine", "3.22", &image(1));
    let old = Config::docker_hub(&hub).and("[auth]\npublic_groups = \"anyone\"").start();
    let open = serde_json::json!({"name": "hub", "path": "hub", "visibility": "public"});
    assert_eq!(old.api("POST", "/groups", open).await.status, 201);
    let mirrors = format!("mirrors = [\"{}/hub/dependency_proxy/containers\"]", old.url());
    let service = Config::docker_hub(&hub).and(&mirrors).start();
    let client = team(&service).await;
    let pulled = client.manifest("team", "alpine", "3.22").await;
    assert_eq!((pulled.status, &pulled.body), (200, image(1).bytes()), "{}", pulled.text());
    for blob in image(1).blobs() {
        client.stored_blob("team", "alpine", blob.digest()).await;
    }
    let of = format!("upstream=\"docker.io\",mirror=\"{}\",outcome=\"ok\"", old.address);
    let counted = format!("dependency_proxy_mirror_requests_total{{{of}}}");
    assert!(value(&metrics(&service).await, &counted) >= 3.0);
    assert_eq!(hub.requests().of(Kind::BlobDownload), 2, "each blob once, by the old cache");
}
