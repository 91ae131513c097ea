//! Random replicas and engines are killed while clients pull and identities change. It kills 12 times;
//! `DEPENDENCY_PROXY_TEST_KILLS` names another number.

use std::time::Duration;

use engines::{Bucket, Postgres};
use fake_registry::{Image, Layer, Listener};
use futures::future::{join, join_all, join3};
use reqwest::Method;
use serde_json::{Value, json};

use super::Fleet;
use crate::service::{ADMIN_TOKEN, Client, Service, Token, eventually};

/// The replicas of a test, their engines, and what must hold.
struct Storm {
    postgres: Postgres,
    bucket: Bucket,
    fleet: Fleet,
    images: Vec<Image>,
    /// The token of clients.
    token: Token,
    /// Names of groups whose creation was acknowledged.
    created: Vec<String>,
    /// Tokens whose revocation was acknowledged.
    revoked: Vec<Token>,
}

const REPLICAS: usize = 3;
const DEFAULT_KILLS: usize = 12;
/// Maximum time from the begin of requests until the kill.
const MAX_DELAY_MS: u64 = 150;
/// Number of images that are pulled in a round: the newest ones.
const PULLED: usize = 4;
const IMAGE: &str = "/v2/team/dependency_proxy/containers/storm";

fn kills() -> usize {
    std::env::var("DEPENDENCY_PROXY_TEST_KILLS").map_or(DEFAULT_KILLS, |number| number.parse().unwrap())
}

#[actix_rt::test]
async fn random_kills_lose_no_acknowledged_change_and_leave_no_wrong_byte_and_no_name_without_an_object() {
    let mut storm = Storm::begin().await;
    let mut random = fastrand::Rng::with_seed(14);
    for round in 0..kills() {
        storm.round(round, &mut random).await;
    }
    storm.has_lost_no_change().await;
    storm.has_an_object_for_each_name().await;
}

impl Storm {
    async fn begin() -> Self {
        let (postgres, bucket) = (Postgres::start(), Bucket::start());
        let fleet = Fleet::over(&postgres, &bucket, REPLICAS);
        let group = fleet.service(0).group("team").await;
        let token = fleet.service(0).deploy_token(&group, "ci").await;
        let (images, created, revoked) = (Vec::new(), Vec::new(), Vec::new());
        Self { postgres, bucket, fleet, images, token, created, revoked }
    }

    /// Kills a replica or an engine under pulls of a new image and earlier ones, the creation of a group and the
    /// revocation of a token, and starts it again.
    async fn round(&mut self, round: usize, random: &mut fastrand::Rng) {
        let image = Image::single(&[Layer::random(60_000 + 7 * round as u64, 1_000 + round as u64)]);
        self.fleet.hub.push_image("library/storm", &round.to_string(), &image);
        self.images.push(image);
        let doomed = self.token_of(&format!("doomed-{round}")).await;
        let (at, victim) = (random.usize(..REPLICAS), random.usize(..REPLICAS + 2));
        let delay = Duration::from_millis(random.u64(..MAX_DELAY_MS));
        let Self { postgres, bucket, fleet, images, token, .. } = self;
        let changes = join(create(fleet.service(at), format!("group-{round}")), revoke(fleet, at, &doomed));
        // They may fail, and never have other bytes.
        let pulls = (0..REPLICAS).flat_map(|replica| {
            let client = client_of(fleet, replica, token);
            let newest = images.iter().enumerate().rev().take(PULLED);
            newest.map(move |(number, image)| pull(client.clone(), number, image))
        });
        let kill = async {
            tokio::time::sleep(delay).await;
            match victim {
                REPLICAS => postgres.kill(),
                replica if replica < REPLICAS => super::identities::signal(fleet.service(replica), "KILL"),
                _ => bucket.kill(),
            }
        };
        let ((created, revoked), _, ()) = join3(changes, join_all(pulls), kill).await;
        self.created.extend(created);
        self.revoked.extend(revoked.then_some(doomed));
        match victim {
            REPLICAS => self.postgres.start_again(),
            replica if replica < REPLICAS => self.fleet.replicas[replica].service.restart_after_kill(),
            _ => self.bucket.start_again(),
        }
        self.accepts_no_revoked_token().await;
    }

    fn client(&self, replica: usize, token: &Token) -> Client {
        client_of(&self.fleet, replica, token)
    }

    /// Creates a token at any replica that can.
    async fn token_of(&self, name: &str) -> Token {
        let mut made = None;
        eventually("a token is created", async || {
            for replica in 0..REPLICAS {
                let body = json!({"name": name, "scopes": ["read_registry", "write_registry"]});
                let path = "/api/v4/groups/team/deploy_tokens";
                if let Some(answer) = change(self.fleet.service(replica), Method::POST, path, body).await
                    && answer.0 == 201
                {
                    made = Some(answer.1);
                    return true;
                }
            }
            false
        })
        .await;
        let made = made.unwrap();
        let text = |field: &str| made[field].as_str().unwrap().to_owned();
        Token { id: made["id"].as_u64().unwrap(), username: text("username"), secret: text("token") }
    }

    async fn accepts_no_revoked_token(&self) {
        for token in self.revoked.iter().rev().take(PULLED) {
            for replica in 0..REPLICAS {
                let answer = self.client(replica, token).try_get("/v2/").await;
                assert!(answer.is_none_or(|answer| answer.status != 200), "a revoked token at replica {replica}");
            }
        }
    }

    async fn has_lost_no_change(&self) {
        assert!(self.created.len() + self.revoked.len() >= kills() / 4, "too few changes were acknowledged");
        for replica in 0..REPLICAS {
            let service = self.fleet.service(replica);
            for name in &self.created {
                let found = async || service.api("GET", &format!("/groups/{name}"), Value::Null).await.status == 200;
                eventually("the group is there", found).await;
            }
            for token in &self.revoked {
                let refused = async || self.client(replica, token).get("/v2/").await.status == 403;
                eventually("the token is refused as revoked", refused).await;
            }
        }
    }

    /// Empties a replica, stops upstream and pulls: whatever the index names comes from the bucket.
    async fn has_an_object_for_each_name(&mut self) {
        for (number, image) in self.images.iter().enumerate() {
            for replica in 0..REPLICAS {
                let client = self.client(replica, &self.token);
                eventually("the image is pulled", async || {
                    let manifest = client.manifest("team", "storm", &number.to_string()).await;
                    assert!(manifest.status != 200 || manifest.body == image.bytes());
                    let blobs = join_all(image.blobs().map(|blob| client.blob("team", "storm", blob.digest()))).await;
                    manifest.status == 200 && blobs.iter().all(|blob| blob.status == 200 && !blob.cut)
                })
                .await;
            }
        }
        let (database, contents) = (&self.fleet.database, 3 * self.images.len());
        let count = async || database.query("SELECT count(*) FROM object") == contents.to_string();
        eventually("all of it is in the bucket", count).await;
        for listener in [Listener::Registry, Listener::Realm, Listener::Storage] {
            self.fleet.hub.down(listener);
        }
        let service = &mut self.fleet.replicas[0].service;
        service.stop();
        std::fs::remove_dir_all(service.data()).unwrap();
        service.restart();
        let client = self.client(0, &self.token);
        for (number, image) in self.images.iter().enumerate() {
            let manifest = client.manifest("team", "storm", &number.to_string()).await;
            assert_eq!((manifest.status, &manifest.body), (200, image.bytes()), "image {number}");
            for blob in image.blobs() {
                assert!(client.blob("team", "storm", blob.digest()).await.body == blob.bytes(), "image {number}");
            }
        }
    }
}

fn client_of(fleet: &Fleet, replica: usize, token: &Token) -> Client {
    fleet.service(replica).stranger().with_basic(&token.username, &token.secret)
}

async fn pull(client: Client, number: usize, image: &Image) {
    let Some(manifest) = client.try_get(&format!("{IMAGE}/manifests/{number}")).await else { return };
    assert!(manifest.cut || manifest.status != 200 || manifest.body == image.bytes(), "another manifest");
    for blob in image.blobs() {
        let Some(answer) = client.try_get(&format!("{IMAGE}/blobs/{}", blob.digest())).await else { return };
        assert!(answer.cut || answer.status != 200 || answer.body == blob.bytes(), "other bytes");
    }
}

/// Tries to create a group at this replica. Returns its name once it is acknowledged.
async fn create(service: &Service, name: String) -> Option<String> {
    let answer = change(service, Method::POST, "/api/v4/groups", json!({"name": name, "path": name})).await?;
    (answer.0 == 201).then_some(name)
}

/// Tries to revoke a token at this replica. Returns true once that is acknowledged.
async fn revoke(fleet: &Fleet, replica: usize, token: &Token) -> bool {
    let path = format!("/api/v4/groups/team/deploy_tokens/{}", token.id);
    change(fleet.service(replica), Method::DELETE, &path, Value::Null).await.is_some_and(|answer| answer.0 == 204)
}

/// Makes a request that changes identities. Returns its status and response.
async fn change(service: &Service, method: Method, path: &str, body: Value) -> Option<(u16, Value)> {
    let request = service.stranger().request(method, path).header("private-token", ADMIN_TOKEN);
    let answer = Client::try_send(request.timeout(Duration::from_secs(20)).json(&body)).await?;
    Some((answer.status, serde_json::from_slice(&answer.body).unwrap_or_default()))
}
