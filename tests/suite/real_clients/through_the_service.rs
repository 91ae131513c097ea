//! Real clients through the real service, with Debian's registry as its docker.io: they get upstream's content,
//! byte for byte, or a message that states what to do.

mod lists;
mod manners;
mod mirrors;
mod outages;
mod partial;
mod pulls;
mod refusals;
mod snippets;

use serde_json::json;

use super::{Client, Credential, DebianRegistry, Engines};
use crate::service::{Config, Group, Service, Token};

/// A service in front of a registry, and the group `team` with a deploy token.
struct Scene {
    engines: Engines,
    /// Upstream, while it is running.
    registry: Option<DebianRegistry>,
    service: Service,
    team: Group,
    token: Token,
    images: Vec<(String, String)>,
    _folder: tempfile::TempDir,
}

/// The service's account at a registry that requires tokens.
const ACCOUNT: Credential<'_> = Credential::of("account", "secret-of-the-account");

impl Scene {
    /// Starts a service with an open upstream that has these images (see [`DebianRegistry::push`]). The service
    /// revalidates tags at each pull.
    async fn with_open_registry(images: &[impl AsRef<str>]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = DebianRegistry::plain(folder.path());
        let images = push(&registry, images);
        let config = Config::upstream_at("docker.io", &format!("http://{}", registry.address()));
        Self::start(folder, registry, images, config).await
    }

    /// Starts a service whose upstream requires a token for [`ACCOUNT`] for `library/`, which the service
    /// uses for `team` only.
    async fn with_guarded_registry(images: &[impl AsRef<str>]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let images = push(&DebianRegistry::plain(folder.path()), images);
        let registry = DebianRegistry::with_tokens(folder.path(), &[(ACCOUNT, "library/")]);
        let (realm, user) = (registry.token_server(), ACCOUNT.user);
        let config = Config::upstream_at("docker.io", &format!("http://{}", registry.address()))
            .and(&format!("auth_hosts = [{realm:?}]\nusername = {user:?}\ngroups = [\"team\"]"))
            .variable("DEPENDENCY_PROXY__UPSTREAMS__DOCKER_IO__PASSWORD", ACCOUNT.password);
        Self::start(folder, registry, images, config).await
    }

    async fn start(
        folder: tempfile::TempDir,
        registry: DebianRegistry,
        images: Vec<(String, String)>,
        config: Config,
    ) -> Self {
        let service = config.and("[cache]\ntag_freshness = 0").start();
        let team = service.group("team").await;
        let token = service.deploy_token(&team, "ci").await;
        Self { engines: Engines::start(), registry: Some(registry), service, team, token, images, _folder: folder }
    }

    /// Returns `HOST:PORT` of the service.
    fn host(&self) -> String {
        self.service.address.to_string()
    }

    fn credential(&self) -> Credential<'_> {
        Credential::of(&self.token.username, &self.token.secret)
    }

    /// Pulls `NAME:TAG` or `NAME@DIGEST` of docker.io for `team`.
    fn pull(&self, client: Client, image: &str) -> Result<Vec<String>, String> {
        client.pull(&self.engines, &self.host(), self.credential(), &of(&self.team.path, image))
    }

    /// Returns the digest of `NAME:TAG` upstream.
    fn digest(&self, image: &str) -> &str {
        let found = self.images.iter().find(|(reference, _)| reference == image);
        &found.unwrap_or_else(|| panic!("{image} was not pushed")).1
    }

    /// Asserts that the client gets upstream's content from the service, by tag or by digest.
    fn assert_pulls(&self, client: Client, image: &str, digest: &str) {
        let digests = self.pull(client, image).unwrap_or_else(|said| panic!("{client:?} {image}: {said}"));
        assert!(digests.iter().any(|known| known == digest), "{client:?} {image}: {digests:?}");
    }
}

/// Returns the path of an image for a group.
fn of(group: &str, image: &str) -> String {
    format!("{group}/dependency_proxy/containers/{image}")
}

fn push(registry: &DebianRegistry, images: &[impl AsRef<str>]) -> Vec<(String, String)> {
    registry.push(&images.iter().map(AsRef::as_ref).collect::<Vec<_>>())
}

/// Returns the fields of a deploy token that may pull and expires at this time.
fn expiring(name: &str, at: jiff::Timestamp) -> serde_json::Value {
    json!({"name": name, "scopes": ["read_registry", "write_registry"], "expires_at": at.to_string()})
}
