//! The representation of an audit event. Its JSON is made by the domain, because it is also that of the file of events.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Value, json};

use crate::domain::audit::Event;
use crate::domain::audit::json::{self as event_json, AuthorClass, SERVICE};
use crate::domain::audit::names;
use crate::domain::id::EventId;

/// An audit event in GitLab's representation.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(in crate::http::api) struct EventView(Value);

impl EventView {
    /// Returns the representation of an event.
    pub(super) fn of(id: EventId, event: &Event) -> Self {
        debug_assert!(names::is_known(&event.name), "{} is missing in the list of names", event.name);
        Self(event_json::event(id, event))
    }
}

impl JsonSchema for EventView {
    fn schema_name() -> Cow<'static, str> {
        "AuditEvent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "Who changed what, or what was refused. Names are those of that time.",
            "properties": {
                "id": {"type": "integer", "minimum": 0, "description": "A later event has a higher number."},
                "author_id": {
                    "type": "integer",
                    "minimum": -2,
                    "description": "The user; 0: the service or an operator, -1: nobody known, -2: a deploy token.",
                },
                "entity_id": {"type": "integer", "minimum": 0, "description": "1 for the whole service."},
                "entity_type": {"type": "string", "enum": ["Group", "User", SERVICE]},
                "event_name": {"type": "string", "description": "The name, such as `deploy_token_created`."},
                "details": details(),
                "created_at": {
                    "type": "string",
                    "format": "date-time",
                    "description": "The time; of a sum, the first.",
                },
            },
            "required": ["id", "author_id", "entity_id", "entity_type", "event_name", "details", "created_at"],
        })
    }
}

fn details() -> Value {
    json!({
        "type": "object",
        "properties": {
            "event_name": {"type": "string"},
            "custom_message": {"type": "string", "description": "The event in words."},
            "author_name": {"type": "string"},
            "author_class": {"type": "string", "enum": AuthorClass::ALL},
            "token_id": {
                "type": ["integer", "null"],
                "minimum": 0,
                "description": "The token that was presented; `null` for a password.",
            },
            "token_name": {"type": ["string", "null"]},
            "target_id": {
                "type": ["integer", "null"],
                "minimum": 0,
                "description": "The number of the object that was changed or refused; `null` if it has none.",
            },
            "target_type": {"type": "string", "description": "Its kind, such as `DeployToken`."},
            "target_details": {"type": "string", "description": "Its name."},
            "ip_address": {"type": ["string", "null"], "description": "The address of the client."},
            "user_agent": {"type": ["string", "null"]},
            "entity_path": {"type": "string", "description": "The path of the group, or the user name."},
            "change": {"type": "string", "description": "The field, if exactly one was changed."},
            "from": {"description": "Its value before; `null` if there was none, or if it is secret."},
            "to": {"description": "Its value after."},
            "changes": {
                "type": "array",
                "items": change(),
                "minItems": 1,
                "description": "All fields that were changed.",
            },
            "failure": {"type": "string", "description": "Why it did not happen."},
            "count": {"type": "integer", "minimum": 0, "description": "The number of times, of a sum."},
            "last_at": {"type": "string", "format": "date-time", "description": "The last time, of a sum."},
            "left_out": {
                "type": "integer",
                "minimum": 1,
                "description": "The number of further objects of the same change, which have no event of their own.",
            },
        },
        "required": [
            "event_name",
            "custom_message",
            "author_name",
            "author_class",
            "token_id",
            "token_name",
            "target_id",
            "target_type",
            "target_details",
            "ip_address",
            "user_agent",
            "entity_path",
        ],
        "dependentRequired": {"change": ["from", "to", "changes"], "count": ["last_at"]},
    })
}

fn change() -> Value {
    json!({
        "type": "object",
        "properties": {
            "change": {"type": "string", "description": "The field."},
            "from": {"description": "Its value before; `null` if there was none, or if it is secret."},
            "to": {"description": "Its value after; `null` if there is none, or if it is secret."},
        },
        "required": ["change", "from", "to"],
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::collections::BTreeSet;

    use jiff::Timestamp;

    use super::*;
    use crate::domain::audit::{Author, Entity, FieldChange, Sum, Target, Who};
    use crate::domain::id::{GroupId, TokenId, UserId};

    /// Returns an event with every field that one can have, and one with none that it may lack.
    fn events() -> [Value; 2] {
        let at = Timestamp::UNIX_EPOCH;
        let target = |id| Target { kind: "User".into(), id, name: "bob".to_owned() };
        let author = Author {
            name: "alice".to_owned(),
            token: Some(TokenId(3)),
            token_name: Some("ci".to_owned()),
            address: Some([127, 0, 0, 1].into()),
            user_agent: Some("curl".to_owned()),
            ..Author::local(Who::User(UserId(1)))
        };
        let group = Entity::Group { id: GroupId(4), path: "team".to_owned() };
        let full = Event {
            changes: vec![FieldChange { field: "access_level".to_owned(), from: Some(30.into()), to: None }],
            failure: Some("403 Forbidden".to_owned()),
            sum: Some(Sum { count: 2, last: at }),
            left_out: 1,
            ..Event::new(at, author, ("member_updated", "member changed"), group, target(Some(2)))
        };
        let nobody = Author::local(Who::DeployToken);
        let least = Event::new(at, nobody, ("login_failed", "login failed"), Entity::Service, target(None));
        [full, least].map(|event| EventView::of(EventId(1), &event).0)
    }

    fn names(object: &Value) -> BTreeSet<&str> {
        object.as_object().unwrap().keys().map(String::as_str).collect()
    }

    fn required(schema: &Value) -> BTreeSet<&str> {
        schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
    }

    #[test]
    fn an_event_has_the_fields_of_its_schema_and_no_others() {
        let schema = EventView::json_schema(&mut SchemaGenerator::default()).to_value();
        let [full, least] = events();
        for event in [&full, &least] {
            assert_eq!(names(event), names(&schema["properties"]));
        }
        assert_eq!(names(&full), required(&schema));
        let details = &schema["properties"]["details"];
        assert_eq!(names(&full["details"]), names(&details["properties"]));
        assert_eq!(names(&least["details"]), required(details));
        let change = &details["properties"]["changes"]["items"];
        assert_eq!(names(&full["details"]["changes"][0]), required(change));
        assert_eq!(names(&change["properties"]), required(change));
    }
}
