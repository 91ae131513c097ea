//! SIGHUP: the settings that are reloaded, those that need a restart, and that running pulls continue.

use fake_registry::{Authorization, FakeRegistry, Image, Kind, Layer, Listener};

use super::metrics::metric;
use crate::service::{Client, Config, Service, eventually};

const ACCOUNT: &str = "groups = [\"team\"]\nusername = \"robot\"";
const REVALIDATE: &str = "[cache]\ntag_freshness = \"0s\"";

/// Returns a hub with an image that only the account can pull.
fn stocked() -> (FakeRegistry, Image) {
    let hub = FakeRegistry::start();
    let image = Image::single(&[Layer::random(300_000, 1)]);
    hub.add_account("robot", "the-new-password", &["acme/app"]);
    hub.push_image("acme/app", "1", &image);
    (hub, image)
}

async fn client(service: &Service) -> Client {
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    service.log_in_with(&token).await
}

/// Sends SIGHUP, and waits for another log line with this text.
async fn reload(service: &Service, until_logged: &str) {
    let count = |log: String| log.matches(until_logged).count();
    let before = count(service.log());
    service.signal("HUP");
    eventually(until_logged, async || count(service.log()) > before).await;
}

const APPLIED: &str = "SIGHUP: changed settings are applied";
const REFUSED: &str = "SIGHUP: the settings cannot be used and stay as they are";

#[actix_rt::test]
async fn a_password_that_was_renewed_in_its_file_is_used_at_once() {
    let (hub, image) = stocked();
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("robot");
    std::fs::write(&file, "the-old-password\n").unwrap();
    let service = Config::docker_hub(&hub)
        .and(&format!("{ACCOUNT}\npassword_file = \"{}\"\n{REVALIDATE}", file.display()))
        .start();
    let client = client(&service).await;
    let refused = client.manifest("team", "acme/app", "1").await;
    assert!(refused.message().starts_with("The login of account 'robot' is refused"), "{}", refused.text());
    std::fs::write(&file, "the-new-password\n").unwrap();
    reload(&service, APPLIED).await;
    let pulled = client.manifest("team", "acme/app", "1").await;
    assert_eq!((pulled.status, &pulled.body), (200, image.bytes()), "{}", pulled.text());
    let log = service.log();
    assert!(log.contains(r#""applied":"upstreams.\"docker.io\".password""#), "{log}");
    assert!(!log.contains("the-new-password") && !log.contains("the-old-password"));
}

#[actix_rt::test]
async fn back_offs_of_an_upstream_that_changed_are_forgotten() {
    let (hub, image) = stocked();
    let password = "password = \"the-new-password\"";
    let service = Config::docker_hub(&hub).and(&format!("{ACCOUNT}\n{password}\n{REVALIDATE}")).start();
    let client = client(&service).await;
    assert_eq!(client.manifest("team", "acme/app", "1").await.status, 200);
    hub.expire_tokens();
    hub.on(Kind::Token).status(401);
    // The backoff is 1 s, 2 s, 4 s and 8 s then.
    for _ in 0..16 {
        assert_eq!(client.manifest("team", "acme/app", "1").await.header("x-cache"), "stale");
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    hub.behave();
    service.replace_setting("url = \"", "connect_timeout = \"4s\"\nurl = \"");
    reload(&service, APPLIED).await;
    let pulled = client.manifest("team", "acme/app", "1").await;
    assert_eq!((pulled.header("x-cache"), &pulled.body), ("revalidated", image.bytes()));
}

#[actix_rt::test]
async fn a_pause_that_a_registry_asked_for_ends_with_a_reload_though_no_setting_has_changed() {
    let hub = FakeRegistry::start();
    let image = Image::single(&[Layer::random(100, 1)]);
    hub.push_image("acme/app", "1", &image);
    let service = Config::docker_hub(&hub).start();
    let client = client(&service).await;
    hub.on_anything().at(Listener::Registry).before_auth().too_many_requests(999_999_999);
    assert_eq!(client.manifest("team", "acme/app", "1").await.status, 503);
    hub.behave();
    hub.reset_counts();
    let refused = client.manifest("team", "acme/app", "1").await;
    assert_eq!((refused.status, hub.requests().total()), (503, 0));
    reload(&service, "SIGHUP: no setting that can be reloaded has changed").await;
    assert_eq!(client.manifest("team", "acme/app", "1").await.body, image.bytes());
}

#[actix_rt::test]
async fn the_gauges_of_an_upstream_that_was_removed_are_zero() {
    let (hub, other) = (FakeRegistry::start(), FakeRegistry::start());
    other.require_auth(false);
    other.push_image("acme/app", "1", &Image::single(&[Layer::random(100, 1)]));
    other.pulls_left(50);
    let lines = format!("[upstreams.\"other.test\"]\nurl = \"{}\"\nenabled = true", other.url());
    let service = Config::docker_hub(&hub).and(&lines).start();
    let client = client(&service).await;
    assert_eq!(client.manifest("team", "other.test/acme/app", "1").await.status, 200);
    let gauge = async |name: &str| {
        metric(&service, &format!("dependency_proxy_upstream_{name}{{upstream=\"other.test\",account=\"\"}}")).await
    };
    eventually("the limit is shown", async || gauge("pulls_left").await == 49).await;
    other.down(Listener::Registry);
    let fails = async || {
        assert_eq!(client.manifest("team", "other.test/acme/missing", "1").await.status, 503);
        gauge("circuit").await == 2
    };
    eventually("the failures are shown", fails).await;
    service.replace_setting("enabled = true", "enabled = false");
    reload(&service, APPLIED).await;
    let are_zero = async || (gauge("circuit").await, gauge("pull_limit").await, gauge("pulls_left").await) == (0, 0, 0);
    eventually("they are zero", are_zero).await;
}

#[actix_rt::test]
async fn an_account_that_was_removed_is_not_used_any_more_not_even_for_what_is_cached() {
    let (hub, _) = stocked();
    let account = format!("{ACCOUNT}\npassword = \"the-new-password\"");
    let service = Config::docker_hub(&hub).and(&account).start();
    let client = client(&service).await;
    assert_eq!(client.manifest("team", "acme/app", "1").await.status, 200);
    service.replace_setting(&account, "");
    reload(&service, APPLIED).await;
    hub.reset_counts();
    assert_eq!(client.manifest("team", "acme/app", "1").await.status, 403);
    let shown = |request: &fake_registry::Requests| {
        request.iter().any(|request| matches!(request.authorization, Some(Authorization::Basic { .. })))
    };
    assert!(hub.requests().total() > 0 && !shown(&hub.requests()), "the account was shown after it was removed");
}

#[actix_rt::test]
async fn upstreams_come_and_go_without_a_restart() {
    let (first, second) = (FakeRegistry::start(), FakeRegistry::start());
    let image = Image::single(&[Layer::random(100, 1)]);
    for hub in [&first, &second] {
        hub.require_auth(false);
        hub.push_image("acme/app", "1", &image);
    }
    let service = Config::upstream_at("first.test", &first.url()).start();
    let client = client(&service).await;
    assert_eq!(client.manifest("team", "first.test/acme/app", "1").await.status, 200);
    assert_eq!(client.manifest("team", "second.test/acme/app", "1").await.status, 403);
    service.replace_setting("first.test", "second.test");
    service.replace_setting(&first.url(), &second.url());
    reload(&service, APPLIED).await;
    assert_eq!(client.manifest("team", "second.test/acme/app", "1").await.status, 200);
    let gone = client.manifest("team", "first.test/acme/app", "1").await;
    assert_eq!(gone.status, 403);
    assert!(gone.message().contains("first.test is not an upstream of this service"), "{}", gone.message());
}

#[actix_rt::test]
async fn the_times_of_the_cache_change_and_what_needs_a_restart_is_named() {
    let hub = FakeRegistry::start();
    hub.push_image("library/alpine", "latest", &Image::single(&[Layer::random(100, 1)]));
    let service = Config::docker_hub(&hub).and("[cache]\ntag_freshness = \"1h\"").start();
    let client = client(&service).await;
    let pull = async || client.manifest("team", "alpine", "latest").await.header("x-cache").to_owned();
    assert_eq!((pull().await.as_str(), pull().await.as_str()), ("miss", "hit"));
    service.replace_setting("tag_freshness = \"1h\"", "tag_freshness = 0\nmax_waiters = 77");
    reload(&service, "these changed settings need a restart").await;
    assert_eq!(pull().await, "revalidated");
    let log = service.log();
    assert!(log.contains(r#""applied":"cache.tag_freshness""#), "{log}");
    assert!(log.contains(r#""waiting":"cache.max_waiters""#), "{log}");
    // Until then each SIGHUP reports it.
    reload(&service, "these changed settings need a restart").await;
}

#[actix_rt::test]
async fn settings_with_faults_change_nothing_and_all_faults_are_logged() {
    let hub = FakeRegistry::start();
    hub.push_image("library/alpine", "latest", &Image::single(&[Layer::random(100, 1)]));
    let service = Config::docker_hub(&hub).and("[cache]\ntag_freshness = \"1h\"").start();
    let client = client(&service).await;
    assert_eq!(client.manifest("team", "alpine", "latest").await.status, 200);
    let wrong = "tag_freshness = 0\nnegative_ttl = \"soon\"\n[upstream_defaults]\nca_file = \"/nonexistent/ca.pem\"\nidle_timeout = 0";
    service.replace_setting("tag_freshness = \"1h\"", wrong);
    reload(&service, REFUSED).await;
    let log = service.log();
    for expected in ["cache.negative_ttl: 'soon' is not a time", "upstream_defaults.idle_timeout: is zero"] {
        assert!(log.contains(expected), "{expected} is not in {log}");
    }
    assert_eq!(client.manifest("team", "alpine", "latest").await.header("x-cache"), "hit");
    // A missing file is an error, too.
    service.replace_setting("negative_ttl = \"soon\"", "");
    service.replace_setting("idle_timeout = 0", "");
    reload(&service, "/nonexistent/ca.pem cannot be read").await;
    assert_eq!(client.manifest("team", "alpine", "latest").await.header("x-cache"), "hit");
}

#[actix_rt::test]
async fn a_download_under_way_goes_on_while_its_upstream_changes() {
    let (hub, image) = stocked();
    let service =
        Config::docker_hub(&hub).and(&format!("{ACCOUNT}\npassword = \"the-new-password\"\n{REVALIDATE}")).start();
    let client = client(&service).await;
    assert_eq!(client.manifest("team", "acme/app", "1").await.status, 200);
    let layer = image.layers()[0].clone();
    hub.on(Kind::BlobDownload).hold_after(100_000);
    let pulling = {
        let (client, digest) = (client.clone(), layer.digest().to_owned());
        actix_rt::spawn(async move { client.blob("team", "acme/app", &digest).await })
    };
    hub.seen(Kind::BlobDownload, 1).await;
    service.replace_setting("the-new-password", "another-password");
    reload(&service, APPLIED).await;
    hub.release();
    let answer = pulling.await.unwrap();
    assert_eq!((answer.status, answer.cut, answer.body.len()), (200, false, layer.bytes().len()));
    assert_eq!(hub.requests().at(Listener::Storage), 1);
    assert_eq!(client.manifest("team", "acme/app", "1").await.header("x-cache"), "stale", "the new password is wrong");
}
