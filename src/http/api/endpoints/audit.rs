//! Endpoints of audit events.

use crate::domain::audit::json::SERVICE;
use crate::http::api::audit_events as audit;
use crate::http::api::endpoint::parameter::Parameter;
use crate::http::api::endpoint::{Access, Endpoint};

const ALL: &[Parameter] = &[
    CREATED_AFTER,
    CREATED_BEFORE,
    Parameter::one_of("entity_type", &["Group", "User", SERVICE], "Only events of entities of this type"),
    Parameter::number("entity_id", "Only events of the entity with this number; it needs `entity_type`"),
    AUTHOR,
    AUTHOR_ID,
    EVENT_NAME,
];
const OF_GROUP: &[Parameter] = &[CREATED_AFTER, CREATED_BEFORE, AUTHOR, AUTHOR_ID, EVENT_NAME];

const CREATED_AFTER: Parameter = Parameter::time("created_after", "Only events at this time or later");
const CREATED_BEFORE: Parameter = Parameter::time("created_before", "Only events at this time or earlier");
const AUTHOR: Parameter =
    Parameter::text("author", "Only events by the author with this user name, of at most 255 characters");
const AUTHOR_ID: Parameter =
    Parameter::number("author_id", "Only events with this `author_id`; not together with `author`");
const EVENT_NAME: Parameter = Parameter::text(
    "event_name",
    "Only events of this name, such as `member_updated`; one that no event can have is refused",
);

pub(super) fn all() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/audit_events", audit::list)
            .summary("Lists the events of the whole service, the latest first")
            .by(Access::Administrator)
            .takes(ALL)
            .may_refuse(503),
        Endpoint::get("/audit_events/{id}", audit::show)
            .summary("Shows an event")
            .by(Access::Administrator)
            .may_refuse(503),
        Endpoint::get("/groups/{id}/audit_events", audit::of_group)
            .summary("Lists the events of a group, the latest first")
            .by(Access::Owner)
            .takes(OF_GROUP)
            .may_refuse(503),
        Endpoint::get("/groups/{id}/audit_events/{event}", audit::show_of_group)
            .summary("Shows an event of a group")
            .by(Access::Owner)
            .may_refuse(503),
    ]
}
