//! Everything that was acknowledged in a soak, and the check that it holds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use reqwest::Method;
use serde_json::Value;

use super::Soak;
use super::site::{Team, member};
use crate::service::{Client, Service, Token};

/// Maximum number of revoked credentials that are checked, the newest ones.
const MAX_REVOKED: usize = 40;

/// Everything that was acknowledged, and not changed since.
pub(super) struct Ledger {
    /// Tokens that were created and not revoked.
    pub(super) tokens: Vec<Created>,
    /// Revoked ones, with a login token of before; the newest last.
    revoked: VecDeque<(Created, String)>,
    /// The number of a user and a personal token, and whether the user is a member of the first group; `None` where
    /// the response to a change has not arrived.
    pub(super) member: (u64, Token),
    pub(super) is_member: Option<bool>,
    /// Pinned images, by the numbers of group and product, each with true if all of it was seen to be stored since.
    pub(super) pins: BTreeMap<(usize, usize), bool>,
    /// Products that were removed from the group `archive`, and not pulled since.
    pub(super) removed: BTreeSet<usize>,
    /// True if the response to the creation or revocation of a token has not arrived.
    pub(super) has_unknown: bool,
}

/// A token that a change created.
pub(super) struct Created {
    /// The number of its group, and its kind as in paths of the API.
    pub(super) team: usize,
    pub(super) kind: &'static str,
    pub(super) token: Token,
}

/// The kinds of tokens, each with the query for its active ones.
pub(super) const KINDS: [(&str, &str); 2] = [("deploy_tokens", "active=true"), ("access_tokens", "state=active")];

/// Name of all tokens that changes create.
pub(super) const TOKEN_NAME: &str = "soak";

impl Ledger {
    pub(super) async fn open(service: &Service, team: &Team) -> Self {
        let member = member(service, team).await;
        let (tokens, revoked, pins, removed, has_unknown) = Default::default();
        Self { tokens, revoked, member, is_member: Some(true), pins, removed, has_unknown }
    }

    pub(super) fn add_revoked(&mut self, created: Created, authorization: String) {
        self.revoked.push_back((created, authorization));
        if self.revoked.len() > MAX_REVOKED {
            self.revoked.pop_front();
        }
    }
}

impl Soak {
    /// Checks all that was acknowledged. The service must be running, and upstream may be faulty.
    pub(super) async fn check_acknowledged(&self) {
        let mut ledger = self.ledger.lock().await;
        self.check_tokens(&ledger).await;
        self.check_member(&mut ledger).await;
        self.check_pins(&ledger).await;
        self.check_removed(&ledger).await;
        if ledger.has_unknown {
            self.remove_unknown(&mut ledger).await;
        }
    }

    async fn check_tokens(&self, ledger: &Ledger) {
        for created in &ledger.tokens {
            let status = self.status_of_login(&created.token).await;
            self.holds(status == Some(200), || format!("token {} is lost: {status:?}", created.token.id));
        }
        for (created, authorization) in &ledger.revoked {
            let status = self.status_of_login(&created.token).await;
            let is_refused = status.is_some_and(|status| [401, 403].contains(&status));
            self.holds(is_refused, || format!("the revocation of token {} is lost: {status:?}", created.token.id));
            let status = self.status_of_pull(created.team, authorization).await;
            self.holds(status == Some(401), || format!("a login by revoked token {}: {status:?}", created.token.id));
        }
    }

    async fn check_member(&self, ledger: &mut Ledger) {
        let path = format!("/groups/{}/members/{}", self.teams[0].group.id, ledger.member.0);
        let actual = self.api(Method::GET, &path, &Value::Null).await.map(|(status, _)| status == 200);
        let expected = ledger.is_member.or(actual);
        self.holds(actual == expected, || format!("the member is there: {actual:?}, acknowledged: {expected:?}"));
        ledger.is_member = actual;
    }

    async fn check_pins(&self, ledger: &Ledger) {
        for ((team, product), is_stored) in &ledger.pins {
            let (team, product) = (&self.teams[*team], &self.products[*product]);
            let path = format!("/groups/{}/dependency_proxy/images/{}", team.group.id, product.name());
            let image = self.api(Method::GET, &path, &Value::Null).await;
            let is_pinned = image.as_ref().is_some_and(|(status, image)| *status == 200 && image["pinned"] == true);
            self.holds(is_pinned, || format!("a pin of {} is lost: {image:?}", product.name()));
            if *is_stored {
                let (name, group) = (product.name(), &team.group.path);
                let is_hit = self.is_stored(team, product).await;
                self.holds(is_hit, || format!("the pinned image {name} of {group} is not stored"));
            }
        }
    }

    pub(super) async fn check_removed(&self, ledger: &Ledger) {
        for product in &ledger.removed {
            // `None` if the service was killed meanwhile.
            if let Some(is_listed) = self.archive_has(*product).await {
                let name = self.products[*product].name();
                self.holds(!is_listed, || format!("the removal of {name} is lost"));
            }
        }
    }

    /// Returns true if the image is listed in the group `archive`; `None` if the service is not running.
    pub(super) async fn archive_has(&self, product: usize) -> Option<bool> {
        let (group, name) = (self.archive().group.id, self.products[product].name());
        let path = format!("/groups/{group}/dependency_proxy/images/{name}");
        self.api(Method::GET, &path, &Value::Null).await.map(|(status, _)| status == 200)
    }

    /// Revokes tokens whose creation, or whose revocation, was not acknowledged, so that they do not pile up.
    async fn remove_unknown(&self, ledger: &mut Ledger) {
        for (team, (kind, active)) in self.teams.iter().flat_map(|team| KINDS.map(|kind| (team, kind))) {
            let path = format!("/groups/{}/{kind}", team.group.id);
            let list = self.api(Method::GET, &format!("{path}?{active}&per_page=100"), &Value::Null).await;
            let Some((200, Value::Array(listed))) = list else { return };
            for token in listed.iter().filter(|token| token["name"] == TOKEN_NAME) {
                let id = token["id"].as_u64().unwrap();
                if ledger.tokens.iter().all(|created| created.token.id != id) {
                    self.api(Method::DELETE, &format!("{path}/{id}"), &Value::Null).await;
                }
            }
        }
        ledger.has_unknown = false;
    }

    /// Counts something acknowledged that holds, or notes that it does not.
    fn holds(&self, holds: bool, violation: impl FnOnce() -> String) {
        if holds {
            self.report.held.add(1);
        } else {
            self.report.violated(&violation());
        }
    }

    pub(super) async fn status_of_login(&self, token: &Token) -> Option<u16> {
        let client = self.client.borrow().with_basic(&token.username, &token.secret);
        let request = client.request(Method::GET, "/jwt/auth?service=dependency_proxy");
        Client::try_send(request).await.map(|answer| answer.status)
    }

    /// Returns the status of a pull through this group with this value of `Authorization`.
    pub(super) async fn status_of_pull(&self, team: usize, authorization: &str) -> Option<u16> {
        let client = self.client.borrow().with_authorization(authorization);
        let product = &self.products[0];
        let path = self.teams[team].path(&product.image, &format!("manifests/{}", product.digest));
        Client::try_send(client.request(Method::GET, &path)).await.map(|answer| answer.status)
    }
}
