//! Pulls of a soak, each response of which is checked: whole images by tag and by digest, ranges, clients that leave,
//! and requests for what a group may not have.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, RequestBuilder};
use tokio::time::{sleep, timeout};

use super::site::{ARCHIVE, MOVES, MOVING, Part, Product, Team};
use super::{DEADLINE, Soak};
use crate::crash::Chances;
use crate::service::{Answer, Client};

/// Statuses that only a fault of upstream or the load explains.
const UNAVAILABLE: [u16; 4] = [429, 502, 503, 504];

/// Maximum number of bytes of one range that faults of upstream make wrong.
const MAX_WRONG_BYTES: usize = 4;

impl Soak {
    /// Pulls something at random until the end.
    pub(super) async fn pull_at_random(&self, mut chances: Chances) {
        while !self.is_over() {
            let teams: Vec<&Team> = self.teams.iter().filter(|team| team.group.path != ARCHIVE).collect();
            let team = teams[chances.below(teams.len() as u64) as usize];
            let products: Vec<&Product> = self.products.iter().filter(|product| product.is_for(team)).collect();
            // Some images are pulled more often than others.
            let first = chances.below(products.len() as u64) + 1;
            let product = products[chances.below(first) as usize];
            match chances.below(10) {
                0..=3 => _ = self.pull(team, product).await,
                4 => _ = self.pull_by_digest(team, product).await,
                5 => self.pull_moving(team).await,
                6 | 7 => self.pull_range(team, product, &mut chances).await,
                8 => self.leave_early(team, product, &mut chances).await,
                _ => self.try_what_others_have(team, &mut chances).await,
            }
            sleep(chances.moment(30)).await;
        }
    }

    /// Pulls an image by its tag, and returns whether all of it arrived.
    pub(super) async fn pull(&self, team: &Team, product: &Product) -> bool {
        let Some(client) = self.log_in(team).await else { return false };
        let path = team.path(&product.image, &format!("manifests/{}", product.tag));
        let Some(head) = self.ask(client.request(Method::HEAD, &path)).await else { return false };
        if head.status == 200 && head.header("docker-content-digest") != product.digest {
            self.report.violated(&format!("{path} is {:?}, not {}", head.headers, product.digest));
        }
        if !self.is_served(&path, &head) {
            return false;
        }
        self.pull_parts(&client, team, product).await
    }

    async fn pull_by_digest(&self, team: &Team, product: &Product) -> bool {
        let Some(client) = self.log_in(team).await else { return false };
        self.pull_parts(&client, team, product).await
    }

    async fn pull_parts(&self, client: &Client, team: &Team, product: &Product) -> bool {
        for part in &product.parts {
            let path = team.path(&product.image, &part.path);
            if self.get(client, &path, &part.bytes).await.is_none() {
                return false;
            }
        }
        true
    }

    /// Returns true if everything of an image is served from the cache.
    pub(super) async fn is_stored(&self, team: &Team, product: &Product) -> bool {
        let Some(client) = self.log_in(team).await else { return false };
        for part in &product.parts {
            let answer = self.get(&client, &team.path(&product.image, &part.path), &part.bytes).await;
            if answer.is_none_or(|answer| answer.header("x-cache") != "hit") {
                return false;
            }
        }
        true
    }

    /// Pulls the tag that moves, and checks that it is one of the images that it has stood for.
    async fn pull_moving(&self, team: &Team) {
        let Some(client) = self.log_in(team).await else { return };
        let path = team.path(MOVING.0, &format!("manifests/{}", MOVING.1));
        let Some(answer) = self.ask(client.request(Method::GET, &path)).await else { return };
        if !self.is_served(&path, &answer) {
            return;
        }
        let digest = answer.header("docker-content-digest");
        let moves = self.products.iter().filter(|product| product.image == MOVING.0).take(MOVES as usize);
        match moves.into_iter().find(|product| product.digest == digest) {
            Some(product) if product.parts[0].bytes == answer.body => self.report.verified(&answer.body),
            _ => self.report.violated(&format!("{path} is {digest}, with other bytes: {}", answer.text())),
        }
    }

    /// Requests a range of a blob, in one of the forms of ranges.
    async fn pull_range(&self, team: &Team, product: &Product, chances: &mut Chances) {
        let Some(client) = self.log_in(team).await else { return };
        if self
            .get(&client, &team.path(&product.image, &product.parts[0].path), &product.parts[0].bytes)
            .await
            .is_none()
        {
            return;
        }
        let blobs: Vec<&Part> = product.blobs().collect();
        let part = blobs[chances.below(blobs.len() as u64) as usize];
        let length = part.bytes.len() as u64;
        let begin = chances.below(length);
        let end = begin + 1 + chances.below(length - begin);
        let (range, begin, end) = match chances.below(3) {
            0 => (format!("{begin}-"), begin, length),
            1 => (format!("-{}", length - begin), begin, length),
            _ => (format!("{begin}-{}", end - 1), begin, end),
        };
        let path = team.path(&product.image, &part.path);
        let request = client.request(Method::GET, &path).header("range", format!("bytes={range}"));
        let Some(answer) = self.ask(request).await else { return };
        let path = format!("{path} ({range})");
        if !self.is_served(&path, &answer) {
            return;
        }
        // A range of everything, and one of a blob of unknown length, may get the whole.
        let expected = match answer.status {
            206 => part.bytes.slice(begin as usize..end as usize),
            _ => part.bytes.clone(),
        };
        self.check_range(&path, &answer, &expected);
    }

    fn check_range(&self, path: &str, answer: &Answer, expected: &Bytes) {
        let wrong = answer.body.iter().zip(expected).filter(|(byte, expected)| byte != expected).count();
        let is_verified = answer.status == 200 || answer.header("x-cache") == "hit";
        if answer.body.len() != expected.len() || wrong > if is_verified { 0 } else { MAX_WRONG_BYTES } {
            let (got, length) = (answer.body.len(), expected.len());
            let headers = &answer.headers;
            self.report.violated(&format!("{path}: {got} of {length} bytes, {wrong} of them wrong: {headers:?}"));
        } else if wrong == 0 {
            self.report.verified(&answer.body);
        }
    }

    /// Begins to read a blob, and leaves.
    async fn leave_early(&self, team: &Team, product: &Product, chances: &mut Chances) {
        let Some(client) = self.log_in(team).await else { return };
        let blobs: Vec<&Part> = product.blobs().collect();
        let part = blobs[chances.below(blobs.len() as u64) as usize];
        self.report.requests.add(1);
        let request = client.request(Method::GET, &team.path(&product.image, &part.path)).send();
        if let Ok(Ok(mut response)) = timeout(chances.moment(300), request).await {
            let _ = timeout(chances.moment(50), response.chunk()).await;
        }
        self.report.left.add(1);
    }

    /// Requests private content of another account, in its own repository and in one that the group may pull.
    async fn try_what_others_have(&self, team: &Team, chances: &mut Chances) {
        let Some(client) = self.log_in(team).await else { return };
        let others: Vec<&Product> = self.products.iter().filter(|product| !product.is_for(team)).collect();
        let product = others[chances.below(others.len() as u64) as usize];
        let own = &self.products[chances.below(self.products.len() as u64) as usize];
        let tag = format!("manifests/{}", product.tag);
        let by_tag = (product, tag.as_str(), &product.parts[0].bytes);
        let parts = product.parts.iter().map(|part| (product, part.path.as_str(), &part.bytes));
        let elsewhere = product.parts.iter().filter(|_| own.is_for(team));
        let elsewhere = elsewhere.map(|part| (own, part.path.as_str(), &part.bytes));
        // The layer that all have in common is not private.
        let common: Vec<&str> = self.products[0].blobs().map(|blob| blob.path.as_str()).collect();
        for (of, path, private) in std::iter::once(by_tag).chain(parts).chain(elsewhere) {
            if common.contains(&path) {
                continue;
            }
            let path = team.path(&of.image, path);
            let Some(answer) = self.ask(client.request(Method::GET, &path)).await else { return };
            self.check_denied(&path, &answer, private);
        }
    }

    /// Checks that a response has nothing of this content. What upstream sends instead, such as a web page, is passed
    /// on, and cut off before its end.
    fn check_denied(&self, path: &str, answer: &Answer, private: &Bytes) {
        let Answer { status, headers, body, cut } = answer;
        let is_refused = [401, 403, 404].contains(status) || UNAVAILABLE.contains(status);
        let is_wrong = *status == 200 && *cut && (body.is_empty() || !private.starts_with(body));
        if is_refused || is_wrong {
            return self.report.denied.add(1);
        }
        let (length, begin) = (body.len(), String::from_utf8_lossy(&body[..body.len().min(60)]));
        self.report.violated(&format!(
            "another's content at {path}: {status} {headers:?}, {length} bytes, cut: {cut}, begins with {begin:?}"
        ));
    }

    /// Logs in with the token of the group, which must work; `None` if the service is not running.
    pub(super) async fn log_in(&self, team: &Team) -> Option<Client> {
        let (client, token) = (self.client.borrow().clone(), &team.token);
        let path = "/jwt/auth?service=dependency_proxy";
        let basic = client.with_basic(&token.username, &token.secret);
        let answer = self.ask(basic.request(Method::GET, path)).await.filter(|answer| !answer.cut)?;
        if !self.is_served(path, &answer) {
            return None;
        }
        Some(client.with_authorization(&format!("Bearer {}", answer.json()["token"].as_str().unwrap())))
    }

    /// Gets a whole manifest or blob. `None` if it did not arrive.
    async fn get(&self, client: &Client, path: &str, expected: &Bytes) -> Option<Answer> {
        let answer = self.ask(client.request(Method::GET, path)).await?;
        if !self.is_served(path, &answer) {
            return None;
        }
        if answer.body != expected {
            self.report.violated(&format!("wrong bytes of {path}: {:?}", answer.headers));
            return None;
        }
        self.report.verified(&answer.body);
        Some(answer)
    }

    /// Returns the response; `None` if there was none because the service is not running.
    pub(super) async fn ask(&self, request: RequestBuilder) -> Option<Answer> {
        self.report.requests.add(1);
        let answer = timeout(DEADLINE, Client::try_send(request)).await;
        if answer.is_err() {
            self.report.violated("a client waits for ever");
        }
        let answer = answer.ok().flatten();
        if answer.is_none() {
            self.report.cut.add(1);
            // Most likely it was killed, and starts again.
            sleep(Duration::from_millis(10)).await;
        }
        answer
    }

    /// Returns true if an allowed request got a complete response. It may only fail where upstream or a kill explains
    /// it.
    fn is_served(&self, path: &str, answer: &Answer) -> bool {
        match answer.status {
            200 | 206 if answer.cut => self.report.cut.add(1),
            200 | 206 => {
                if answer.header("x-cache") == "hit" {
                    self.report.hits.add(1);
                }
                return true;
            }
            status if UNAVAILABLE.contains(&status) && !is_internal(answer) => self.report.unavailable.add(1),
            status => self.report.violated(&format!("{path}: {status} {}", answer.text())),
        }
        false
    }
}

/// Returns true if the service blames itself.
fn is_internal(answer: &Answer) -> bool {
    let text = answer.text();
    ["fault of this service", "could not be read or stored here"].iter().any(|fault| text.contains(fault))
}
