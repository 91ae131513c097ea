//! Test fixture: a small company with the group `team`, a group `team/ci` below it and users of every level; a
//! group `other` that they do not see; and tokens of every kind, over the real owner of the directory.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use futures::future::BoxFuture;
use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::body::to_bytes;
use actix_web::http::{Method, StatusCode};
use actix_web::{App, test, web};
use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde_json::Value;

use crate::actors::audit::{AuditOptions, AuditTrail};
use crate::actors::group_accounts::GroupAccounts;
use crate::actors::images::{
    CachedImage, Earlier, GroupTotals, ImageParts, ImagePulls, ImageQuery, ImagesError, NotRefreshed, Only, Pinned,
    PullsQuery, RunningDownload, ShownImage, ShownPage, StateFilter, StoreSizes,
};
use crate::actors::janitor::Holdings;
use crate::actors::last_used::LastUsed;
use crate::actors::policy_evaluator::PolicyEvaluatorHandle;
use crate::actors::token_issuer::TokenIssuerHandle;
use crate::actors::upstream_fetcher::{AccountState, AccountTest, TestResult, UpstreamQueue};
use crate::actors::warming::{JobProgress, TooManyJobs, WarmImage};
use crate::auth::jwt::KeySet;
use crate::auth::sealing::SealingKeys;
use crate::auth::{random, secret};
use crate::domain::access::AccessLevel;
use crate::domain::commands::maker::{Ending, Maker};
use crate::domain::commands::{CommandResult, Terms, group, member, token, user};
use crate::domain::directory::Directory;
use crate::domain::group::Visibility;
use crate::domain::id::{GroupId, UserId};
use crate::domain::last_use::AddressDays;
use crate::domain::limits::Limits;
use crate::domain::origin::Account;
use crate::domain::platform::Platform;
use crate::domain::policy::PublicGroups;
use crate::domain::reference::Reference;
use crate::domain::repository::{Repository, UpstreamName};
use crate::domain::scope::Scopes;
use crate::domain::traffic::{Hour, Traffic};
use crate::domain::upstream::{AccountRule, Upstream, Upstreams};
use crate::http::PublicUrl;
use crate::http::api::caller::Identities;
use crate::http::api::configure;
use crate::http::api::pace::Pace;
use crate::http::api::state::{ApiState, ImageStore, Purge, UpstreamStates, Warming};

/// The API over the identities of the company.
pub(super) struct Company {
    state: web::Data<ApiState>,
    /// The groups whose caches were purged.
    pub(super) purged: Arc<Purged>,
    _data: tempfile::TempDir,
}

/// A cache without images.
struct NoImages;

/// No upstreams.
struct NoUpstreams;

impl UpstreamStates for NoUpstreams {
    fn states(&self) -> BoxFuture<'_, Vec<AccountState>> {
        Box::pin(ready(Vec::new()))
    }

    fn test_account(&self, _: UpstreamName, _: Account, _: GroupId) -> BoxFuture<'_, AccountTest> {
        let (result, sentence) = (TestResult::NotTried, String::new());
        Box::pin(ready(AccountTest { result, sentence }))
    }

    fn queues(&self) -> Vec<UpstreamQueue> {
        Vec::new()
    }
}

/// Jobs that are never started.
struct NoJobs;

impl Warming for NoJobs {
    fn start(&self, _: GroupId, _: Vec<WarmImage>, _: Vec<Platform>) -> Result<u64, TooManyJobs> {
        Err(TooManyJobs)
    }

    fn job(&self, _: GroupId, _: u64) -> Option<JobProgress> {
        None
    }

    fn jobs_of(&self, _: GroupId) -> Vec<JobProgress> {
        Vec::new()
    }

    fn cancel(&self, _: GroupId, _: u64) -> bool {
        false
    }
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

#[derive(Default)]
pub(super) struct Purged(pub(super) Mutex<Vec<GroupId>>);

/// Returns the identities of the company. Users: 1 root, then owner, maintainer, guest and stranger. Groups: 1
/// `team`, 2 `team/ci`, 3 `other`. Tokens, by number: root's, root's for reading, owner's, maintainer's, guest's,
/// stranger's, that of the bot which owns `team` (user 6), the owner's for the registry, and the deploy token of
/// `team`.
pub(super) fn records() -> Directory {
    let mut company = Directory::default();
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let terms = Terms { maker: Maker::Unbound, by: Some(UserId(1)), limits: &Limits::NONE, now };
    for name in ["root", "owner", "maintainer", "guest", "stranger"] {
        let new = user::NewUser {
            username: name.parse().unwrap(),
            name: name.to_uppercase(),
            email: format!("{name}@example.com"),
            admin: name == "root",
            password: None,
        };
        apply(&mut company, |directory| user::create(directory, new, now));
    }
    for (path, parent) in [("team", None), ("ci", Some(GroupId(1))), ("other", None)] {
        let new = group::NewGroup {
            name: path.to_uppercase(),
            path: path.to_owned(),
            description: String::new(),
            parent,
            visibility: Some(Visibility::Private),
            creator: UserId(1),
        };
        apply(&mut company, |directory| group::create(directory, &Upstreams::default(), new, &terms));
    }
    let levels = [(2, AccessLevel::Owner), (3, AccessLevel::Maintainer), (4, AccessLevel::Guest)];
    for (user, level) in levels {
        let new = member::NewMember { group: GroupId(1), user: UserId(user), level, expires_at: None };
        apply(&mut company, |directory| member::add(directory, new, &terms));
    }
    let personal = [(1, "admin", "api"), (1, "reader", "read_api"), (2, "owner", "api"), (3, "maintainer", "api")];
    for (user, name, scope) in personal.into_iter().chain([(4, "guest", "api"), (5, "stranger", "api")]) {
        apply(&mut company, |directory| {
            token::create_personal(directory, UserId(user), new_token(name, &[scope]), &terms)
        });
    }
    let owning = AccessLevel::Owner;
    apply(&mut company, |directory| {
        token::create_group(directory, GroupId(1), owning, new_token("bot", &["api"]), &terms)
    });
    let pair = ["read_registry", "write_registry"];
    apply(&mut company, |directory| token::create_personal(directory, UserId(2), new_token("registry", &pair), &terms));
    apply(&mut company, |directory| {
        token::create_deploy(directory, GroupId(1), None, new_token("deploy", &pair), &terms)
    });
    company
}

/// Returns the secret of the token of this name.
pub(super) fn secret_of(name: &str) -> String {
    format!("the secret of {name}")
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
        let audit = AuditOptions { keep_days: 0, max_bytes: u64::MAX, max_refusal_bytes: u64::MAX };
        let tokens = TokenIssuerHandle::over(policy.clone()).unwrap();
        let purged = Arc::new(Purged::default());
        let vault = vec!["vault/keys".parse().unwrap()];
        let account = AccountRule { username: "robot".to_owned(), groups: vault, images: Vec::new() };
        let upstream = Upstream { accounts: vec![account], tag_freshness: Duration::ZERO };
        let names = ["docker.io", "mirror:5000"].map(|name| (name.parse().unwrap(), upstream.clone()));
        let upstreams = Arc::new(ArcSwap::from_pointee(Upstreams::new(names)));
        let keys = SealingKeys::new(&KeySet::generate()).unwrap();
        let accounts = GroupAccounts::new(keys, Box::new(|_| {}), upstreams.clone());
        let followed = accounts.clone();
        policy.observe(move |directory| followed.follow(directory));
        let state = ApiState {
            identities: Identities::new(policy),
            tokens,
            audit: AuditTrail::new(store, audit, None),
            last_used: LastUsed::new(HashMap::new(), AddressDays(30)),
            purge: purged.clone(),
            images: Arc::new(NoImages),
            warming: Arc::new(NoJobs),
            upstream: Arc::new(NoUpstreams),
            unpulled_days: 0,
            pull_days: 30,
            accounts,
            upstreams,
            limits,
            sessions: crate::http::Sessions::new(crate::http::SessionTimes { idle: HOUR, longest: HOUR }),
            pace: Pace::new(&limits),
            public_groups,
            proxy_enabled: true,
            public_url: PublicUrl::new(Some(&"https://proxy.example".parse().unwrap()), Vec::new(), false),
        };
        Self { state: web::Data::new(state), purged, _data: data }
    }

    /// Returns a snapshot of the identities.
    pub(super) fn directory(&self) -> Arc<Directory> {
        self.state.identities.directory()
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

impl ImageStore for NoImages {
    fn list(&self, _: GroupId, _: ImageQuery) -> BoxFuture<'_, Result<ShownPage, ImagesError>> {
        Box::pin(ready(Ok(ShownPage::default())))
    }

    fn only(&self, _: StateFilter, _: Option<Timestamp>) -> BoxFuture<'_, Only> {
        Box::pin(ready(Only::nothing()))
    }

    fn find(
        &self,
        _: GroupId,
        _: (UpstreamName, Repository, Reference),
    ) -> BoxFuture<'_, Result<Vec<ShownImage>, ImagesError>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn earlier<'a>(&'a self, _: &'a CachedImage) -> BoxFuture<'a, Result<Vec<Earlier>, ImagesError>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn parts<'a>(&'a self, _: &'a CachedImage) -> BoxFuture<'a, Result<ImageParts, ImagesError>> {
        Box::pin(ready(Ok(ImageParts::default())))
    }

    fn refresh<'a>(&'a self, _: &'a CachedImage) -> BoxFuture<'a, Result<(), NotRefreshed>> {
        Box::pin(ready(Ok(())))
    }

    fn pin<'a>(&'a self, _: &'a CachedImage, _: bool) -> BoxFuture<'a, Result<Pinned, ImagesError>> {
        Box::pin(ready(Ok(Pinned::NotThere)))
    }

    fn remove<'a>(&'a self, _: &'a CachedImage) -> BoxFuture<'a, Result<(), ImagesError>> {
        Box::pin(ready(Ok(())))
    }

    fn totals(&self) -> BoxFuture<'_, Result<Option<HashMap<GroupId, GroupTotals>>, ImagesError>> {
        Box::pin(ready(Ok(Some(HashMap::new()))))
    }

    fn traffic(
        &self,
        _: Option<GroupId>,
        _: u32,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<(Hour, Traffic)>, ImagesError>> {
        Box::pin(ready(Ok(vec![(Hour::of(now), Traffic { hits: 3, fetched: 1, ..Traffic::default() })])))
    }

    fn pullers(&self, _: PullsQuery) -> BoxFuture<'_, Result<ImagePulls, ImagesError>> {
        Box::pin(ready(Ok(ImagePulls::default())))
    }

    fn downloads(&self) -> BoxFuture<'_, Vec<RunningDownload>> {
        Box::pin(ready(Vec::new()))
    }

    fn problems(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(ready(Vec::new()))
    }

    fn sizes(&self) -> BoxFuture<'_, Result<StoreSizes, ImagesError>> {
        let sizes = StoreSizes { stored: Default::default(), max_bytes: None, free_bytes: 1_000 };
        Box::pin(ready(Ok(sizes)))
    }
}

impl Purge for Purged {
    fn holdings(&self, groups: Vec<GroupId>) -> BoxFuture<'_, Option<Holdings>> {
        Box::pin(ready(Some(Holdings { tags: groups.len(), bytes: 1_000 })))
    }

    fn start(&self, group: GroupId) -> BoxFuture<'_, ()> {
        self.0.lock().unwrap().push(group);
        Box::pin(ready(()))
    }
}

fn apply<T>(directory: &mut Directory, edit: impl FnOnce(&Directory) -> CommandResult<T>) {
    let (writes, _) = edit(directory).unwrap();
    directory.apply(&writes);
}

fn new_token(name: &str, scopes: &[&str]) -> token::NewToken {
    let scopes: Vec<_> = scopes.iter().map(|scope| scope.parse().unwrap()).collect();
    let secret = secret::digest(&secret_of(name));
    token::NewToken {
        name: name.to_owned(),
        description: String::new(),
        scopes: Scopes::try_from(scopes).unwrap(),
        ending: Ending::Never,
        new_credential: token::NewCredential { credential: random::credential_id(), secret, brought: false },
    }
}
