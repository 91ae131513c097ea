//! `/groups/:id/members`: the members of a group (<https://docs.gitlab.com/api/members/>). Callers who see the
//! group see them; its owners change them.

use std::sync::Arc;

use actix_web::web;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use super::caller::{Authority, Caller, Right};
use super::endpoint::parameter::access_levels;
use super::error::ApiError;
use super::faults::Faults;
use super::pagination::Page;
use super::params::{Params, number};
use super::response::{Body, Created, Day, Found, ListPage, NoContent, Time};
use super::users::{self, BasicUserView};
use crate::domain::access::Membership;
use crate::domain::commands::member::{self as edit, MemberChange, NewMember};
use crate::domain::directory::Directory;
use crate::domain::group::Group;
use crate::domain::id::UserId;
use crate::domain::policy;
use crate::domain::user::User;

type GroupAndUser = web::Path<(String, String)>;

/// A membership with its user.
type Member = (Arc<Membership>, Arc<User>);

/// A member of a group.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Member")]
pub(super) struct MemberView {
    #[serde(flatten)]
    user: BasicUserView,
    #[schemars(extend("enum" = access_levels()))]
    access_level: u8,
    created_at: Time,
    /// The day at whose beginning in UTC the membership ends; `null`: it does not end.
    expires_at: Option<Day>,
    membership_state: MembershipState,
}

/// The state of a membership. All are active: nobody has to accept one.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum MembershipState {
    Active,
}

/// A group of which a user is a direct member.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Membership")]
pub(super) struct MembershipView {
    source_id: u64,
    source_name: String,
    source_type: SourceType,
    source_full_path: String,
    #[schemars(extend("enum" = access_levels()))]
    access_level: u8,
    /// The day at whose beginning in UTC the membership ends; `null`: it does not end.
    expires_at: Option<Day>,
}

/// The kind of a source. There are no projects.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
enum SourceType {
    Namespace,
}

/// Handles `GET /users/:id/memberships`: the groups of which a user is a direct member, for administrators and the
/// user. There are no projects.
pub(super) async fn of_user(
    caller: Caller,
    path: web::Path<String>,
    page: Page,
    params: Params,
) -> Result<ListPage<MembershipView>, ApiError> {
    let user = number("id", &path)?;
    caller.authority().administrator_or(UserId(user))?;
    let user = users::find(&caller.authority(), &path)?.id;
    let groups = match params.text("type")?.as_deref() {
        None | Some("" | "Namespace") => true,
        Some("Project") => false,
        Some(_) => return Err(ApiError::invalid_value("type")),
    };
    let own = caller.directory.memberships().filter(|member| groups && member.user == user);
    let own = own.filter_map(|member| Some((member.clone(), caller.directory.group(member.group)?.clone())));
    let own: Vec<(Arc<Membership>, Arc<Group>)> = own.collect();
    Ok(page.of(&caller.base_url, &own, |(member, group)| source(member, group)))
}

fn source(member: &Membership, group: &Group) -> MembershipView {
    MembershipView {
        source_id: group.id.0,
        source_name: group.name.clone(),
        source_type: SourceType::Namespace,
        source_full_path: group.path.to_string(),
        access_level: member.level.into(),
        expires_at: member.expires_at.map(Day),
    }
}

/// Handles `POST /groups/:id/members`.
pub(super) async fn add(
    caller: Caller,
    path: web::Path<String>,
    params: Params,
) -> Result<Created<MemberView>, ApiError> {
    let own = caller.may(move |caller| Ok(caller.group(&path, Right::Own)?.id))?;
    let mut faults = Faults::default();
    let missing = || ApiError::Parameter("access_level is missing".to_owned());
    let level = faults.take(params.level("access_level").and_then(|level| level.ok_or_else(missing)));
    let (user, expires_at) = (faults.take(named(&caller, &params)), faults.take(end(&params, caller.now)));
    let (Some(level), Some(user), Some(expires_at)) = (level, user, expires_at) else { return Err(faults.into()) };
    let id = user.id;
    let add = move |caller: &Authority<'_>, group| {
        edit::add(caller.directory, NewMember { group, user: id, level, expires_at }, &caller.terms())
    };
    let member = caller.change("member added", own, add).await?;
    Ok(Body(view(&caller, &member, &user)))
}

/// Handles `GET /groups/:id/members`.
pub(super) async fn list(
    caller: Caller,
    path: web::Path<String>,
    page: Page,
    params: Params,
) -> Result<ListPage<MemberView>, ApiError> {
    let group = caller.authority().group(&path, Right::See)?.id;
    let members = matching(&caller, &params, caller.directory.members(group).cloned())?;
    Ok(page.of(&caller.base_url, &members, |(member, user)| view(&caller, member, user)))
}

/// Handles `GET /groups/:id/members/all`.
pub(super) async fn list_all(
    caller: Caller,
    path: web::Path<String>,
    page: Page,
    params: Params,
) -> Result<ListPage<MemberView>, ApiError> {
    let group = caller.authority().group(&path, Right::See)?.id;
    let members = matching(&caller, &params, policy::members(&caller.directory, group, caller.now).into_values())?;
    Ok(page.of(&caller.base_url, &members, |(member, user)| view(&caller, member, user)))
}

/// Handles `GET /groups/:id/members/:user_id`.
pub(super) async fn show(caller: Caller, path: GroupAndUser) -> Result<Found<MemberView>, ApiError> {
    let group = caller.authority().group(&path.0, Right::See)?.id;
    let member = caller.directory.membership(group, user_id(&path.1)?).ok_or(ApiError::NothingThere)?;
    of(&caller, &caller.directory, member)
}

/// Handles `GET /groups/:id/members/all/:user_id`.
pub(super) async fn show_all(caller: Caller, path: GroupAndUser) -> Result<Found<MemberView>, ApiError> {
    let group = caller.authority().group(&path.0, Right::See)?.id;
    let member = policy::members(&caller.directory, group, caller.now)
        .remove(&user_id(&path.1)?)
        .ok_or(ApiError::NothingThere)?;
    of(&caller, &caller.directory, &member)
}

/// Handles `PUT /groups/:id/members/:user_id`.
pub(super) async fn update(caller: Caller, path: GroupAndUser, params: Params) -> Result<Found<MemberView>, ApiError> {
    let user = user_id(&path.1);
    let own = caller.may(move |caller| Ok(caller.group(&path.0, Right::Own)?.id))?;
    let user = user?;
    let endless = params.is_blank("expires_at").then_some(None);
    let mut faults = Faults::default();
    let expires_at = faults.take(end(&params, caller.now)).flatten().map(Some).or(endless);
    let change = MemberChange { level: faults.take(params.level("access_level")).flatten(), expires_at };
    faults.none()?;
    let update =
        move |caller: &Authority<'_>, group| edit::update(caller.directory, group, user, change, &caller.terms());
    let member = caller.change("member changed", own, update).await?;
    // The user may have been created after the head of the request arrived.
    of(&caller, &caller.state.identities.directory(), &member)
}

/// Handles `DELETE /groups/:id/members/:user_id`. Every member may leave.
pub(super) async fn remove(caller: Caller, path: GroupAndUser) -> Result<NoContent, ApiError> {
    let user = user_id(&path.1)?;
    let may = caller.may(move |caller| {
        let right = if user == caller.user.id { Right::See } else { Right::Own };
        Ok(caller.group(&path.0, right)?.id)
    })?;
    let remove = move |caller: &Authority<'_>, group| edit::remove(caller.directory, group, user, caller.now);
    caller.change("member removed", may, remove).await?;
    Ok(NoContent)
}

/// Responds with a member, whose user is in this directory.
fn of(caller: &Caller, directory: &Directory, member: &Membership) -> Result<Found<MemberView>, ApiError> {
    let user = directory.user(member.user).ok_or(ApiError::NothingThere)?;
    Ok(Body(view(caller, member, user)))
}

fn view(caller: &Caller, member: &Membership, user: &User) -> MemberView {
    MemberView {
        user: users::basic(user, &caller.base_url),
        access_level: member.level.into(),
        created_at: Time(member.created_at),
        expires_at: member.expires_at.map(Day),
        membership_state: MembershipState::Active,
    }
}

fn named(caller: &Caller, params: &Params) -> Result<Arc<User>, ApiError> {
    let user = match (params.number("user_id")?, params.text("username")?) {
        (None, None) => {
            let text = "user_id, username are missing, at least one parameter must be provided";
            return Err(ApiError::Parameter(text.to_owned()));
        }
        (Some(id), _) => caller.directory.user(UserId(id)),
        (None, Some(name)) => caller.directory.user_named(&name),
    };
    user.cloned().ok_or(ApiError::NotFound("User"))
}

fn user_id(text: &str) -> Result<UserId, ApiError> {
    number("user_id", text).map(UserId)
}

fn end(params: &Params, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
    let end = params.day("expires_at")?;
    if end.is_some_and(|end| end <= now) {
        let is_today = end.is_some_and(|end| now.duration_since(end) < SignedDuration::from_hours(24));
        let reason = if is_today { "must be a date after today, by UTC" } else { "cannot be a date in the past" };
        return Err(ApiError::Invalid { field: "expires_at", reason: reason.to_owned() });
    }
    Ok(end)
}

fn matching(
    caller: &Caller,
    params: &Params,
    members: impl Iterator<Item = Arc<Membership>>,
) -> Result<Vec<Member>, ApiError> {
    let query = params.text("query")?.unwrap_or_default().to_lowercase();
    let found = |text: &str| text.to_lowercase().contains(&query);
    let fits = |user: &Arc<User>| found(&user.name) || found(user.username.as_str());
    let with_user = |member: Arc<Membership>| {
        let user = caller.directory.user(member.user).filter(|user| fits(user))?.clone();
        Some((member, user))
    };
    Ok(members.filter_map(with_user).collect())
}
