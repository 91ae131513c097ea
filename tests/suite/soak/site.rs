//! The scene of a soak: an upstream with public and private images, and groups that pull them.

use bytes::Bytes;
use fake_registry::{FakeRegistry, Image, Layer};

use crate::service::{Config, Group, Service, Token};

/// Maximum size of the cache: about half of all images.
const MAX_BYTES: &str = "16MB";

const SETTINGS: &str = "header_timeout = \"2s\"\nidle_timeout = \"2s\"\nrate_limit_wait = \"2s\"";

const CACHE_SETTINGS: &str = "[cache]\ntag_freshness = \"1s\"\nstale_while_revalidate = \"1s\"\nnegative_ttl = 0";

/// Number of public images.
const PUBLIC_IMAGES: u64 = 20;

/// Bytes of the large layer of an image.
pub(super) const LAYER_BYTES: u64 = 1_000_000;

/// The tag that moves, and its image name.
pub(super) const MOVING: (&str, &str) = ("moving", "latest");

/// Number of images that the moving tag may stand for.
pub(super) const MOVES: u64 = 3;

/// The group whose images are removed and purged; only the changes pull through it.
pub(super) const ARCHIVE: &str = "archive";

/// A group that pulls.
pub(super) struct Team {
    pub(super) group: Group,
    /// The token that its members pull with, which is never revoked.
    pub(super) token: Token,
    /// The private images that its account at upstream can read.
    account: Option<&'static str>,
}

/// An image at upstream, with all its bytes.
pub(super) struct Product {
    /// The name of the image, as clients write it.
    pub(super) image: String,
    pub(super) tag: String,
    pub(super) digest: String,
    /// The account that can read it; none for a public image.
    owner: Option<&'static str>,
    /// Its manifests and blobs, the topmost manifest first.
    pub(super) parts: Vec<Part>,
}

/// A manifest or a blob.
pub(super) struct Part {
    /// The path below the image: `blobs/<digest>`.
    pub(super) path: String,
    pub(super) bytes: Bytes,
}

/// Returns the settings of the service over this upstream.
pub(super) fn config(hub: &FakeRegistry) -> Config {
    let account = |name: &str| {
        format!(
            "[upstreams.\"docker.io\".accounts.{name}]\nusername = \"robot-{name}\"\n\
             password = \"password-{name}\"\ngroups = [\"{name}\"]\nimages = [\"private/*\"]"
        )
    };
    let config = Config::docker_hub(hub).and(SETTINGS).and(&account("one")).and(&account("other"));
    // After the defaults of every test, which do not set it.
    config.and(CACHE_SETTINGS).variable("DEPENDENCY_PROXY__STORAGE__MAX_BYTES", MAX_BYTES)
}

/// Creates the groups.
pub(super) async fn teams(service: &Service) -> Vec<Team> {
    let mut teams = Vec::new();
    for (path, account) in [("one", Some("one")), ("one/inner", Some("one")), ("other", Some("other")), (ARCHIVE, None)]
    {
        let group = service.group(path).await;
        let token = service.deploy_token(&group, "ci").await;
        teams.push(Team { group, token, account });
    }
    teams
}

impl Product {
    /// Returns the name for messages.
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.image, self.tag)
    }

    /// Returns true if the account of the group can read it.
    pub(super) fn is_for(&self, team: &Team) -> bool {
        self.owner.is_none() || self.owner == team.account
    }

    pub(super) fn blobs(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| part.path.starts_with("blobs/"))
    }

    fn of(image: &Image, name: &str, tag: &str, owner: Option<&'static str>) -> Self {
        let manifests = std::iter::once(image).chain(image.children());
        let parts = manifests.clone().map(|manifest| ("manifests", manifest.digest(), manifest.bytes().clone()));
        let blobs = manifests.flat_map(|manifest| manifest.blobs());
        let parts = parts.chain(blobs.map(|blob| ("blobs", blob.digest(), Bytes::from(blob.bytes()))));
        let parts = parts.map(|(kind, digest, bytes)| Part { path: format!("{kind}/{digest}"), bytes }).collect();
        Self { image: name.to_owned(), tag: tag.to_owned(), digest: image.digest().to_owned(), owner, parts }
    }
}

impl Team {
    /// Returns the path of a part of an image for this group.
    pub(super) fn path(&self, image: &str, rest: &str) -> String {
        format!("/v2/{}/dependency_proxy/containers/{image}/{rest}", self.group.path)
    }
}

/// Fills upstream: public images with a layer in common, some of them for two platforms, a tag that moves, and one
/// private image of each account.
pub(super) fn stock(hub: &FakeRegistry) -> Vec<Product> {
    let layer = |size: u64, seed: u64| Layer::of(Layer::random(size, seed).bytes());
    let base = layer(600_000, 1);
    let image = |seed: u64| Image::single(&[base.clone(), layer(LAYER_BYTES, 10 * seed), layer(7_000, 10 * seed + 1)]);
    let mut products = Vec::new();
    let mut push = |image: &Image, repository: &str, name: &str, tag: &str, owner| {
        hub.push_image(repository, tag, image);
        products.push(Product::of(image, name, tag, owner));
    };
    for number in 0..PUBLIC_IMAGES {
        let (name, one) = (format!("app{number}"), image(number + 1));
        let is_index = number % 5 == 0;
        let image = if is_index { Image::index(&[one, image(number + 100)]) } else { one };
        push(&image, &format!("library/{name}"), &name, "1", None);
    }
    for number in 0..MOVES {
        push(&image(200 + number), &format!("library/{}", MOVING.0), MOVING.0, &number.to_string(), None);
    }
    for (number, owner) in (300..).zip(["one", "other"]) {
        let name = format!("private/{owner}");
        push(&image(number), &name, &name, "1", Some(owner));
        hub.add_account(&format!("robot-{owner}"), &format!("password-{owner}"), &[&name]);
    }
    hub.push_image(&format!("library/{}", MOVING.0), MOVING.1, &image(200));
    products
}

/// Creates a member of the group, and returns a personal token with which the member pulls.
pub(super) async fn member(service: &Service, team: &Team) -> (u64, Token) {
    let user = service.user("member", "the-password-of-a-member").await;
    service.add_member(&team.group, &user, 30).await;
    let token = service.personal_token(&user, "pull", &["read_registry", "write_registry"]).await;
    (user.id, token)
}
