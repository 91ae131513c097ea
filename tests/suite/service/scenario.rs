//! The usual scene of a test: a fake registry as `docker.io`, the service in front of it, the group `team` with the
//! deploy token `ci`, and a client that has logged in with it.

use fake_registry::{FakeRegistry, Image};

use super::{Client, Config, Group, Service, Token};

/// A scene that is not started yet.
pub struct Scenario {
    hub: FakeRegistry,
    config: Config,
}

/// A started scene.
pub struct Started {
    pub hub: FakeRegistry,
    pub service: Service,
    pub team: Group,
    pub token: Token,
    pub client: Client,
}

impl Scenario {
    pub fn new() -> Self {
        Self::before(FakeRegistry::start())
    }

    /// Puts the service in front of this registry.
    pub fn before(hub: FakeRegistry) -> Self {
        let config = Config::docker_hub(&hub);
        Self { hub, config }
    }

    /// Pushes an image to the registry.
    pub fn image(self, repository: &str, tag: &str, image: &Image) -> Self {
        self.hub.push_image(repository, tag, image);
        self
    }

    /// Appends lines of configuration: more keys of the upstream, or other sections.
    pub fn settings(self, lines: &str) -> Self {
        self.configured(|config| config.and(lines))
    }

    /// Changes the configuration.
    pub fn configured(self, change: impl FnOnce(Config) -> Config) -> Self {
        Self { config: change(self.config), ..self }
    }

    pub async fn start(self) -> Started {
        let service = self.config.start();
        let team = service.group("team").await;
        let token = service.deploy_token(&team, "ci").await;
        let client = service.log_in_with(&token).await;
        Started { hub: self.hub, service, team, token, client }
    }
}
