//! `/audit_events` and `/groups/:id/audit_events`: who changed what, and what was refused
//! (<https://docs.gitlab.com/api/audit_events/>). Administrators see all events, owners those of their group.
//!
//! Differences from GitLab: `author`, `author_id` and `event_name` select events, too. `entity_type` is `User`, `Group`
//! or `Gitlab::Audit::InstanceScope`. Numbers are not consecutive. In `details`, `changes` has every changed field with
//! its values, and `change`, `from` and `to` are those of the only one. An event that is a sum of several has `count`
//! and `last_at`.

mod view;

use actix_web::web;

use self::view::EventView;
use super::caller::{Caller, Right};
use super::error::ApiError;
use super::pagination::keyset::Part;
use super::params::{Params, number};
use super::response::{Body, Found, KeysetPage};
use crate::domain::audit::Event;
use crate::domain::audit::json::{SERVICE, SERVICE_ID};
use crate::domain::audit::names;
use crate::domain::audit::query::{AuthorFilter, EntityFilter, EventFilter, EventQuery};
use crate::domain::id::{EventId, GroupId, UserId};
use crate::domain::limits::MAX_NAME_CHARS;

/// Handles `GET /audit_events`.
pub(super) async fn list(caller: Caller, part: Part, params: Params) -> Result<KeysetPage<EventView>, ApiError> {
    caller.authority().administrator()?;
    let entity = entity(&params)?;
    respond(&caller, &part, filter(&params, entity)?).await
}

/// Handles `GET /groups/:id/audit_events`.
pub(super) async fn of_group(
    caller: Caller,
    path: web::Path<String>,
    part: Part,
    params: Params,
) -> Result<KeysetPage<EventView>, ApiError> {
    let group = caller.authority().group(&path, Right::Own)?.id;
    respond(&caller, &part, filter(&params, Some(EntityFilter::Group(Some(group))))?).await
}

/// Handles `GET /audit_events/:id`.
pub(super) async fn show(caller: Caller, path: web::Path<String>) -> Result<Found<EventView>, ApiError> {
    caller.authority().administrator()?;
    one(&caller, &path, |_| true).await
}

/// Handles `GET /groups/:id/audit_events/:event`.
pub(super) async fn show_of_group(
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<Found<EventView>, ApiError> {
    let group: GroupId = caller.authority().group(&path.0, Right::Own)?.id;
    one(&caller, &path.1, |event| event.entity.group() == Some(group)).await
}

async fn one(caller: &Caller, id: &str, is_visible: impl Fn(&Event) -> bool) -> Result<Found<EventView>, ApiError> {
    let id = EventId(number("id", id)?);
    let event = caller.state.audit.event(caller.user.id, id).await?;
    caller.state.identities.newest_confirmed().await?;
    let event = event.filter(is_visible).ok_or(ApiError::NothingThere)?;
    Ok(Body(EventView::of(id, &event)))
}

async fn respond(caller: &Caller, part: &Part, filter: EventFilter) -> Result<KeysetPage<EventView>, ApiError> {
    let query = EventQuery {
        filter,
        ascending: part.ascending,
        from: part.cursor.map(EventId),
        skip: if part.is_keyset { 0 } else { part.page.skipped() },
        limit: part.page.per_page(),
        counted: !part.is_keyset,
    };
    let found = caller.state.audit.events(caller.user.id, query).await?;
    caller.state.identities.newest_confirmed().await?;
    let shown = found.events.iter().map(|(id, event)| EventView::of(*id, event)).collect();
    if !part.is_keyset {
        return Ok(part.page.part(&caller.base_url, found.total, shown).into());
    }
    let last = found.events.last().filter(|_| found.more).map(|(id, _)| id.0);
    Ok(part.respond(&caller.base_url, last, shown))
}

fn filter(params: &Params, entity: Option<EntityFilter>) -> Result<EventFilter, ApiError> {
    let author = match (params.integer("author_id")?, text(params, "author")?) {
        (Some(_), Some(_)) => {
            return Err(ApiError::Parameter("author_id and author are mutually exclusive".to_owned()));
        }
        (Some(id), None) => Some(AuthorFilter::Id(id)),
        (None, name) => name.map(AuthorFilter::Name),
    };
    let name = text(params, "event_name")?;
    if name.as_ref().is_some_and(|name| !names::is_known(name)) {
        return Err(ApiError::invalid_value("event_name"));
    }
    Ok(EventFilter {
        after: params.time("created_after")?,
        before: params.time("created_before")?,
        entity,
        author,
        name,
        kind: None,
    })
}

fn entity(params: &Params) -> Result<Option<EntityFilter>, ApiError> {
    let id = params.number("entity_id")?;
    Ok(match (text(params, "entity_type")?.as_deref(), id) {
        (None, None) => None,
        (None, Some(_)) => return Err(ApiError::Parameter("entity_type is missing".to_owned())),
        (Some("Group"), id) => Some(EntityFilter::Group(id.map(GroupId))),
        (Some("User"), id) => Some(EntityFilter::User(id.map(UserId))),
        (Some(SERVICE), None | Some(SERVICE_ID)) => Some(EntityFilter::Service),
        (Some(SERVICE), Some(_)) => return Err(ApiError::invalid_value("entity_id")),
        (Some(_), _) => return Err(ApiError::invalid_value("entity_type")),
    })
}

/// Returns a text that is not empty and no longer than a name.
fn text(params: &Params, name: &str) -> Result<Option<String>, ApiError> {
    let text = params.text(name)?.filter(|text| !text.is_empty());
    match text {
        Some(text) if text.chars().count() > MAX_NAME_CHARS => Err(ApiError::invalid_value(name)),
        text => Ok(text),
    }
}
