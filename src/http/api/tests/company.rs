//! Test fixture: a small company with the group `team`, a group `team/ci` below it and users of every level; a
//! group `other` that they do not see; and tokens of every kind, over the real owner of the directory.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod caches;
mod records;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::to_bytes;
use actix_web::http::{Method, StatusCode};
use actix_web::{App, test, web};
use arc_swap::ArcSwap;
use serde_json::Value;

use self::caches::Caches;
pub(super) use self::records::{records, secret_of};
use crate::actors::audit::{AuditOptions, AuditTrail};
use crate::actors::group_accounts::GroupAccounts;
use crate::actors::last_used::LastUsed;
use crate::actors::policy_evaluator::PolicyEvaluatorHandle;
use crate::actors::sessions::Sessions;
use crate::actors::token_issuer::TokenIssuerHandle;
use crate::auth::jwt::KeySet;
use crate::auth::sealing::SealingKeys;
use crate::domain::directory::Directory;
use crate::domain::id::GroupId;
use crate::domain::last_use::AddressDays;
use crate::domain::limits::Limits;
use crate::domain::policy::PublicGroups;
use crate::domain::session::SessionTimes;
use crate::domain::upstream::{AccountRule, Upstream, Upstreams};
use crate::http::PublicUrl;
use crate::http::api::configure;
use crate::http::api::identities::Identities;
use crate::http::api::pace::Pace;
use crate::http::api::state::ApiState;

/// The API over the identities of the company.
pub(super) struct Company {
    state: web::Data<ApiState>,
    caches: Caches,
    _data: tempfile::TempDir,
}

/// A response of the API.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: Value,
}

/// The body of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body<'a> {
    Nothing,
    Json(&'a str),
    Form(&'a str),
}

/// Returns a service with the usual records.
pub(super) fn company() -> Company {
    Company::open(&records())
}

/// Asserts that a response has this status and this body.
pub(super) fn assert_response(response: &Response, status: u16, body: Value) {
    assert_eq!((response.status.as_u16(), &response.body), (status, &body));
}

const HOUR: Duration = Duration::from_secs(3600);

impl Company {
    pub(super) fn open(records: &Directory) -> Self {
        Self::open_with(records, PublicGroups::Members, Limits::NONE)
    }

    pub(super) fn open_with(records: &Directory, public_groups: PublicGroups, limits: Limits) -> Self {
        let data = tempfile::tempdir().unwrap();
        let (policy, store) = PolicyEvaluatorHandle::over_store(records, data.path()).unwrap();
        let tokens = TokenIssuerHandle::over(policy.clone()).unwrap();
        let options = AuditOptions { keep_days: 0, max_bytes: u64::MAX, max_refusal_bytes: u64::MAX };
        let audit = AuditTrail::new(store.clone(), options, None);
        let last_used = LastUsed::new(HashMap::new(), AddressDays(30));
        let of_identities = (store, audit.clone(), last_used.clone());
        let caches = Caches::start(data.path(), &policy, of_identities);
        let upstreams = Arc::new(ArcSwap::from_pointee(upstreams()));
        let keys = SealingKeys::new(&KeySet::generate()).unwrap();
        let accounts = GroupAccounts::new(keys, Box::new(|_| {}), upstreams.clone());
        let followed = accounts.clone();
        policy.observe(move |directory| followed.follow(directory));
        let state = ApiState {
            identities: Identities::new(policy),
            tokens,
            audit,
            last_used,
            janitor: caches.janitor.clone(),
            images: caches.images.clone(),
            warming: caches.warmer.clone(),
            upstream: caches.upstream.clone(),
            unpulled_days: 0,
            pull_days: 30,
            accounts,
            upstreams,
            limits,
            sessions: Sessions::new(SessionTimes { idle: HOUR, longest: HOUR }),
            pace: Pace::new(&limits),
            public_groups,
            proxy_enabled: true,
            public_url: PublicUrl::new(Some(&"https://proxy.example".parse().unwrap()), Vec::new(), false),
        };
        Self { state: web::Data::new(state), caches, _data: data }
    }

    /// Returns a snapshot of the identities.
    pub(super) fn directory(&self) -> Arc<Directory> {
        self.state.identities.directory()
    }

    /// Returns the groups whose caches stay: those that have something cached, and whose purge is not recorded.
    pub(super) async fn cached(&self) -> Vec<GroupId> {
        let groups = self.caches.content.groups().await.unwrap();
        let mut kept: Vec<_> = groups.into_iter().filter(|(_, is_purged)| !is_purged).map(|(group, _)| group).collect();
        kept.sort();
        kept
    }

    /// Calls the API with the token of this name; `nobody` has none.
    pub(super) async fn call(&self, name: &str, method: &str, path: &str, body: Body<'_>) -> Response {
        let secret = secret_of(name);
        let header = (name != "nobody").then_some(("PRIVATE-TOKEN", secret.as_str()));
        self.send(header, method, path, body).await
    }

    /// Calls the API with this header.
    pub(super) async fn send(
        &self,
        header: Option<(&'static str, &str)>,
        method: &str,
        path: &str,
        body: Body<'_>,
    ) -> Response {
        let app = test::init_service(App::new().app_data(self.state.clone()).configure(configure)).await;
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = test::TestRequest::with_uri(&format!("/api/v4{path}")).method(method);
        if let Some(header) = header {
            request = request.insert_header(header);
        }
        request = match body {
            Body::Nothing => request,
            Body::Json(text) => {
                request.insert_header(("Content-Type", "application/json")).set_payload(text.to_owned())
            }
            Body::Form(text) => {
                let form = ("Content-Type", "application/x-www-form-urlencoded");
                request.insert_header(form).set_payload(text.to_owned())
            }
        };
        let response = test::call_service(&app, request.to_request()).await;
        let status = response.status();
        let text = |(name, value): (&actix_web::http::header::HeaderName, &actix_web::http::header::HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        let headers = response.headers().iter().map(text).collect();
        let bytes = to_bytes(response.into_body()).await.ok().unwrap();
        Response { status, headers, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
    }
}

/// Returns the upstreams of the settings, which name groups by their paths.
fn upstreams() -> Upstreams {
    let vault = vec!["vault/keys".parse().unwrap()];
    let account = AccountRule { username: "robot".to_owned(), groups: vault, images: Vec::new() };
    let settings = Upstream { accounts: vec![account], tag_freshness: Duration::ZERO };
    Upstreams::new(["docker.io", "mirror:5000"].map(|name| (name.parse().unwrap(), settings.clone())))
}
