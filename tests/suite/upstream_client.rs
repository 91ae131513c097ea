//! The client of upstream registries, with a correct hub and with one that misbehaves.

mod addresses;
mod answers;
mod blobs;
mod fetcher;
mod tls;
mod tokens;

use std::time::Duration;

use dependency_proxy::domain::digest::Digest;
use dependency_proxy::domain::origin::{Account, Origin};
use dependency_proxy::domain::reference::Reference;
use dependency_proxy::settings::Settings;
use dependency_proxy::upstream::{
    AccountOptions, ConnectionOptions, Content, ContentHead, HostPort, HttpProxy, ManifestHead, Registry,
    UpstreamError, UpstreamOptions,
};
use fake_registry::{FakeRegistry, Image, Layer, Listener};
use futures::TryStreamExt;

const REPOSITORY: &str = "library/alpine";

/// A hub with `library/alpine:latest` of one layer.
struct Setup {
    hub: FakeRegistry,
    image: Image,
    layer: Layer,
}

impl Setup {
    fn new(layer_size: u64) -> Self {
        let hub = FakeRegistry::start();
        let layer = Layer::random(layer_size, 7);
        let image = Image::single(std::slice::from_ref(&layer));
        hub.push_image(REPOSITORY, "latest", &image);
        Self { hub, image, layer }
    }

    /// Returns options with the registry as upstream, and with its realm and storage.
    fn options(&self) -> UpstreamOptions {
        let (username, password) = ("robot".to_owned(), "hunter2".to_owned().into());
        UpstreamOptions {
            auth_hosts: hosts(&[&self.hub.host(Listener::Realm)]),
            redirect_hosts: hosts(&[&self.hub.host(Listener::Storage)]),
            accounts: vec![AccountOptions { username, password, second: None, groups: Vec::new(), images: Vec::new() }],
            connection: ConnectionOptions {
                proxy: HttpProxy::None,
                connect_timeout: Duration::from_secs(2),
                header_timeout: Duration::from_secs(4),
                idle_timeout: Duration::from_secs(2),
                ..docker_hub().connection
            },
            url: self.hub.url().parse().unwrap(),
            ..docker_hub()
        }
    }

    fn client(&self) -> Registry {
        client(self.options())
    }

    fn layer(&self) -> Digest {
        self.layer.digest().parse().unwrap()
    }
}

/// Returns the default options of Docker Hub.
fn docker_hub() -> UpstreamOptions {
    let upstreams = Settings::load(None, []).unwrap().upstreams;
    upstreams.iter().find(|upstream| upstream.name.as_str() == "docker.io").unwrap().clone()
}

fn hosts(texts: &[&str]) -> Vec<HostPort> {
    texts.iter().map(|text| HostPort::parse(text).unwrap()).collect()
}

/// Returns these options with a change of the connection.
fn with_connection(mut options: UpstreamOptions, change: impl FnOnce(&mut ConnectionOptions)) -> UpstreamOptions {
    change(&mut options.connection);
    options
}

fn client(options: UpstreamOptions) -> Registry {
    Registry::new(options).unwrap()
}

fn anonymous() -> Origin {
    origin(Account::Anonymous)
}

fn robot() -> Origin {
    origin(Account::Username("robot".into()))
}

fn origin(account: Account) -> Origin {
    Origin { upstream: "docker.io".parse().unwrap(), account, repository: REPOSITORY.parse().unwrap() }
}

fn latest() -> Reference {
    "latest".parse().unwrap()
}

async fn bytes(content: Content) -> Result<Vec<u8>, UpstreamError> {
    content.stream.map_ok(|bytes| bytes.to_vec()).try_concat().await
}

/// Upstream's refusal without a message.
const DENIED: UpstreamError = UpstreamError::Denied { message: None };

/// Returns the content that a `HEAD` confirmed.
fn confirmed(head: Result<ManifestHead, UpstreamError>) -> ContentHead {
    match head.unwrap() {
        ManifestHead::Confirmed(head) => head,
        other => panic!("{other:?}"),
    }
}

/// Returns the error of a result that must be one.
fn error<T>(outcome: Result<T, UpstreamError>) -> UpstreamError {
    outcome.err().expect("this has to fail")
}
