//! Accounts and mirrors: which of them sees a password, and what it may decide.

use super::*;

/// Returns true if a registry, its realm or its storage has seen a password.
fn has_seen_a_password(registry: &FakeRegistry) -> bool {
    registry.requests().iter().any(|request| matches!(request.authorization, Some(Authorization::Basic { .. })))
}

#[actix_rt::test]
async fn a_mirror_at_another_site_never_sees_the_account_and_decides_nothing_about_private_images() {
    let (own, mirror) = (FakeRegistry::start(), FakeRegistry::start());
    mirror.redirect_blobs(false);
    let (private, public) = (image(1), image(2));
    for registry in [&own, &mirror] {
        registry.add_account("robot", "the-robots-password", &["acme/private"]);
        registry.push_image("acme/private", "1", &private);
        registry.push_image("acme/public", "1", &public);
    }
    // Its realm is at a host that may have the account; the mirror is not.
    let scene = Scene::with_realms(own, &[&mirror], &[foreign(&mirror)], ACCOUNT).await;
    is_image(&scene.pull("acme/private").await, &private);
    scene.gives("acme/private", &private.layers()[0]).await;
    assert!(scene.own.requests().of(Kind::ManifestGet) > 0);
    scene.own.reset_counts();
    is_image(&scene.pull("acme/public").await, &public);
    scene.gives("acme/public", &public.layers()[0]).await;
    assert_eq!(scene.own.requests().total(), 0);
    assert!(mirror.requests().total() > 0 && !has_seen_a_password(&mirror), "{:?}", mirror.requests());
}

#[actix_rt::test]
async fn a_mirror_in_auth_hosts_has_the_account() {
    let (own, mirror) = (FakeRegistry::start(), FakeRegistry::start());
    mirror.redirect_blobs(false);
    let private = image(1);
    for registry in [&own, &mirror] {
        registry.add_account("robot", "the-robots-password", &["acme/private"]);
        registry.push_image("acme/private", "1", &private);
    }
    let (port, realm) = (mirror.address(Listener::Registry).port(), mirror.host(Listener::Realm));
    let mirrors = [foreign(&mirror)];
    let service = Config::upstream_at("docker.io", &own.url())
        .and(&format!("{ACCOUNT}\nmirrors = {mirrors:?}\nauth_hosts = [\"localhost:{port}\", \"{realm}\"]"))
        .start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let client = service.log_in_with(&token).await;
    is_image(&client.manifest("team", "acme/private", "1").await, &private);
    assert!(has_seen_a_password(&mirror));
    assert_eq!(own.requests().total(), 0);
}

#[actix_rt::test]
async fn an_account_that_only_a_mirror_refuses_does_not_count_as_refused() {
    let (own, mirror) = (FakeRegistry::start(), FakeRegistry::start());
    let image = image(1);
    own.add_account("robot", "the-robots-password", &["acme/app"]);
    own.push_image("acme/app", "1", &image);
    mirror.push_image("acme/app", "1", &image);
    let scene = Scene::with_realms(own, &[&mirror], &[mirror.url()], ACCOUNT).await;
    is_image(&scene.pull("acme/app").await, &image);
    let skipped = "is skipped for a while: upstream's token realm: it refuses the credentials of the account";
    eventually("the skipped mirror is logged", async || scene.service.log().contains(skipped)).await;
    let log = scene.service.log();
    assert!(!log.contains("\"level\":\"ERROR\"") && !scene.metrics().await.contains("account_refused{"), "{log}");
}

#[actix_rt::test]
async fn debians_registry_is_a_mirror_of_one_with_tokens() {
    let images = tempfile::tempdir().unwrap();
    let mirror = DebianRegistry::plain(images.path());
    let pushed = mirror.push(&["acme/app:1=oci-index"]);
    let others = tempfile::tempdir().unwrap();
    let own_pushed = DebianRegistry::plain(others.path()).push(&["acme/app:1=oci-index", "acme/private:1=docker"]);
    let robot = Credential::of("robot", "the-robots-password");
    let own = DebianRegistry::with_tokens(others.path(), &[(robot, "acme/")]);
    let mirror_at = format!("http://{}", mirror.address().replace("127.0.0.1", "localhost"));
    let service = Config::upstream_at("up.test", &format!("http://{}", own.address()))
        .and(&format!(
            "{ACCOUNT}\nmirrors = [\"{mirror_at}\"]\nauth_hosts = [\"{}\"]\n{REVALIDATE}",
            own.token_server()
        ))
        .start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let client = service.log_in_with(&token).await;
    for (name, digest) in [("app", &pushed[0].1), ("private", &own_pushed[1].1)] {
        let answer = client.manifest("team", &format!("up.test/acme/{name}"), "1").await;
        assert_eq!(
            (answer.status, answer.header("docker-content-digest")),
            (200, digest.as_str()),
            "{}",
            answer.text()
        );
    }
}
