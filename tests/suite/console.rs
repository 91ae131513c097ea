//! The web console as a browser without a script uses it: pages, sessions, forms, and the pages that each user may see.

mod addresses;
mod admin;
mod attacks;
mod browser;
mod changes;
mod group_changes;
mod groups;
mod guesses;
mod kept;
mod lists;
mod losses;
mod outdated;
mod sessions;
mod several;
mod tokens;
mod users;
mod visitor;

use fake_registry::{Image, Layer};

pub(crate) use self::visitor::Visitor;
use crate::service::{Scenario, Service, Started, User};

const TEAM: &str = "/groups/team/-/dependency_proxy";

/// A service with the group `team`, its owner alice, its developer bob, and dave, who is no member.
struct House {
    started: Started,
    alice: User,
    bob: User,
}

fn password(username: &str) -> String {
    format!("{username}-has-a-password")
}

/// Returns an image with one layer.
fn image(seed: u64) -> Image {
    Image::single(&[Layer::random(3_000, seed)])
}

impl House {
    async fn new(scenario: Scenario) -> Self {
        Self::with(scenario.settings("[cache]\ntag_freshness = \"1h\"")).await
    }

    /// Starts it with no other settings than those of the scenario.
    async fn with(scenario: Scenario) -> Self {
        let started = scenario.start().await;
        let service = &started.service;
        let [alice, bob, _] = [user(service, "alice").await, user(service, "bob").await, user(service, "dave").await];
        service.add_member(&started.team, &alice, 50).await;
        service.add_member(&started.team, &bob, 30).await;
        Self { started, alice, bob }
    }

    /// Returns the browser of a user who has signed in.
    async fn visitor(&self, username: &str) -> Visitor {
        Visitor::signed_in(&self.started.service, username, &password(username)).await
    }

    /// Pulls images of `library/app`, with their blobs.
    async fn pull(&self, images: &[(&str, &Image)]) {
        for (tag, image) in images {
            assert_eq!(self.started.client.manifest("team", "app", tag).await.status, 200);
            for blob in image.blobs() {
                assert_eq!(self.started.client.stored_blob("team", "app", blob.digest()).await.status, 200);
            }
        }
    }
}

async fn user(service: &Service, username: &str) -> User {
    service.user(username, &password(username)).await
}

/// Returns a scenario with images `library/app:1` to `library/app:N`.
fn with_images(count: u64) -> Scenario {
    (1..=count)
        .fold(Scenario::new(), |scenario, number| scenario.image("library/app", &number.to_string(), &image(number)))
}
