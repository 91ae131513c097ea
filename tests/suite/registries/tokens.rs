//! Upstream's tokens: a refused token is not a refused repository, and a challenge does not override the
//! scope that the client needs.

use fake_registry::{Authorization, FakeRegistry, Image, Kind, Layer, Listener, Rule};

use super::{REVALIDATE, Scene, is_image};
use crate::service::Config;

#[actix_rt::test]
async fn a_stored_token_that_is_refused_is_replaced_once_however_the_refusal_looks() {
    let refusals: [fn(Rule<'_>) -> Rule<'_>; 3] = [
        |rule| rule.refusal(401, "UNAUTHORIZED", "no challenge comes along"),
        |rule| rule.refusal(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again."),
        |rule| rule.status(401),
    ];
    for refusal in refusals {
        let scene = Scene::start(REVALIDATE).await;
        scene.push("acme/app", 1);
        assert_eq!(scene.pull("acme/app").await.status, 200);
        let moved = scene.push("acme/app", 2);
        scene.hub.expire_tokens();
        // Whatever is wrong with the old token, the registry reports it like this, to each request that has it.
        drop(refusal(scene.hub.on(Kind::ManifestHead).before_auth().times(1)));
        scene.hub.reset_counts();
        is_image(&scene.pull("acme/app").await, &moved);
        assert_eq!(scene.hub.requests().token_requests(), 1);
        let layer = moved.layers()[0].digest();
        scene.hub.expire_tokens();
        drop(refusal(scene.hub.on(Kind::BlobRedirect).before_auth().times(1)));
        let blob = scene.client.blob("team", "acme/app", layer).await;
        assert_eq!((blob.status, blob.body.len()), (200, 20_000), "{}", blob.text());
    }
}

#[actix_rt::test]
async fn a_refusal_of_the_new_token_is_upstreams_decision() {
    for status in [401, 403] {
        let scene = Scene::start(REVALIDATE).await;
        scene.push("acme/app", 1);
        assert_eq!(scene.pull("acme/app").await.status, 200);
        scene.hub.on(Kind::ManifestGet).refusal(status, "DENIED", "denied");
        scene.hub.on(Kind::ManifestHead).refusal(status, "DENIED", "denied");
        scene.hub.reset_counts();
        let answer = scene.pull("acme/app").await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "DENIED"));
        let requests = scene.hub.requests();
        assert!(requests.of(Kind::ManifestGet) <= 2 && requests.token_requests() <= 2, "it ends: {requests:?}");
    }
}

#[actix_rt::test]
async fn a_token_is_requested_for_the_repository_whatever_the_challenge_names() {
    for scope in ["repository:user/image:pull", "", "*", "registry:catalog:*", "aws"] {
        let hub = FakeRegistry::start();
        hub.challenge_scope(scope);
        hub.strict_realm(true);
        let scene = Scene::before(hub, "").await;
        let image = scene.push("acme/app", 1);
        is_image(&scene.pull("acme/app").await, &image);
        let layer = image.layers()[0].digest();
        assert_eq!(scene.client.blob("team", "acme/app", layer).await.status, 200, "{scope}");
        let requests = scene.hub.requests();
        let token = requests.iter().find(|request| request.kind == Kind::Token).unwrap();
        assert_eq!(token.parameter("scope"), Some("repository:acme/app:pull"), "{scope}");
    }
}

#[actix_rt::test]
async fn a_scope_that_a_registry_insists_on_is_added_to_the_repositorys_own() {
    let scene = Scene::start("").await;
    let image = scene.push("acme/app", 1);
    // The realm issues the first token for something else: the registry then names the scope that it needs.
    scene.hub.challenge_scope("repository:acme/app:pull,repository:acme/base:pull");
    scene.hub.on(Kind::ManifestGet).times(1).status(401);
    is_image(&scene.pull("acme/app").await, &image);
    let requests = scene.hub.requests();
    let last = requests.iter().rfind(|request| request.kind == Kind::Token).unwrap();
    let scopes: Vec<_> =
        last.query.iter().filter(|(name, _)| name == "scope").map(|(_, scope)| scope.as_str()).collect();
    assert_eq!(scopes, ["repository:acme/app:pull", "repository:acme/app:pull,repository:acme/base:pull"]);
}

#[actix_rt::test]
async fn a_path_in_the_address_of_upstream_is_part_of_the_scope() {
    let hub = FakeRegistry::start();
    hub.strict_realm(true);
    let image = Image::single(&[Layer::random(100, 1)]);
    hub.push_image("cache/acme/app", "1", &image);
    let realm = hub.host(Listener::Realm);
    let service = Config::upstream_at("mirror.test", &format!("{}/cache", hub.url()))
        .and(&format!("auth_hosts = [\"{realm}\"]"))
        .start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let client = service.log_in_with(&token).await;
    is_image(&client.manifest("team", "mirror.test/acme/app", "1").await, &image);
}

#[actix_rt::test]
async fn the_registry_behind_a_redirect_gets_an_anonymous_token_and_never_the_account() {
    let (front, behind) = (FakeRegistry::start(), FakeRegistry::start());
    front.require_auth(true);
    front.add_account("robot", "the-robots-password", &["acme/app"]);
    let image = Image::single(&[Layer::random(20_000, 1)]);
    front.push_image("acme/app", "1", &image);
    behind.push_image("real/app", "1", &image);
    let target = |path: &str| format!("{}/v2/real/app/{path}", behind.url());
    let layer = image.layers()[0].digest();
    for kind in [Kind::ManifestGet, Kind::ManifestHead] {
        front.on(kind).for_reference("1").redirect_to(&target("manifests/1"));
    }
    front.on(Kind::BlobRedirect).redirect_to(&target(&format!("blobs/{layer}")));
    front.on(Kind::Tags).redirect_to(&target("tags/list"));
    let hosts =
        [Listener::Registry, Listener::Realm, Listener::Storage].map(|listener| format!("{:?}", behind.host(listener)));
    let lines = format!(
        "username = \"robot\"\npassword = \"the-robots-password\"\ngroups = [\"team\"]\nredirect_hosts = [{}]\n{REVALIDATE}",
        hosts.join(", ")
    );
    let realm = front.host(Listener::Realm);
    let service =
        Config::upstream_at("own.test", &front.url()).and(&format!("auth_hosts = [\"{realm}\"]\n{lines}")).start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let client = service.log_in_with(&token).await;
    let path = "own.test/acme/app";
    is_image(&client.manifest("team", path, "1").await, &image);
    assert_eq!(behind.requests().token_requests(), 1);
    let blob = client.blob("team", path, layer).await;
    assert_eq!((blob.status, blob.body.len()), (200, 20_000), "{}", blob.text());
    let tags = client.get(&format!("/v2/team/dependency_proxy/containers/{path}/tags/list")).await;
    assert_eq!(tags.json()["tags"], serde_json::json!(["1"]));
    is_image(&client.manifest("team", path, "1").await, &image);
    // The stored token is refused: one new token, one more attempt.
    behind.expire_tokens();
    is_image(&client.manifest("team", path, "1").await, &image);
    assert_eq!(behind.requests().token_requests(), 2, "one token, and one in its place");
    assert_apart(&front, &behind);
}

/// Asserts that neither registry got a token of the other, and the second one nothing of the account.
fn assert_apart(front: &FakeRegistry, behind: &FakeRegistry) {
    for request in behind.requests().iter() {
        let anonymous = matches!(request.authorization, None | Some(Authorization::Bearer(_)));
        assert!(anonymous, "the account left for another registry: {request:?}");
        assert!(request.listener != Listener::Storage || request.authorization.is_none(), "{request:?}");
        if let Some(Authorization::Bearer(token)) = &request.authorization {
            assert!(behind.issued_tokens().contains(token), "a token of the first registry was shown to the second");
        }
    }
    for request in front.requests().iter() {
        if let Some(Authorization::Bearer(token)) = &request.authorization {
            assert!(front.issued_tokens().contains(token), "a token of the second registry was shown to the first");
        }
    }
}

#[actix_rt::test]
async fn each_registry_behind_a_redirect_has_a_token_of_its_own() {
    let (front, first, second) = (FakeRegistry::start(), FakeRegistry::start(), FakeRegistry::start());
    front.require_auth(false);
    let image = Image::single(&[Layer::random(100, 1)]);
    front.push_image("acme/app", "1", &image);
    first.push_image("real/app", "1", &image);
    second.push_image("real/app", "1", &image);
    // Each in turn, for both GET and HEAD.
    for round in 0..8 {
        let target = if round % 2 == 0 { &first } else { &second };
        front
            .on_anything()
            .at(Listener::Registry)
            .times(2)
            .redirect_to(&format!("{}/v2/real/app/manifests/1", target.url()));
    }
    let hosts: Vec<String> = [&first, &second]
        .iter()
        .flat_map(|hub| [Listener::Registry, Listener::Realm].map(|at| format!("{:?}", hub.host(at))))
        .collect();
    let service = Config::upstream_at("own.test", &front.url())
        .and(&format!("redirect_hosts = [{}]\n{REVALIDATE}", hosts.join(", ")))
        .start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let client = service.log_in_with(&token).await;
    for _ in 0..6 {
        is_image(&client.manifest("team", "own.test/acme/app", "1").await, &image);
    }
    assert_eq!((first.requests().token_requests(), second.requests().token_requests()), (1, 1));
}
