//! Changes of a soak by an administrator: tokens, members, pins and removals. Each that is acknowledged is checked at
//! the very next request, and goes into the ledger. One whose response does not arrive may have been made or not.

use std::ops::Range;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Soak;
use super::ledger::{Created, KINDS, Ledger, TOKEN_NAME};
use crate::crash::Chances;
use crate::service::{ADMIN_TOKEN, Client, Token};

/// Maximum numbers of tokens and of pins: other images must fit into the cache, too.
const MAX_TOKENS: usize = 20;
const MAX_PINS: usize = 2;

/// The numbers of the products that are pinned, and that are removed from the group `archive`.
const CHANGED: Range<usize> = 1..5;

impl Soak {
    /// Makes changes at random until the end.
    pub(super) async fn change_at_random(&self, mut chances: Chances) {
        while !self.is_over() {
            sleep(chances.moment(100)).await;
            let mut ledger = self.ledger.lock().await;
            // `None` if the service was killed in the middle.
            let _: Option<()> = match chances.below(10) {
                0..=2 if ledger.tokens.len() < MAX_TOKENS => self.create_token(&mut ledger, &mut chances).await,
                0..=5 => self.revoke_token(&mut ledger, &mut chances).await,
                6 => self.change_membership(&mut ledger).await,
                7 => self.change_pins(&mut ledger, &mut chances).await,
                8 => self.remove_image(&mut ledger, &mut chances).await,
                _ => self.purge(&mut ledger, &mut chances).await,
            };
        }
    }

    async fn create_token(&self, ledger: &mut Ledger, chances: &mut Chances) -> Option<()> {
        let (team, (kind, _)) = (chances.below(self.teams.len() as u64) as usize, KINDS[chances.below(2) as usize]);
        let scopes = ["read_registry", "write_registry"];
        let fields = json!({"name": TOKEN_NAME, "scopes": scopes, "access_level": 10, "expires_at": "2099-01-01"});
        ledger.has_unknown = true;
        let path = format!("/groups/{}/{kind}", self.teams[team].group.id);
        let made = self.acknowledged(Method::POST, &path, &fields).await?;
        let username = made["username"].as_str().unwrap_or("anyone").to_owned();
        let (id, secret) = (made["id"].as_u64().unwrap(), made["token"].as_str().unwrap().to_owned());
        let token = Token { id, username, secret };
        let status = self.status_of_login(&token).await;
        ledger.tokens.push(Created { team, kind, token });
        self.must(status? == 200, &format!("a new token does not log in: {status:?}"))
    }

    /// Revokes a token, and checks that the next request with a login token of before fails.
    async fn revoke_token(&self, ledger: &mut Ledger, chances: &mut Chances) -> Option<()> {
        let number = chances.below(ledger.tokens.len().max(1) as u64) as usize;
        let team = ledger.tokens.get(number)?.team;
        let authorization = self.authorization_of(&ledger.tokens[number].token).await?;
        let status = self.status_of_pull(team, &authorization).await?;
        self.must(status != 401, "a token that was not revoked is refused")?;
        let Created { kind, token, .. } = ledger.tokens.swap_remove(number);
        ledger.has_unknown = true;
        let path = format!("/groups/{}/{kind}/{}", self.teams[team].group.id, token.id);
        self.acknowledged(Method::DELETE, &path, &Value::Null).await?;
        let status = self.status_of_pull(team, &authorization).await;
        ledger.add_revoked(Created { team, kind, token }, authorization);
        self.must(status? == 401, &format!("a revoked token was accepted: {status:?}"))?;
        self.report.revoked.add(1);
        Some(())
    }

    /// Removes the member from the first group or adds it, and checks the next request with a login token of before.
    async fn change_membership(&self, ledger: &mut Ledger) -> Option<()> {
        let authorization = self.authorization_of(&ledger.member.1).await?;
        let (members, user) = (format!("/groups/{}/members", self.teams[0].group.id), ledger.member.0);
        let was_member = ledger.is_member.take()?;
        if was_member {
            self.acknowledged(Method::DELETE, &format!("{members}/{user}"), &Value::Null).await?;
        } else {
            self.acknowledged(Method::POST, &members, &json!({"user_id": user, "access_level": 30})).await?;
        }
        ledger.is_member = Some(!was_member);
        let status = self.status_of_pull(0, &authorization).await?;
        let is_refused = [401, 403, 404].contains(&status);
        self.must(is_refused == was_member, &format!("was a member: {was_member}, then pulls: {status}"))?;
        if was_member {
            self.report.revoked.add(1);
        }
        Some(())
    }

    /// Pins an image and waits until all of it is stored, or unpins one.
    async fn change_pins(&self, ledger: &mut Ledger, chances: &mut Chances) -> Option<()> {
        if ledger.pins.len() >= MAX_PINS {
            let (team, product) = ledger.pins.pop_first()?.0;
            return self.set_pinned(team, product, false).await.map(|_| ());
        }
        let (number, product) = (chances.below(3) as usize, one_of(CHANGED, chances));
        let team = &self.teams[number];
        if !self.pull(team, &self.products[product]).await || !self.set_pinned(number, product, true).await? {
            return None;
        }
        ledger.pins.insert((number, product), false);
        for _ in 0..20 {
            if self.pull(team, &self.products[product]).await && self.is_stored(team, &self.products[product]).await {
                ledger.pins.insert((number, product), true);
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        Some(())
    }

    /// Returns whether it is acknowledged; it is refused for an image that is not known, and beyond half of the cache.
    async fn set_pinned(&self, team: usize, product: usize, pinned: bool) -> Option<bool> {
        let (group, name) = (self.teams[team].group.id, self.products[product].name());
        let path = format!("/groups/{group}/dependency_proxy/images/{name}");
        let (status, _) = self.api(Method::PUT, &path, &json!({"pinned": pinned})).await?;
        self.must([200, 403, 404].contains(&status), &format!("pin of {name}: {status}"))?;
        self.report.changes.add(1);
        Some(status == 200)
    }

    /// Removes an image from the group `archive`, where only this task pulls.
    async fn remove_image(&self, ledger: &mut Ledger, chances: &mut Chances) -> Option<()> {
        let product = self.archive_one(ledger, chances).await?;
        let (group, name) = (self.archive().group.id, self.products[product].name());
        let path = format!("/groups/{group}/dependency_proxy/images/{name}");
        self.acknowledged(Method::DELETE, &path, &Value::Null).await?;
        ledger.removed.insert(product);
        self.must(!self.archive_has(product).await?, &format!("{name} was removed and is listed"))?;
        self.report.removed.add(1);
        Some(())
    }

    /// Empties the cache of the group `archive`.
    async fn purge(&self, ledger: &mut Ledger, chances: &mut Chances) -> Option<()> {
        let product = self.archive_one(ledger, chances).await?;
        let path = format!("/groups/{}/dependency_proxy/cache", self.archive().group.id);
        self.acknowledged(Method::DELETE, &path, &Value::Null).await?;
        // It goes on in the background, also after a kill.
        let is_gone = async || self.archive_has(product).await == Some(false);
        self.must_happen("a purge that was acknowledged ends", is_gone).await;
        ledger.removed.extend(CHANGED);
        self.check_removed(ledger).await;
        self.report.removed.add(1);
        Some(())
    }

    /// Pulls an image through the group `archive`, and returns its number once it is listed.
    async fn archive_one(&self, ledger: &mut Ledger, chances: &mut Chances) -> Option<usize> {
        let product = one_of(CHANGED, chances);
        ledger.removed.remove(&product);
        self.pull(self.archive(), &self.products[product]).await;
        self.archive_has(product).await?.then_some(product)
    }

    /// Logs in, and returns the value of `Authorization` for pulls.
    async fn authorization_of(&self, token: &Token) -> Option<String> {
        let client = self.client.borrow().with_basic(&token.username, &token.secret);
        let login = Client::try_send(client.request(Method::GET, "/jwt/auth?service=dependency_proxy")).await?;
        if login.cut {
            return None;
        }
        self.must(login.status == 200, &format!("token {} does not log in: {}", token.id, login.status))?;
        Some(format!("Bearer {}", login.json()["token"].as_str().unwrap()))
    }

    /// Sends a change, and returns the response if it was acknowledged, as it must be if there is a response.
    async fn acknowledged(&self, method: Method, path: &str, body: &Value) -> Option<Value> {
        let (status, response) = self.api(method, path, body).await?;
        self.must((200..300).contains(&status), &format!("{path}: {status} {response}"))?;
        self.report.changes.add(1);
        Some(response)
    }

    /// Sends a request of the administrator. Returns the status and body of a complete response.
    pub(super) async fn api(&self, method: Method, path: &str, body: &Value) -> Option<(u16, Value)> {
        let request = self.client.borrow().request(method, &format!("/api/v4{path}"));
        let request = request.header("private-token", ADMIN_TOKEN);
        let request = if body.is_null() { request } else { request.json(body) };
        let answer = Client::try_send(request).await.filter(|answer| !answer.cut)?;
        Some((answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null)))
    }

    /// Notes a violation where this is not so.
    fn must(&self, is_so: bool, violation: &str) -> Option<()> {
        if !is_so {
            self.report.violated(violation);
        }
        is_so.then_some(())
    }
}

fn one_of(range: Range<usize>, chances: &mut Chances) -> usize {
    range.start + chances.below(range.len() as u64) as usize
}
