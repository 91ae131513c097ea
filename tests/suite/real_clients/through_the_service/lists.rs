//! Lists through the service, from a hub with manners that Debian's registry has not.

use super::*;
use crate::fake_hub::{FakeHub, Image, Kind, Layer};

/// A service before a hub that has these tags of `acme/app`, and the group `team` with a deploy token.
struct Listed {
    engines: Engines,
    hub: FakeHub,
    service: Service,
    token: Token,
}

impl Listed {
    async fn with_tags(tags: impl IntoIterator<Item = String>) -> Self {
        let hub = FakeHub::start();
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
