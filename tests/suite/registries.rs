//! Real upstream registries: behaviour from public bug reports, which a pull through the service must handle as
//! well as a direct one.

mod accounts;
mod causes;
mod connections;
mod content;
mod heads;
mod mirrors;
mod refusals;
mod rotation;
mod tokens;

use fake_registry::{FakeRegistry, Image, Kind, Layer};

use crate::service::{Answer, Client, Scenario, Service, Started};

/// Tags are revalidated at each pull, and 404s are not cached.
const REVALIDATE: &str = "[cache]\ntag_freshness = 0\nnegative_ttl = 0";

/// A service in front of a hub, with a group and its deploy token.
struct Scene {
    hub: FakeRegistry,
    service: Service,
    client: Client,
}

impl Scene {
    /// Starts it with these lines of configuration after the upstream's.
    async fn start(lines: &str) -> Self {
        Self::before(FakeRegistry::start(), lines).await
    }

    async fn before(hub: FakeRegistry, lines: &str) -> Self {
        let Started { hub, service, client, .. } = Scenario::before(hub).settings(lines).start().await;
        Self { hub, service, client }
    }

    /// Creates another group, and returns a client that pulls for it.
    async fn another_group(&self, name: &str) -> Client {
        let group = self.service.group(name).await;
        let token = self.service.deploy_token(&group, "ci").await;
        self.service.log_in_with(&token).await
    }

    /// Returns a client with a new token of the group `team`, for a restarted service.
    async fn another_client(&self) -> Client {
        let team = self.service.api("GET", "/groups/team", serde_json::Value::Null).await.json();
        let team = crate::service::Group { id: team["id"].as_u64().unwrap(), path: "team".to_owned() };
        let token = self.service.deploy_token(&team, "another").await;
        self.service.log_in_with(&token).await
    }

    /// Pushes an image into a repository, with the tag `1`.
    fn push(&self, repository: &str, seed: u64) -> Image {
        let image = Image::single(&[Layer::random(20_000, seed)]);
        self.hub.push_image(repository, "1", &image);
        image
    }

    async fn pull(&self, repository: &str) -> Answer {
        self.client.manifest("team", repository, "1").await
    }

    /// Pulls the tag `1`, and checks that it is this image, with this cache status.
    async fn gives(&self, repository: &str, image: &Image, status: &str) {
        let answer = self.pull(repository).await;
        is_image(&answer, image);
        assert_eq!(answer.header("x-cache"), status);
    }

    fn count(&self, kind: Kind) -> usize {
        self.hub.requests().of(kind)
    }
}

/// Checks that the response is this manifest, complete and unchanged.
fn is_image(answer: &Answer, image: &Image) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(&answer.body, image.bytes());
    assert_eq!(answer.header("docker-content-digest"), image.digest());
    assert_eq!(answer.header("content-type"), image.media_type());
}
