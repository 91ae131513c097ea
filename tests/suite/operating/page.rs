//! The commands of the other sections of `docs/operating.md`, word for word, beside a running service. What an operator
//! has to fill in is replaced.

use std::fs;

use fake_registry::{FakeRegistry, Image, Kind, Layer, Listener};
use serde_json::Value;

use super::restoring::blocks;
use crate::documents::{OPERATING, run_as_administrator as run_here, said};
use crate::service::{Config, Scenario, Started};

fn image(seed: u64) -> Image {
    Image::single(&[Layer::random(10_000, seed)])
}

#[actix_rt::test]
async fn a_token_that_has_leaked_is_rotated_and_its_secret_ends_at_once() {
    let [rotate] = blocks("A token has leaked")[..] else { panic!("one block") };
    let Started { hub: _hub, service, token, client, .. } =
        Scenario::new().image("library/alpine", "1", &image(1)).start().await;
    assert_eq!(client.manifest("team", "alpine", "1").await.status, 200);
    let output = said(run_here(&service, &rotate.replace(" ID ", &format!(" {} ", token.id))));
    assert_eq!(client.manifest("team", "alpine", "1").await.status, 401, "{output}");
    let scope = "&scope=repository:team/dependency_proxy/containers/alpine:pull";
    assert_eq!(service.token(&token.username, &token.secret, scope).await.status, 403);
    let secret = output.lines().find_map(|line| line.trim().strip_prefix("token ")).unwrap().trim();
    assert_eq!(service.token(&token.username, secret, scope).await.status, 200, "{output}");
}

#[actix_rt::test]
async fn a_group_gets_its_own_account_and_the_registry_accepts_it() {
    let [set] = blocks("A group with its own account at a registry")[..] else { panic!("one block") };
    let hub = FakeRegistry::start();
    hub.add_account("robot", "the-hub-password", &["acme/app"]);
    let Started { hub: _hub, service, client, .. } =
        Scenario::before(hub).image("acme/app", "1", &image(1)).start().await;
    assert_eq!(client.manifest("team", "acme/app", "1").await.status, 403);
    fs::write(service.data().with_file_name("hub-token"), "the-hub-password\n").unwrap();
    let output = said(run_here(&service, set));
    assert!(output.contains("docker.io accepts the account robot"), "{output}");
    assert_eq!(client.manifest("team", "acme/app", "1").await.status, 200);
}

#[actix_rt::test]
async fn a_password_at_a_registry_is_rotated_without_a_failed_pull() {
    let ([settings, reload], section) = (toml_and_sh(), "Rotating the password of an account at a registry");
    assert_eq!(blocks(section), [reload]);
    let hub = FakeRegistry::start();
    hub.add_account("robot", "the-old-password", &["acme/app"]);
    hub.push_image("acme/app", "1", &image(1));
    let secrets = tempfile::tempdir().unwrap();
    let secret = |name: &str, text: &str| fs::write(secrets.path().join(name), text).unwrap();
    secret("robot", "the-old-password");
    secret("robot-new", "the-new-password");
    let lines = settings.replace("/etc/dependency-proxy", secrets.path().to_str().unwrap());
    let (_, lines) = lines.split_once("]\n").unwrap();
    let service = Config::hub_named("registry.example.com", &hub).and("groups = [\"team\"]").and(lines).start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let client = service.log_in_with(&token).await;
    let pull = async || client.manifest("team", "registry.example.com/acme/app", "1").await.status;
    assert_eq!(pull().await, 200);
    let reload = reload.replace("systemctl reload dependency-proxy", &format!("kill -HUP {}", service.pid()));
    let check = format!("{} --image acme/app:1 || true", reload.trim_end());
    let old = said(run_here(&service, &check));
    assert!(old.contains("account 'robot' is accepted") && old.contains("(with its second_password)"), "{old}");
    hub.change_password("robot", "the-new-password");
    hub.expire_tokens();
    let new = said(run_here(&service, &check));
    assert!(new.contains("account 'robot' with its second_password is accepted"), "{new}");
    hub.push_image("acme/app", "2", &image(2));
    let pulled = client.manifest("team", "registry.example.com/acme/app", "2").await;
    assert_eq!(pulled.status, 200, "{}", pulled.text());
}

/// Returns the settings and the commands of the section about a password.
fn toml_and_sh() -> [&'static str; 2] {
    let (_, section) = OPERATING.split_once("\n## Rotating the password of an account at a registry\n").unwrap();
    ["```toml\n", "```sh\n"].map(|begin| section.split(begin).nth(1).unwrap().split("```").next().unwrap())
}

#[actix_rt::test]
async fn groups_are_compared_and_one_of_them_gets_a_quota() {
    let [compare] = blocks("A group fills the disk")[..] else { panic!("one block") };
    let Started { hub: _hub, service, client, .. } =
        Scenario::new().image("library/alpine", "1", &image(1)).start().await;
    assert_eq!(client.manifest("team", "alpine", "1").await.status, 200);
    let output = said(run_here(&service, compare));
    for part in ["team", "library/alpine:1", "50000000000", "90"] {
        assert!(output.contains(part), "{part}: {output}");
    }
}

#[actix_rt::test]
async fn a_full_disk_is_named_with_its_free_space_and_its_setting() {
    let [look] = blocks("The disk is full")[..] else { panic!("one block") };
    let scenario = Scenario::new().image("library/alpine", "1", &image(1)).configured(|config| {
        // As if something else had filled the disk.
        config.variable("DEPENDENCY_PROXY__STORAGE__MIN_FREE", "99%")
    });
    let Started { hub: _hub, service, client, .. } = scenario.start().await;
    assert_eq!(client.manifest("team", "alpine", "1").await.status, 200);
    let output = said(run_here(&service, look));
    for part in ["the disk of the cache is full", "bytes are free in", "storage.min_free", "(stored, each once)"] {
        assert!(output.contains(part), "{part}: {output}");
    }
}

#[actix_rt::test]
async fn a_registry_that_is_down_is_listed_with_the_reason_and_checked() {
    let [look] = blocks("Docker Hub is down, or its pull limit is reached")[..] else { panic!("one block") };
    let scenario = Scenario::new().image("library/alpine", "latest", &image(1));
    let Started { hub, service, client, .. } = scenario.start().await;
    let works = said(run_here(&service, look));
    assert!(works.contains("unused") && works.contains("can be pulled"), "{works}");
    hub.down(Listener::Registry);
    assert_eq!(client.manifest("team", "alpine", "2").await.status, 503);
    let fails = said(run_here(&service, &format!("{} || true", look.trim_end())));
    assert!(fails.contains("failing") && fails.contains("it refused the connection"), "{fails}");
}

#[actix_rt::test]
async fn images_are_pulled_before_a_workshop_and_need_no_registry_then() {
    let [warm] = blocks("Pulling images before a workshop")[..1] else { panic!("a block") };
    let ghcr = FakeRegistry::start();
    ghcr.require_auth(false);
    ghcr.push_image("acme/app", "1.4", &image(2));
    let (hub, lines) = (FakeRegistry::start(), format!("[upstreams.\"ghcr.io\"]\nurl = \"{}\"", ghcr.url()));
    ghcr.redirect_blobs(false);
    let scenario = Scenario::before(hub).image("library/alpine", "3.22", &image(1)).settings(&lines);
    let Started { hub, service, client, .. } = scenario.start().await;
    fs::write(service.data().with_file_name("images.txt"), "alpine:3.22\n").unwrap();
    let output = said(run_here(&service, warm));
    assert!(output.contains("pinned in team: alpine:3.22"), "{output}");
    [&hub, &ghcr].iter().for_each(|registry| registry.down(Listener::Registry));
    for (name, tag, of) in [("alpine", "3.22", image(1)), ("ghcr.io/acme/app", "1.4", image(2))] {
        assert_eq!(&client.manifest("team", name, tag).await.body, of.bytes());
        assert_eq!(client.blob("team", name, of.layers()[0].digest()).await.status, 200);
    }
    assert_eq!((hub.requests().of(Kind::BlobDownload), ghcr.requests().of(Kind::BlobDownload)), (2, 2));
}

#[actix_rt::test]
async fn a_disk_that_has_corrupted_data_is_examined_and_repaired() {
    let [examine] = blocks("A disk has corrupted data")[..] else { panic!("one block") };
    let Started { hub: _hub, mut service, client, .. } =
        Scenario::new().image("library/alpine", "1", &image(1)).start().await;
    assert_eq!(client.stored_blob("team", "alpine", image(1).layers()[0].digest()).await.status, 200);
    assert!(service.stop().success());
    let digest = image(1).layers()[0].digest().replace("sha256:", "");
    fs::write(service.data().join("cache/blobs/sha256").join(&digest[..2]).join(&digest), "rotten").unwrap();
    // The first command fails, because something is broken.
    let output = said(run_here(&service, &examine.replacen('\n', " || true\n", 1)));
    assert!(
        output.contains("another digest") && output.contains("Everything that was broken is repaired."),
        "{output}"
    );
    let value: Value =
        serde_json::from_str(&said(run_here(&service, "dependency-proxy fsck --data data --json"))).unwrap();
    assert_eq!(value["clean"], true);
}
