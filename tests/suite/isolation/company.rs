//! Groups with accounts of their own at one upstream.

use fake_registry::{FakeRegistry, Image, Layer};

use crate::service::{Answer, Client, Config, Service};

/// Groups `a` and `b`, each with an account and a private repository, and `c` without either.
pub(super) struct Company {
    pub(super) hub: FakeRegistry,
    _service: Service,
    pub(super) a: Member,
    pub(super) b: Member,
    pub(super) c: Client,
}

/// A group with a private image, and its client.
pub(super) struct Member {
    pub(super) group: &'static str,
    pub(super) image: Image,
    pub(super) client: Client,
}

impl Member {
    pub(super) fn repository(&self) -> String {
        format!("private/{}", self.group)
    }

    pub(super) fn layer(&self) -> &Layer {
        &self.image.layers()[0]
    }

    pub(super) async fn manifest(&self, of: &Self, reference: &str) -> Answer {
        self.client.manifest(self.group, &of.repository(), reference).await
    }

    pub(super) async fn blob(&self, repository: &str, digest: &str) -> Answer {
        self.client.blob(self.group, repository, digest).await
    }

    /// Pulls its own image completely, until it is stored.
    pub(super) async fn has_its_own(&self) {
        for reference in ["latest", self.image.digest()] {
            let manifest = self.manifest(self, reference).await;
            assert_eq!((manifest.status, &manifest.body), (200, self.image.bytes()), "{}", manifest.text());
        }
        let blob = self.client.stored_blob(self.group, &self.repository(), self.layer().digest()).await;
        assert_eq!((blob.status, blob.body.as_ref()), (200, self.layer().bytes().as_slice()));
    }

    /// Checks that it cannot get any of the other's image, whatever the request.
    pub(super) async fn has_nothing_of(&self, other: &Self) {
        for reference in ["latest", other.image.digest()] {
            let manifest = self.manifest(other, reference).await;
            assert_eq!((manifest.status, manifest.code().as_str()), (403, "DENIED"), "{}", manifest.text());
        }
        let own = self.manifest(self, other.image.digest()).await;
        assert_eq!((own.status, own.code().as_str()), (404, "MANIFEST_UNKNOWN"));
        let blob = self.blob(&other.repository(), other.layer().digest()).await;
        assert_eq!((blob.status, blob.code().as_str()), (403, "DENIED"));
        let own = self.blob(&self.repository(), other.layer().digest()).await;
        assert_eq!((own.status, own.code().as_str()), (404, "BLOB_UNKNOWN"));
    }
}

/// Starts the service with these settings.
pub(super) async fn company(lines: &str) -> Company {
    let hub = FakeRegistry::start();
    let image = |group: &str, seed| {
        let image = Image::single(&[Layer::random(5_000, seed)]);
        hub.push_image(&format!("private/{group}"), "latest", &image);
        hub.add_account(&format!("robot-{group}"), &format!("password-{group}"), &[&format!("private/{group}")]);
        image
    };
    let (image_a, image_b) = (image("a", 1), image("b", 2));
    let account = |group: &str| {
        format!(
            "[upstreams.\"docker.io\".accounts.{group}]\nusername = \"robot-{group}\"\npassword = \"password-{group}\"\n\
             groups = [\"{group}\"]\nimages = [\"private/*\"]\n"
        )
    };
    let service = Config::docker_hub(&hub).and(&account("a")).and(&account("b")).and(lines).start();
    let a = Member { group: "a", image: image_a, client: client(&service, "a").await };
    let b = Member { group: "b", image: image_b, client: client(&service, "b").await };
    let c = client(&service, "c").await;
    Company { hub, _service: service, a, b, c }
}

/// Creates a group, and returns its client.
pub(super) async fn client(service: &Service, group: &str) -> Client {
    let token = service.deploy_token(&service.group(group).await, "ci").await;
    service.log_in_with(&token).await
}
