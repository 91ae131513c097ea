//! Rotation of an account's secret: its second credential takes over when the registry refuses the first.

use fake_registry::{Authorization, FakeRegistry, Image, Kind, Layer};

use super::{REVALIDATE, Scene, is_image};
use crate::real_clients::{Credential, DebianRegistry};
use crate::service::{Config, eventually};

const OLD: &str = "the-old-password";
const NEW: &str = "the-new-password";
const ACCOUNT: &str = "username = \"robot\"\ngroups = [\"team\"]";

/// Returns a service whose account has both passwords, in front of a hub that accepts this one.
async fn scene(accepted: &str) -> Scene {
    let hub = FakeRegistry::start();
    hub.add_account("robot", accepted, &["acme/app", "acme/other"]);
    let secrets = format!("{ACCOUNT}\npassword = \"{OLD}\"\nsecond_password = \"{NEW}\"\n{REVALIDATE}");
    Scene::before(hub, &secrets).await
}

/// Returns how often the realm received this password.
fn logins(hub: &FakeRegistry, sent: &str) -> usize {
    let with = |shown: &Option<Authorization>| matches!(shown, Some(Authorization::Basic { password, .. }) if password == sent);
    hub.requests().iter().filter(|request| with(&request.authorization)).count()
}

async fn gauge(scene: &Scene, name: &str) -> Option<String> {
    let metrics =
        reqwest::get(format!("http://{}/metrics", scene.service.metrics)).await.unwrap().text().await.unwrap();
    let line = format!("dependency_proxy_upstream_{name}{{upstream=\"docker.io\",account=\"robot\"}} ");
    metrics.lines().find_map(|text| text.strip_prefix(&line).map(str::to_owned))
}

#[actix_rt::test]
async fn the_second_password_takes_over_within_the_pull_that_meets_the_refusal_of_the_first() {
    let scene = scene(OLD).await;
    let image = scene.push("acme/app", 1);
    scene.gives("acme/app", &image, "miss").await;
    assert_eq!((logins(&scene.hub, OLD), logins(&scene.hub, NEW)), (1, 0), "the second is not used before");
    scene.hub.change_password("robot", NEW);
    scene.hub.expire_tokens();
    scene.gives("acme/app", &image, "revalidated").await;
    assert_eq!((logins(&scene.hub, OLD), logins(&scene.hub, NEW)), (2, 1));
    // Later requests begin with it, also for other images.
    let other = scene.push("acme/other", 2);
    scene.gives("acme/other", &other, "miss").await;
    scene.hub.expire_tokens();
    scene.gives("acme/app", &image, "revalidated").await;
    assert_eq!((logins(&scene.hub, OLD), logins(&scene.hub, NEW)), (2, 3));
    let log = scene.service.log();
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("second_password is used instead")).collect();
    assert_eq!(warnings.len(), 1, "{log}");
    assert!(!log.contains("\"level\":\"ERROR\"") && !log.contains(OLD) && !log.contains(NEW), "{log}");
    assert_eq!(gauge(&scene, "first_credential_refused").await.as_deref(), Some("1"));
    assert_ne!(gauge(&scene, "account_refused").await.as_deref(), Some("1"));
}

/// Reloads the settings.
async fn reload(scene: &Scene) {
    let applied = || scene.service.log().matches("changed settings are applied").count();
    let before = applied();
    scene.service.signal("HUP");
    eventually("applied", async || applied() > before).await;
}

#[actix_rt::test]
async fn a_password_is_rotated_by_two_reloads_without_a_failed_pull() {
    let hub = FakeRegistry::start();
    hub.add_account("robot", OLD, &["acme/app"]);
    let scene = Scene::before(hub, &format!("{ACCOUNT}\npassword = \"{OLD}\"\n{REVALIDATE}")).await;
    let image = scene.push("acme/app", 1);
    scene.gives("acme/app", &image, "miss").await;
    let both = format!("password = \"{OLD}\"\nsecond_password = \"{NEW}\"");
    scene.service.replace_setting(&format!("password = \"{OLD}\""), &both);
    reload(&scene).await;
    scene.gives("acme/app", &image, "revalidated").await;
    scene.hub.change_password("robot", NEW);
    scene.hub.expire_tokens();
    scene.gives("acme/app", &image, "revalidated").await;
    assert_eq!(gauge(&scene, "first_credential_refused").await.as_deref(), Some("1"));
    scene.service.replace_setting(&both, &format!("password = \"{NEW}\""));
    reload(&scene).await;
    scene.hub.reset_counts();
    scene.gives("acme/app", &image, "revalidated").await;
    assert_eq!((logins(&scene.hub, OLD), logins(&scene.hub, NEW)), (0, 1));
    assert_eq!(gauge(&scene, "first_credential_refused").await.as_deref(), Some("0"));
}

#[actix_rt::test]
async fn the_first_password_is_used_again_once_the_second_is_refused() {
    let scene = scene(NEW).await;
    let image = scene.push("acme/app", 1);
    scene.gives("acme/app", &image, "miss").await;
    scene.hub.change_password("robot", OLD);
    scene.hub.expire_tokens();
    scene.gives("acme/app", &image, "revalidated").await;
    assert_eq!(gauge(&scene, "first_credential_refused").await.as_deref(), Some("0"));
    let log = scene.service.log();
    assert!(log.contains("the password of account 'robot' is accepted by docker.io again"), "{log}");
}

#[actix_rt::test]
async fn the_account_counts_as_refused_only_when_both_passwords_are() {
    let scene = scene(OLD).await;
    let image = scene.push("acme/app", 1);
    scene.gives("acme/app", &image, "miss").await;
    scene.hub.change_password("robot", "neither of them");
    scene.hub.expire_tokens();
    scene.gives("acme/app", &image, "stale").await;
    assert_eq!((logins(&scene.hub, OLD), logins(&scene.hub, NEW)), (2, 1));
    let log = scene.service.log();
    assert!(log.contains("the login of account 'robot' is refused by docker.io"), "{log}");
    assert!(!log.contains("is used instead"), "{log}");
    assert_eq!(gauge(&scene, "account_refused").await.as_deref(), Some("1"));
    assert_ne!(gauge(&scene, "first_credential_refused").await.as_deref(), Some("1"));
}

#[actix_rt::test]
async fn a_pull_that_finds_the_image_refused_does_not_try_the_second_password() {
    let scene = scene(OLD).await;
    scene.push("acme/app", 1);
    scene.hub.add_account("another", "another-password", &["acme/secret"]);
    scene.push("acme/secret", 2);
    assert_eq!(scene.pull("acme/secret").await.status, 403);
    assert_eq!((logins(&scene.hub, OLD), logins(&scene.hub, NEW)), (1, 0));
    assert_eq!(gauge(&scene, "account_refused").await, None);
}

/// Checks that an image of this registry, which accepts the second password only, can be pulled whole.
async fn gives_with_the_second_password(registry: &DebianRegistry, auth_host: &str, digest: &str) {
    let service = Config::upstream_at("up.test", &format!("http://{}", registry.address()))
        .and(&format!("auth_hosts = [\"{auth_host}\"]\n{ACCOUNT}\npassword = \"{OLD}\"\nsecond_password = \"{NEW}\""))
        .and(REVALIDATE)
        .start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let client = service.log_in_with(&token).await;
    for status in ["miss", "revalidated"] {
        let answer = client.manifest("team", "up.test/acme/app", "1").await;
        assert_eq!((answer.status, answer.header("x-cache")), (200, status), "{}", answer.text());
        assert_eq!(answer.header("docker-content-digest"), digest);
    }
    let manifest = client.manifest("team", "up.test/acme/app", "1").await.json();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    assert_eq!(client.blob("team", "up.test/acme/app", layer).await.status, 200);
    let log = service.log();
    assert!(log.contains("second_password is used instead") && !log.contains("\"level\":\"ERROR\""), "{log}");
}

#[actix_rt::test]
async fn debians_registry_is_pulled_from_with_the_second_password_by_basic_and_by_token() {
    let images = tempfile::tempdir().unwrap();
    let pushed = DebianRegistry::plain(images.path()).push(&["acme/app:1=docker"]);
    let robot = Credential::of("robot", NEW);
    let basic = DebianRegistry::with_password(images.path(), robot);
    gives_with_the_second_password(&basic, basic.address(), &pushed[0].1).await;
    let tokens = DebianRegistry::with_tokens(images.path(), &[(robot, "acme/")]);
    gives_with_the_second_password(&tokens, tokens.token_server(), &pushed[0].1).await;
}

#[actix_rt::test]
async fn a_registry_with_passwords_that_refuses_the_first_with_403_gets_the_second() {
    let hub = FakeRegistry::start();
    hub.require_auth(false);
    let image = Image::single(&[Layer::random(100, 1)]);
    hub.push_image("acme/app", "1", &image);
    let challenge = "Basic realm=\"registry\"";
    // Requests without a password, then with the first, as ECR responds to an expired one; after that with the second.
    let refused = |kind, status| hub.on(kind).times(1).status(status).header("WWW-Authenticate", challenge);
    drop(refused(Kind::ManifestHead, 401));
    drop(refused(Kind::ManifestHead, 403));
    drop(hub.on(Kind::Ping).times(1).status(403));
    drop(refused(Kind::ManifestHead, 401));
    let service = Config::docker_hub(&hub)
        .and(&format!("{ACCOUNT}\npassword = \"{OLD}\"\nsecond_username = \"AWS\"\nsecond_password = \"{NEW}\""))
        .start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let client = service.log_in_with(&token).await;
    let head = client.manifest_head("team", "acme/app", "1").await;
    assert_eq!(head.status, 200);
    let sent: Vec<_> = hub.requests().iter().filter_map(|request| request.authorization.clone()).collect();
    let basic = |username: &str, password: &str| Authorization::Basic {
        username: username.to_owned(),
        password: password.to_owned(),
    };
    assert!(sent.starts_with(&[basic("robot", OLD), basic("robot", OLD), basic("AWS", NEW)]), "{sent:?}");
    is_image(&client.manifest("team", "acme/app", "1").await, &image);
}
