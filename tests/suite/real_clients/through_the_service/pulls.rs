//! Successful logins and pulls.

use std::collections::BTreeSet;
use std::thread;

use super::*;

/// Returns images in these forms, each for one client, which is the first to request it.
fn images_of(client: Client, forms: &[&str]) -> Vec<String> {
    forms.iter().map(|form| format!("library/{}:{form}={form}", name(client))).collect()
}

fn name(client: Client) -> String {
    format!("{client:?}").to_lowercase()
}

const FORMS: [&str; 4] = ["docker", "oci", "docker-list", "oci-index"];

#[actix_rt::test]
async fn every_client_logs_in_and_pulls_every_kind_of_image_by_digest_and_by_tag() {
    let images: Vec<_> = Client::ALL.into_iter().flat_map(|client| images_of(client, &FORMS)).collect();
    let scene = Scene::with_open_registry(&images).await;
    for client in Client::ALL {
        if client.has_login() {
            client.login(&scene.engines, &scene.host(), scene.credential()).unwrap();
        }
        for form in FORMS {
            let image = format!("library/{}:{form}", name(client));
            let digest = scene.digest(&image);
            // The service gets the first request for the image by its digest.
            scene.assert_pulls(client, &format!("{}@{digest}", name(client)), digest);
            scene.assert_pulls(client, &image, digest);
        }
    }
}

#[actix_rt::test]
async fn every_client_pulls_what_the_service_has_an_account_for() {
    let forms = ["docker", "oci-index"];
    let images: Vec<_> = Client::ALL.into_iter().flat_map(|client| images_of(client, &forms)).collect();
    let scene = Scene::with_guarded_registry(&images).await;
    for client in Client::ALL {
        let [single, multi] = forms.map(|form| format!("library/{}:{form}", name(client)));
        scene.assert_pulls(client, &single, scene.digest(&single));
        scene.assert_pulls(client, &format!("{}@{}", name(client), scene.digest(&multi)), scene.digest(&multi));
    }
    // Another group may not use the account, neither for cached images nor for others.
    let other = scene.service.group("other").await;
    let token = scene.service.deploy_token(&other, "ci").await;
    let credential = Credential::of(&token.username, &token.secret);
    let image = of("other", "library/docker:docker");
    let said = Client::Podman.pull(&scene.engines, &scene.host(), credential, &image).unwrap_err();
    assert!(
        said.contains("docker.io has no 'library/docker', or it is private (requested without credentials)"),
        "{said}"
    );
}

#[actix_rt::test]
async fn docker_and_podman_log_in_and_pull_with_every_kind_of_credential() {
    let scene = Scene::with_open_registry(&["library/tool:1=oci"]).await;
    let (service, team) = (&scene.service, &scene.team);
    let password = "the-password-of-alice";
    let alice = service.user("alice", password).await;
    service.add_member(team, &alice, 10).await;
    let personal = service.personal_token(&alice, "laptop", &["read_registry", "write_registry"]).await;
    let group = service.group_token(team, "bot", &["read_virtual_registry", "write_virtual_registry"]).await;
    let credentials = [
        Credential::of("alice", password),
        Credential::of("alice", &personal.secret),
        Credential::of("any-name", &group.secret),
        scene.credential(),
    ];
    for client in [Client::Docker, Client::Podman] {
        for credential in credentials {
            client.login(&scene.engines, &scene.host(), credential).unwrap();
            let pulled = client.pull(&scene.engines, &scene.host(), credential, &of("team", "tool:1")).unwrap();
            assert!(pulled.iter().any(|digest| digest == scene.digest("library/tool:1")), "{client:?} {credential:?}");
        }
    }
}

#[actix_rt::test]
async fn every_client_logs_in_and_pulls_by_the_name_and_secret_of_a_robot_of_harbor() {
    let scene = Scene::with_open_registry(&["library/tool:1=oci"]).await;
    for (name, secret) in [("robot$ci", "Harbor5ecret-of-a-robot"), ("robot$project+ci", "Another$ecret-of-a-robot")] {
        let scopes = ["read_registry", "write_registry"];
        let fields = json!({"name": name, "username": name, "scopes": scopes, "token": secret});
        let token = scene.service.deploy_token_with(&scene.team, fields).await;
        let credential = Credential::of(&token.username, &token.secret);
        for client in Client::ALL {
            if client.has_login() {
                client.login(&scene.engines, &scene.host(), credential).unwrap();
            }
            let pulled = client.pull(&scene.engines, &scene.host(), credential, &of("team", "tool:1")).unwrap();
            assert!(pulled.iter().any(|digest| digest == scene.digest("library/tool:1")), "{client:?} {name}");
        }
    }
}

#[actix_rt::test]
async fn clients_that_pull_one_image_at_the_same_time_share_its_downloads() {
    let scene = Scene::with_open_registry(&["--layer-bytes", "20000000", "library/big:1=oci-index"]).await;
    let digest = scene.digest("library/big:1");
    thread::scope(|scope| {
        for client in Client::ALL {
            let scene = &scene;
            scope.spawn(move || scene.assert_pulls(client, "big:1", digest));
        }
    });
    // Two platforms, each with a configuration and two layers; skopeo pulls all of them, the others only their own.
    assert_eq!(downloads(&scene).await, 6);
}

/// Returns the number of blobs that the service requested from upstream.
async fn downloads(scene: &Scene) -> u64 {
    let metrics =
        reqwest::get(format!("http://{}/metrics", scene.service.metrics)).await.unwrap().text().await.unwrap();
    let lines = metrics.lines().filter(|line| line.starts_with("dependency_proxy_upstream_requests_total{"));
    let gets = lines.filter(|line| line.contains("kind=\"blob\""));
    gets.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[actix_rt::test]
async fn skopeo_inspects_an_image_and_its_tags() {
    let scene = Scene::with_open_registry(&["library/tool:1=oci", "library/tool:2=docker-list"]).await;
    let image = of("team", "tool:2");
    let said = Client::Skopeo.inspect(&scene.engines, &scene.host(), scene.credential(), &image).unwrap();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["Digest"], scene.digest("library/tool:2"));
    let tags: BTreeSet<_> = said["RepoTags"].as_array().unwrap().iter().filter_map(serde_json::Value::as_str).collect();
    assert_eq!(tags, BTreeSet::from(["1", "2"]));
}
