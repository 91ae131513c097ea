//! What happens at the same time in a soak.

use std::time::Duration;

use fake_registry::{Kind, Listener};
use reqwest::Method;
use serde_json::{Value, json};

use super::report::add;
use super::{LAYER_BYTES, Soak};
use crate::crash::Chances;
use crate::service::{ADMIN_TOKEN, Answer};

impl Soak {
    /// Pulls images at random until the end.
    pub(super) async fn pull_images(&self, mut chances: Chances) {
        while !self.is_over() {
            let number = chances.below(self.images.len() as u64) as usize;
            self.pull(number).await;
            tokio::time::sleep(chances.moment(20)).await;
        }
    }

    /// Pulls an image, and returns whether all of it arrived. What arrived completely must be right.
    pub(super) async fn pull(&self, number: usize) -> bool {
        let image = &self.images[number];
        let path = |rest: String| format!("/v2/team/dependency_proxy/containers/app{number}/{rest}");
        let mut is_whole = self.get(&path("manifests/1".to_owned()), image.bytes()).await;
        for blob in image.blobs() {
            is_whole &= self.get(&path(format!("blobs/{}", blob.digest())), &blob.bytes()).await;
        }
        is_whole
    }

    async fn get(&self, path: &str, expected: &[u8]) -> bool {
        add(&self.report.requests, 1);
        let client = self.client.borrow().clone();
        match client.try_get(path).await {
            Some(Answer { status: 200, cut: false, body, .. }) => {
                assert!(body == expected, "wrong bytes of {path}");
                add(&self.report.verified, body.len() as u64);
                return true;
            }
            Some(Answer { status: 200, cut: true, .. }) | None => add(&self.report.cut, 1),
            Some(Answer { status: 503, .. }) => add(&self.report.refused, 1),
            Some(other) => panic!("{path}: {} {}", other.status, other.text()),
        }
        false
    }

    /// Creates deploy tokens and revokes most of them; each fails at the next request. Changes that were not acknowledged
    /// are not counted.
    pub(super) async fn change_tokens(&self, mut chances: Chances) {
        let tokens = format!("/groups/{}/deploy_tokens", self.team.id);
        while !self.is_over() {
            tokio::time::sleep(chances.moment(200)).await;
            let scopes = ["read_registry", "write_registry"];
            let created = self.change(Method::POST, &tokens, json!({"name": "soak", "scopes": scopes})).await;
            let Some(created) = created else { continue };
            let text = |field: &str| created[field].as_str().unwrap().to_owned();
            let (username, secret) = (text("username"), text("token"));
            if chances.below(4) == 0 {
                self.kept.borrow_mut().push((username, secret));
                continue;
            }
            let client = self.client.borrow().clone();
            let login = client.with_basic(&username, &secret).try_get("/jwt/auth?service=dependency_proxy").await;
            let Some(login) = login.filter(|login| login.status == 200 && !login.cut) else { continue };
            let bearer = format!("Bearer {}", login.json()["token"].as_str().unwrap());
            if self.change(Method::DELETE, &format!("{tokens}/{}", created["id"]), Value::Null).await.is_none() {
                continue;
            }
            let client = self.client.borrow().with_authorization(&bearer);
            if let Some(answer) = client.try_get("/v2/").await {
                assert_eq!(answer.status, 401, "a revoked token was accepted");
                add(&self.report.revoked, 1);
            }
            self.revoked.borrow_mut().push(bearer);
        }
    }

    /// Sends a change. Returns the response if it was acknowledged.
    async fn change(&self, method: Method, path: &str, body: Value) -> Option<Value> {
        let client = self.client.borrow().clone();
        let request = client.without_authorization().request(method, &format!("/api/v4{path}"));
        let request = request.header("private-token", ADMIN_TOKEN).json(&body);
        let response = request.send().await.ok()?;
        assert!(response.status().is_success(), "{path}: {}", response.status());
        let bytes = response.bytes().await.ok()?;
        Some(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Has upstream misbehave in all ways, one after the other.
    pub(super) async fn inject_faults(&self, mut chances: Chances) {
        while !self.is_over() {
            tokio::time::sleep(chances.moment(400)).await;
            let offset = chances.below(LAYER_BYTES);
            match chances.below(8) {
                0 => drop(self.hub.on(Kind::BlobDownload).times(1).cut_after(offset)),
                1 => drop(self.hub.on(Kind::BlobDownload).times(1).flip_byte(offset)),
                2 => drop(self.hub.on(Kind::BlobDownload).times(1).hold_after(offset)),
                3 => drop(self.hub.on(Kind::ManifestGet).times(1).status(500)),
                4 => drop(self.hub.on(Kind::ManifestHead).times(1).hang()),
                5 => drop(self.hub.on_anything().times(2).reset()),
                6 => drop(self.hub.on(Kind::ManifestGet).times(1).too_many_requests(1)),
                _ => {
                    self.hub.down(Listener::Registry);
                    tokio::time::sleep(chances.moment(1_000)).await;
                    self.hub.up(Listener::Registry);
                }
            }
            self.hub.release();
            add(&self.report.faults, 1);
        }
    }

    /// Kills the service at random moments, and starts it again.
    pub(super) async fn kill(&self, mut chances: Chances) {
        while !self.is_over() {
            tokio::time::sleep(Duration::from_secs(1) + chances.moment(4_000)).await;
            self.service.borrow_mut().kill_and_restart();
            let restarted = self.service.borrow().stranger();
            let authorization = self.client.borrow().authorization().to_owned();
            *self.client.borrow_mut() = restarted.with_authorization(&authorization);
            add(&self.report.kills, 1);
        }
    }
}
