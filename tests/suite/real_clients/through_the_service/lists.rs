//! Lists through the service, from a hub with features that Debian's registry lacks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fake_registry::{FakeRegistry, Image, Kind, Layer};

use super::*;

/// A service in front of a hub that has these tags of `acme/app`, and the group `team` with a deploy token.
struct Listed {
    engines: Engines,
    hub: FakeRegistry,
    service: Service,
    token: Token,
}

impl Listed {
    async fn with_tags(tags: impl IntoIterator<Item = String>) -> Self {
        let hub = FakeRegistry::start();
        let image = Image::single(&[Layer::random(100, 1)]);
        tags.into_iter().for_each(|tag| drop(hub.push_image("acme/app", &tag, &image)));
        let service = Config::docker_hub(&hub).start();
        let team = service.group("team").await;
        let token = service.deploy_token(&team, "ci").await;
        Self { engines: Engines::start(), hub, service, token }
    }

    fn credential(&self) -> Credential<'_> {
        Credential::of(&self.token.username, &self.token.secret)
    }
}

#[actix_rt::test]
async fn skopeo_lists_all_tags_of_a_hub_that_pages_by_tokens_with_one_request_a_page() {
    let tags: Vec<_> = (0..120).map(|number| format!("v{number:03}")).collect();
    let listed = Listed::with_tags(tags.clone()).await;
    for parameter in ["next_page", "nextToken"] {
        listed.hub.page_by(parameter, 50);
        listed.hub.reset_counts();
        let (host, path) = (listed.service.address.to_string(), of("team", "acme/app"));
        let said = Client::Skopeo.list_tags(&listed.engines, &host, listed.credential(), &path).unwrap();
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["Tags"], json!(tags), "{parameter}");
        assert_eq!(listed.hub.requests().of(Kind::Tags), 3, "{parameter}");
    }
}

#[actix_rt::test]
async fn skopeo_finds_the_signatures_of_a_hub_without_referrers() {
    let listed = Listed::with_tags(["unsigned".to_owned()]).await;
    listed.hub.referrers_api(false);
    let image = Image::single(&[Layer::random(100, 2)]);
    listed.hub.push_image("acme/app", "signed", &image);
    let payloads = ["the first payload", "the second payload"];
    let signatures = Image::single(&payloads.map(Layer::of)).oci().signature();
    listed.hub.push_image("acme/app", &format!("{}.sig", image.digest().replace(':', "-")), &signatures);
    let host = listed.service.address.to_string();
    for (tag, expected) in [("signed", &payloads[..]), ("unsigned", &[])] {
        let path = of("team", &format!("acme/app:{tag}"));
        let said = Client::Skopeo.signatures(&listed.engines, &host, listed.credential(), &path).unwrap();
        let found: Vec<String> = said.lines().filter(|line| !line.is_empty()).map(payload).collect();
        assert_eq!(found, expected, "{tag}");
    }
}

/// Returns the signed document of a signature as skopeo stores it.
fn payload(signature: &str) -> String {
    let signature: serde_json::Value = serde_json::from_str(signature).unwrap();
    String::from_utf8(STANDARD.decode(signature["payload"].as_str().unwrap()).unwrap()).unwrap()
}

#[actix_rt::test]
async fn debians_registry_has_no_list_of_referrers_and_that_is_passed_on() {
    let scene = Scene::with_open_registry(&["library/tool:1=oci", "library/tool:2=oci-index"]).await;
    let client = scene.service.log_in_with(&scene.token).await;
    for (image, digest) in &scene.images {
        let (name, _) = image.split_once(':').unwrap();
        let list = client.get(&format!("/v2/{}/referrers/{digest}", of("team", name))).await;
        assert_eq!((list.status, list.code().as_str()), (404, "UNSUPPORTED"), "{image}");
    }
}
