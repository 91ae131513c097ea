//! Refusals, as a script sees them: the client ends within seconds, with our message.

use std::time::{Duration, Instant};

use super::*;
use crate::service::eventually;

/// Runs something that must fail soon. Returns the client's output.
fn refused<T: std::fmt::Debug>(call: impl FnOnce() -> Result<T, String>) -> String {
    let begun = Instant::now();
    let said = call().unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(30), "it took {:?}: {said}", begun.elapsed());
    said
}

impl Scene {
    fn refused(&self, client: Client, credential: Credential<'_>, path: &str) -> String {
        refused(|| client.pull(&self.engines, &self.host(), credential, path))
    }

    /// Returns tokens that may not pull from `team`, with the messages for their users.
    async fn useless_tokens(&self) -> Vec<(Token, String)> {
        let (service, team) = (&self.service, &self.team);
        let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1);
        let expired = service.deploy_token_with(team, expiring("old", soon)).await;
        let wrong = Token { secret: "not-the-secret".to_owned(), ..service.deploy_token(team, "wrong").await };
        let deleted = service.deploy_token(team, "deleted").await;
        service.api("DELETE", &format!("/groups/{}/deploy_tokens/{}", team.id, deleted.id), json!(null)).await;
        let user = service.user("alice", "the-password-of-alice").await;
        service.add_member(team, &user, 10).await;
        let revoked = service.personal_token(&user, "laptop", &["api"]).await;
        service.api("DELETE", &format!("/personal_access_tokens/{}", revoked.id), json!(null)).await;
        let other = service.group("other").await;
        let foreign = service.deploy_token(&other, "foreign").await;
        eventually("the token expires", async || {
            service.token(&expired.username, &expired.secret, "").await.status != 200
        })
        .await;
        let unknown = "Wrong username or password. With a token, use the token as the password";
        let told = |token, sentence: &str| (token, sentence.to_owned());
        vec![
            told(wrong, unknown),
            told(revoked, "Token 'laptop' was revoked on"),
            told(deleted, "Token 'deleted' was revoked on"),
            told(expired, "Token 'old' expired on"),
            told(foreign, "Group 'team' does not exist, or"),
        ]
    }
}

#[actix_rt::test]
async fn a_pull_with_a_credential_that_does_not_suffice_ends_at_once_with_the_reason() {
    let scene = Scene::with_open_registry(&["library/tool:1=oci"]).await;
    let image = of("team", "tool:1");
    // Cached, so that only the credential can be the reason.
    scene.assert_pulls(Client::Docker, "tool:1", scene.digest("library/tool:1"));
    let tokens = scene.useless_tokens().await;
    let mut cases: Vec<_> =
        tokens.iter().map(|(token, told)| (Credential::of(&token.username, &token.secret), told.as_str())).collect();
    cases.push((Credential::NONE, "Credentials are needed here. Log in first"));
    for (credential, told) in cases {
        for docker in Client::dockers() {
            let said = scene.refused(docker, credential, &image);
            assert!(said.contains(told), "{docker:?} {credential:?}: {said}");
        }
        for client in [Client::Podman, Client::Buildah, Client::Skopeo, Client::Ctr] {
            let said = scene.refused(client, credential, &image);
            assert!(said.contains(shown_by(client, told)), "{client:?} {credential:?}: {said}");
        }
    }
}

/// Returns the part of a message that clients other than docker show: of a response of the token endpoint only the
/// status, and ctr never more.
fn shown_by(client: Client, told: &str) -> &str {
    match client {
        Client::Ctr => "403 Forbidden",
        _ if told.starts_with("Group") => told,
        _ => "invalid status code from registry 403 (Forbidden)",
    }
}

#[actix_rt::test]
async fn a_login_with_a_wrong_password_fails_with_the_reason() {
    let scene = Scene::with_open_registry(&["library/tool:1=oci"]).await;
    let wrong = Credential::of(&scene.token.username, "not-the-secret");
    for client in Client::dockers().chain([Client::Podman, Client::Buildah, Client::Skopeo]) {
        let said = refused(|| client.login(&scene.engines, &scene.host(), wrong));
        let docker = Client::dockers().any(|docker| docker == client);
        let told = if docker { "Wrong username or password. With a token" } else { "invalid username/password" };
        assert!(said.contains(told), "{client:?}: {said}");
    }
}

#[actix_rt::test]
async fn a_path_that_leads_nowhere_is_explained() {
    let scene = Scene::with_open_registry(&["library/tool:1=oci"]).await;
    let form = format!(
        "This is a pull-through cache. Pull {}/<group>/dependency_proxy/containers/alpine:latest",
        scene.host()
    );
    let (elsewhere, unknown) = (of("team", "quay.example.com/x:1"), of("team", "ngnix:1"));
    let cases = [
        ("alpine:latest", form.as_str()),
        (elsewhere.as_str(), "quay.example.com is not an upstream of this service. Configured: docker.io"),
        (unknown.as_str(), "docker.io has no ngnix:1"),
    ];
    for (path, told) in cases {
        for client in Client::dockers().chain([Client::Podman, Client::Buildah, Client::Skopeo]) {
            let said = scene.refused(client, scene.credential(), path);
            assert!(said.contains(told), "{client:?} {path}: {said}");
        }
    }
}

#[actix_rt::test]
async fn a_push_is_refused_with_the_reason() {
    let scene = Scene::with_open_registry(&["library/tool:1=docker"]).await;
    for docker in Client::dockers() {
        let image = of("team", "tool:1");
        let said = refused(|| docker.push(&scene.engines, &scene.host(), scene.credential(), &image));
        assert!(said.contains("This is a read-only cache. Push to the registry itself"), "{docker:?}: {said}");
    }
}
