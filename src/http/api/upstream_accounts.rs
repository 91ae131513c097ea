//! `/groups/:id/dependency_proxy/upstream_accounts`: the accounts of a group at upstreams, for its owners. The names of
//! the fields are those of GitLab (`identity`, `secret`). A password is never returned.

use std::collections::BTreeSet;

use actix_web::web;
use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::caller::{Authority, Caller, Right, owner_of};
use super::error::ApiError;
use super::params::Params;
use super::response::{Body, Found, NoContent, Time};
use crate::actors::upstream_fetcher::{AccountTest, TestResult};
use crate::domain::audit::{Entity, Event, FieldChange, Target};
use crate::domain::commands::CommandError;
use crate::domain::commands::seen::{Seen, SeenValue};
use crate::domain::commands::upstream_account as edit;
use crate::domain::directory::Directory;
use crate::domain::group::Group;
use crate::domain::id::GroupId;
use crate::domain::repository::UpstreamName;
use crate::domain::upstream_account::UpstreamAccount;

/// Name of the audit event of a test.
pub(in crate::http) const TESTED: &str = "group_upstream_account_tested";

/// An account that a group uses at an upstream.
pub(in crate::http) struct UsedAccount {
    /// The upstream.
    pub(in crate::http) upstream: UpstreamName,
    /// The account.
    pub(in crate::http) account: UpstreamAccount,
    /// The path of the group that has it: the group itself, or one above it.
    pub(in crate::http) holder: String,
    /// True if a group above has it.
    pub(in crate::http) inherited: bool,
    /// The reason why its password cannot be decrypted, if it cannot.
    pub(in crate::http) unreadable: Option<String>,
}

/// An account that a group uses at a registry, without its password.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UpstreamAccount")]
pub(super) struct UpstreamAccountView {
    /// The host of the registry.
    upstream: String,
    /// The user name.
    identity: String,
    /// The path of the group that has it: the group itself, or one above it.
    group: String,
    /// True if a group above has it.
    inherited: bool,
    /// The time at which the password was set.
    #[schemars(with = "Time")]
    set_at: Timestamp,
    /// True if the password can be decrypted.
    readable: bool,
    /// The reason why the password cannot be decrypted; `null` if it can.
    message: Option<String>,
}

/// The result of the test of an account.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UpstreamAccountTest")]
pub(super) struct TestView {
    /// The host of the registry.
    upstream: String,
    #[schemars(extend("enum" = TestResult::ALL.map(TestResult::as_str)))]
    result: &'static str,
    /// The result as a sentence, with the registry's message.
    message: String,
}

/// Handles `GET /groups/:id/dependency_proxy/upstream_accounts`.
pub(super) async fn list(caller: Caller, path: web::Path<String>) -> Result<Found<Vec<UpstreamAccountView>>, ApiError> {
    let group = caller.authority().group(&path, Right::Own)?;
    Ok(Body(used(&caller, &caller.directory, &group).into_iter().map(view).collect()))
}

/// Handles `PUT /groups/:id/dependency_proxy/upstream_accounts/:upstream`.
pub(super) async fn set_one(
    caller: Caller,
    path: web::Path<(String, String)>,
    params: Params,
) -> Result<Found<UpstreamAccountView>, ApiError> {
    let (group, upstream) = path.into_inner();
    let group = caller.authority().group(&group, Right::Own)?.id;
    params.require(&["identity", "secret"])?;
    let (username, password) = (params.required_text("identity")?, params.secret("secret")?.unwrap_or_default());
    set(&caller, group, &upstream, (username, password), Seen::default()).await?;
    let directory = caller.state.identities.directory();
    let account = directory.group(group).and_then(|group| {
        let (upstream, account) = group.upstream_accounts.get_key_value(upstream.as_str())?;
        Some(shown(&caller, group, upstream.clone(), account.clone(), false))
    });
    // Another request may have removed it meanwhile.
    Ok(Body(view(account.ok_or(ApiError::NotFound("Account"))?)))
}

/// Handles `DELETE /groups/:id/dependency_proxy/upstream_accounts/:upstream`.
pub(super) async fn remove_one(caller: Caller, path: web::Path<(String, String)>) -> Result<NoContent, ApiError> {
    let (group, upstream) = path.into_inner();
    let group = caller.authority().group(&group, Right::Own)?.id;
    remove(&caller, group, &upstream, Seen::default()).await?;
    Ok(NoContent)
}

/// Handles `POST /groups/:id/dependency_proxy/upstream_accounts/:upstream/test`.
pub(super) async fn test_one(caller: Caller, path: web::Path<(String, String)>) -> Result<Found<TestView>, ApiError> {
    let (group, upstream) = path.into_inner();
    let group = caller.authority().group(&group, Right::Own)?.id;
    let AccountTest { result, sentence } = test(&caller, group, &upstream).await?;
    Ok(Body(TestView { upstream, result: result.as_str(), message: sentence }))
}

/// Returns the accounts that a group uses, and those of its own at upstreams that are not configured any more.
pub(in crate::http) fn used(caller: &Caller, directory: &Directory, group: &Group) -> Vec<UsedAccount> {
    let mut found: Vec<UsedAccount> = Vec::new();
    for holder in directory.lineage(group.id) {
        for (upstream, account) in &holder.upstream_accounts {
            if found.iter().all(|nearer| nearer.upstream != *upstream) {
                found.push(shown(caller, holder, upstream.clone(), account.clone(), holder.id != group.id));
            }
        }
    }
    found.sort_by(|one, other| one.upstream.cmp(&other.upstream));
    found
}

/// Returns the accounts of a group in words, with an empty one for each upstream at which it has none, for a form that
/// changes one of them.
pub(in crate::http) fn values(caller: &Caller, group: &Group) -> Vec<SeenValue> {
    let (own, upstreams) = (group.upstream_accounts.keys(), caller.state.upstreams.load_full());
    let all: BTreeSet<&UpstreamName> = upstreams.names().chain(own).collect();
    all.into_iter().map(|upstream| value_of(Some(group), upstream)).collect()
}

/// Returns the account of a group at one upstream in words; empty for none.
fn value_of(group: Option<&Group>, upstream: &UpstreamName) -> SeenValue {
    let words = |account: &UpstreamAccount| {
        let at = account.set_at.strftime("%-d %B %Y, %H:%M:%S UTC");
        format!("{}, with a password of {at}", account.username)
    };
    let account = group.and_then(|group| group.upstream_accounts.get(upstream));
    SeenValue { key: upstream.to_string(), field: "identity", words: account.map(words).unwrap_or_default() }
}

/// Gives a group an account, by user name and password, at an upstream. The same account changes nothing.
///
/// # Errors
/// The caller is no owner, there is no such upstream, a field is not valid, or the account that is there is not the one
/// that was `seen`.
pub(in crate::http) async fn set(
    caller: &Caller,
    group: GroupId,
    upstream: &str,
    (username, password): (String, SecretString),
    seen: Seen,
) -> Result<(), ApiError> {
    edit::check(&username, password.expose_secret())?;
    let known = caller.state.upstreams.load().named(upstream).map(|(name, _)| name.clone());
    let upstream = known.ok_or(ApiError::NotFound("Upstream"))?;
    let (own, accounts) = (caller.may(owner_of(group))?, caller.state.accounts.clone());
    let set = move |caller: &Authority<'_>, id| {
        let present = caller.directory.group(id).and_then(|group| group.upstream_accounts.get(&upstream));
        let is_same =
            |account: &UpstreamAccount| account.username == username && accounts.has_password(account, &password);
        if present.is_some_and(is_same) {
            return Ok((Vec::new(), ()));
        }
        let sealed = accounts.seal(id, &upstream, (&username, &password), caller.now);
        let account = sealed.map_err(|_| CommandError::Refused("the password could not be encrypted"))?;
        let before = value_of(caller.directory.group(id).map(AsRef::as_ref), &upstream);
        let set = edit::set(caller.directory, id, upstream.clone(), account);
        let set = seen.unchanged(vec![before], set, |group| vec![value_of(Some(group), &upstream)]);
        set.map(|(writes, _)| (writes, ()))
    };
    caller.change("upstream account set", own, set).await
}

/// Takes the account at an upstream from a group, which then uses that of the group above it or of the service.
///
/// # Errors
/// The caller is no owner, the group has no such account, or it is not the one that was `seen`.
pub(in crate::http) async fn remove(
    caller: &Caller,
    group: GroupId,
    upstream: &str,
    seen: Seen,
) -> Result<(), ApiError> {
    let upstream: UpstreamName = upstream.parse().map_err(|_| ApiError::NotFound("Upstream"))?;
    let own = caller.may(owner_of(group))?;
    let remove = move |caller: &Authority<'_>, id| {
        let before = value_of(caller.directory.group(id).map(AsRef::as_ref), &upstream);
        let removed = edit::remove(caller.directory, id, &upstream);
        seen.unchanged(vec![before], removed, |_| vec![value_of(None, &upstream)])
    };
    let was_there = caller.change("upstream account removed", own, remove).await?;
    if was_there { Ok(()) } else { Err(ApiError::NotFound("Account")) }
}

/// Tests the account of a group at an upstream, and stores an audit event with the result.
///
/// # Errors
/// The caller is no owner, makes too many changes, or the group itself has no such account.
pub(in crate::http) async fn test(caller: &Caller, group: GroupId, upstream: &str) -> Result<AccountTest, ApiError> {
    let own = caller.may(owner_of(group))?;
    let (group, path) = caller.decide_again(own)?;
    let directory = caller.state.identities.directory();
    let account = directory.group(group).and_then(|group| group.upstream_accounts.get_key_value(upstream));
    let (upstream, account) = account.ok_or(ApiError::NotFound("Account"))?;
    let test = caller.state.upstream.test_account(upstream.clone(), account.account(), group).await;
    caller.record(event(caller, (group, path), upstream, test.result)).await?;
    Ok(test)
}

fn event(caller: &Caller, (id, path): (GroupId, String), upstream: &UpstreamName, result: TestResult) -> Event {
    let target = Target { kind: "UpstreamAccount".into(), id: None, name: upstream.to_string() };
    let what = (TESTED, "upstream account tested");
    let event = Event::new(Timestamp::now(), caller.author(), what, Entity::Group { id, path }, target);
    let result = FieldChange { field: "result".to_owned(), from: None, to: Some(result.as_str().into()) };
    Event { changes: vec![result], ..event }
}

fn shown(
    caller: &Caller,
    holder: &Group,
    upstream: UpstreamName,
    account: UpstreamAccount,
    inherited: bool,
) -> UsedAccount {
    let unreadable = caller.state.accounts.unreadable(account.id).map(|error| error.to_string());
    UsedAccount { upstream, account, holder: holder.path.to_string(), inherited, unreadable }
}

fn view(used: UsedAccount) -> UpstreamAccountView {
    UpstreamAccountView {
        upstream: used.upstream.to_string(),
        identity: used.account.username,
        group: used.holder,
        inherited: used.inherited,
        set_at: used.account.set_at,
        readable: used.unreadable.is_none(),
        message: used.unreadable,
    }
}
