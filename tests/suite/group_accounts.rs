//! Accounts of groups at upstreams: the content that each group gets with its own account, who may set one, and the
//! files that contain its password.

mod isolation;
mod keys;
mod owners;
mod verbs;

use fake_registry::{Authorization, FakeRegistry, Image, Layer};
use serde_json::{Value, json};

use crate::service::{Answer, Client, Config, Service};

const PASSWORD: &str = "hub-password-of-team-a";
const OTHER: &str = "hub-password-of-team-b";

/// Tags are revalidated at each pull, and 404s are not cached.
const REVALIDATE: &str = "[cache]\ntag_freshness = 0\nnegative_ttl = 0";
const LONG_TTL: &str = "[cache]\ntag_freshness = \"1h\"\nnegative_ttl = 0";

/// A registry with the private images `private/a` and `private/b`, each for one account, and the groups `a` and `b`.
struct Scene {
    hub: FakeRegistry,
    service: Service,
    a: Client,
    b: Client,
    image_a: Image,
    image_b: Image,
}

impl Scene {
    async fn start(lines: &str) -> Self {
        let hub = FakeRegistry::start();
        let image = |repository: &str, seed| {
            let image = Image::single(&[Layer::random(5_000, seed)]);
            hub.push_image(repository, "1", &image);
            image
        };
        let (image_a, image_b) = (image("private/a", 1), image("private/b", 2));
        hub.add_account("robot-a", PASSWORD, &["private/a"]);
        hub.add_account("robot-b", OTHER, &["private/b"]);
        let service = Config::docker_hub(&hub).and(lines).start();
        let (a, b) = (client(&service, "a").await, client(&service, "b").await);
        Self { hub, service, a, b, image_a, image_b }
    }

    /// Starts it with the accounts of both groups.
    async fn with_accounts(lines: &str) -> Self {
        let scene = Self::start(lines).await;
        scene.set("a", "robot-a", PASSWORD).await;
        scene.set("b", "robot-b", OTHER).await;
        scene
    }

    async fn set(&self, group: &str, identity: &str, secret: &str) {
        set(&self.service, group, identity, secret).await;
    }

    async fn remove(&self, group: &str) {
        let answer = self.service.api("DELETE", &address(group), Value::Null).await;
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    async fn list(&self, group: &str) -> Value {
        let path = format!("/groups/{}/dependency_proxy/upstream_accounts", group.replace('/', "%2F"));
        self.service.api("GET", &path, Value::Null).await.json()
    }

    /// Kills the service and starts it again.
    fn restart(&mut self) {
        self.service.kill_and_restart();
        self.reconnect();
    }

    /// Gives the clients the address of a service that was started again.
    fn reconnect(&mut self) {
        for client in [&mut self.a, &mut self.b] {
            *client = self.service.stranger().with_authorization(client.authorization());
        }
    }

    /// Returns how often the realm received this password.
    fn logins(&self, sent: &str) -> usize {
        logins(&self.hub, sent)
    }
}

fn logins(hub: &FakeRegistry, sent: &str) -> usize {
    let with = |shown: &Option<Authorization>| matches!(shown, Some(Authorization::Basic { password, .. }) if password == sent);
    hub.requests().iter().filter(|request| with(&request.authorization)).count()
}

fn address(group: &str) -> String {
    format!("/groups/{}/dependency_proxy/upstream_accounts/docker.io", group.replace('/', "%2F"))
}

async fn set(service: &Service, group: &str, identity: &str, secret: &str) {
    let answer = service.api("PUT", &address(group), json!({"identity": identity, "secret": secret})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(!answer.text().contains(secret), "{}", answer.text());
}

async fn client(service: &Service, group: &str) -> Client {
    let token = service.deploy_token(&service.group(group).await, "ci").await;
    service.log_in_with(&token).await
}

/// Checks that the response is this manifest, with this cache status.
#[track_caller]
fn is(answer: &Answer, image: &Image, status: &str) {
    assert_eq!((answer.status, answer.header("x-cache")), (200, status), "{}", answer.text());
    assert_eq!(&answer.body, image.bytes());
}
