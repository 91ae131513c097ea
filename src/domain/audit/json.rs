//! The JSON of an audit event, in GitLab's shape: in the REST API, and in the file of events.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Author, Entity, Event, FieldChange, Who};
use crate::domain::id::EventId;

/// Value of `entity_type` for events of the whole service, and of none of its groups and users.
pub const SERVICE: &str = "Gitlab::Audit::InstanceScope";

/// Number of the entity of such events.
pub const SERVICE_ID: u64 = 1;

/// The class of an author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthorClass {
    /// A person, or the bot of a group access token.
    User,
    /// A deploy token.
    DeployToken,
    /// A caller whose credential is not known.
    Nobody,
    /// The service itself.
    Service,
    /// Somebody with access to the data folder.
    Operator,
}

/// Returns an event as JSON.
pub fn event(id: EventId, event: &Event) -> Value {
    let (entity_type, entity_id, _) = entity(&event.entity);
    json!({
        "id": id,
        "author_id": author_id(event.author.who),
        "entity_id": entity_id,
        "entity_type": entity_type,
        "event_name": event.name,
        "details": details(event),
        "created_at": format!("{:.3}", event.at),
    })
}

fn details(event: &Event) -> Map<String, Value> {
    let Author { name, token, token_name, address, user_agent, .. } = &event.author;
    let mut details = Map::new();
    let mut add = |key: &str, value: Value| drop(details.insert(key.to_owned(), value));
    add("event_name", json!(event.name));
    add("custom_message", json!(event.message));
    add("author_name", json!(author_name(event.author.who, name)));
    add("author_class", json!(AuthorClass::of(event.author.who)));
    add("token_id", json!(token));
    add("token_name", json!(token_name));
    add("target_id", json!(event.target.id));
    add("target_type", json!(event.target.kind));
    add("target_details", json!(event.target.name));
    add("ip_address", json!(address));
    add("user_agent", json!(user_agent));
    add("entity_path", json!(entity(&event.entity).2));
    if let [FieldChange { field, from, to }] = event.changes.as_slice() {
        add("change", json!(field));
        add("from", json!(from));
        add("to", json!(to));
    }
    if !event.changes.is_empty() {
        let changes: Vec<Value> = event.changes.iter().map(change).collect();
        add("changes", Value::Array(changes));
    }
    if let Some(failure) = &event.failure {
        add("failure", json!(failure));
    }
    if let Some(sum) = event.sum {
        add("count", json!(sum.count));
        add("last_at", json!(format!("{:.3}", sum.last)));
    }
    if event.left_out > 0 {
        add("left_out", json!(event.left_out));
    }
    details
}

fn change(change: &FieldChange) -> Value {
    json!({ "change": change.field, "from": change.from, "to": change.to })
}

/// Returns the type, the number and the path of an entity.
fn entity(entity: &Entity) -> (&'static str, u64, &str) {
    match entity {
        Entity::Service => (SERVICE, SERVICE_ID, "gitlab_instance"),
        Entity::Group { id, path } => ("Group", id.0, path),
        Entity::User { id, name } => ("User", id.0, name),
    }
}

/// Returns the number of an author; GitLab has negative ones for those who are no users.
pub(super) fn author_id(who: Who) -> i64 {
    match who {
        Who::User(id) => i64::try_from(id.0).unwrap_or(i64::MAX),
        Who::Nobody => -1,
        Who::DeployToken => -2,
        Who::Service | Who::Operator => 0,
    }
}

fn author_name(who: Who, name: &str) -> &str {
    match who {
        Who::User(_) | Who::DeployToken => name,
        Who::Nobody => "An unauthenticated user",
        Who::Service => "(Service)",
        Who::Operator => "(Operator)",
    }
}

impl AuthorClass {
    /// All classes.
    pub const ALL: [Self; 5] = [Self::User, Self::DeployToken, Self::Nobody, Self::Service, Self::Operator];

    fn of(who: Who) -> Self {
        match who {
            Who::User(_) => Self::User,
            Who::DeployToken => Self::DeployToken,
            Who::Nobody => Self::Nobody,
            Who::Service => Self::Service,
            Who::Operator => Self::Operator,
        }
    }
}
