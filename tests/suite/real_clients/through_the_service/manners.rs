//! Real clients through the service, in front of a hub with the behaviour of registries in public bug reports.

use fake_registry::{FakeRegistry, Image, Kind, Layer};

use super::*;

/// A service in front of a hub, and the group `team` with a deploy token.
struct Before {
    engines: Engines,
    hub: FakeRegistry,
    service: Service,
    token: Token,
}

impl Before {
    async fn hub(hub: FakeRegistry) -> Self {
        let service = Config::docker_hub(&hub).and("[cache]\ntag_freshness = 0").start();
        let team = service.group("team").await;
        let token = service.deploy_token(&team, "ci").await;
        Self { engines: Engines::start(), hub, service, token }
    }

    /// Pushes an image that can be unpacked as `acme/app:1`, and lets every client pull it.
    fn is_pulled_by_all(&self, content: &str) {
        let digest = self.hub.push_image("acme/app", "1", &image(content));
        let credential = Credential::of(&self.token.username, &self.token.secret);
        for client in Client::ALL {
            let host = self.service.address.to_string();
            let pulled = client.pull(&self.engines, &host, credential, &of("team", "acme/app:1"));
            let digests = pulled.unwrap_or_else(|said| panic!("{client:?}: {said}"));
            assert!(digests.contains(&digest), "{client:?} {content}: {digests:?} instead of {digest}");
        }
    }
}

#[actix_rt::test]
async fn all_clients_pull_from_a_registry_that_refuses_head_and_follow_its_tags() {
    for refusal in [401, 404, 405, 501] {
        let before = Before::hub(FakeRegistry::start()).await;
        for kind in [Kind::ManifestHead, Kind::BlobHead] {
            before.hub.on(kind).refusal(refusal, "UNSUPPORTED", "no HEAD here");
        }
        before.is_pulled_by_all("first");
        before.is_pulled_by_all("second");
    }
}

#[actix_rt::test]
async fn all_clients_pull_from_a_registry_whose_heads_say_half() {
    let before = Before::hub(FakeRegistry::start()).await;
    before.hub.on(Kind::ManifestHead).times(3).without_header("Content-Type");
    before.hub.on(Kind::ManifestHead).body_length_off_by(-1_000_000);
    before.is_pulled_by_all("first");
    before.is_pulled_by_all("second");
}

#[actix_rt::test]
async fn all_clients_pull_where_tokens_end_early_and_challenges_name_a_placeholder() {
    let hub = FakeRegistry::start();
    hub.challenge_scope("repository:user/image:pull");
    hub.strict_realm(true);
    let before = Before::hub(hub).await;
    before.is_pulled_by_all("first");
    before.hub.expire_tokens();
    for kind in [Kind::ManifestHead, Kind::ManifestGet, Kind::BlobRedirect] {
        let expired = "Your authorization token has expired. Reauthenticate and try again.";
        before.hub.on(kind).before_auth().times(1).refusal(403, "DENIED", expired);
    }
    before.is_pulled_by_all("second");
}

/// Returns an image of one layer, which has one file with this content.
fn image(content: &str) -> Image {
    Image::single(&[Layer::of(tar("file", content.as_bytes()))])
}

/// Returns an archive of one small file (POSIX ustar).
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    assert!(content.len() <= 512);
    let mut header = [0_u8; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\u{0}00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = header.to_vec();
    archive.extend_from_slice(content);
    archive.resize(512 * 4, 0);
    archive
}
