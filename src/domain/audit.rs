//! Audit events: who changed what, from where, and what was refused. The store keeps them for a time, and the REST API
//! shows them in GitLab's shape.
//!
//! An event of a change belongs to the change: both are stored, or neither. What has no change of its own (a sign-in, a
//! refusal) is summed up: one event stands for all of a minute that are alike.
//!
//! No event contains a secret or the hash of one.
//!
//! | module | content |
//! |---|---|
//! | [`changes`] | the events of a change of identities, from its writes |
//! | [`json`] | an event as JSON |
//! | [`names`] | the names of events, and their kinds |
//! | [`query`] | which events a reader wants |
//! | [`retention`] | which events are kept |

pub mod changes;
pub mod json;
pub mod names;
pub mod query;
pub mod retention;

use std::borrow::Cow;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::id::{GroupId, TokenId, UserId};

/// An audit event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The time of the change; of a sum, the first time.
    pub at: Timestamp,
    /// The principal who did it.
    pub author: Author,
    /// The name of the event, such as `deploy_token_created`.
    pub name: String,
    /// The event in words.
    pub message: String,
    /// The object to which the event belongs. Owners of a group see the events of the group.
    pub entity: Entity,
    /// The object that was changed, or that a refusal is about.
    pub target: Target,
    /// The fields that were changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FieldChange>,
    /// The reason why it did not happen, of a refusal or of a change that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The number of times, of a sum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<Sum>,
    /// Number of further objects of the same change that have no event of their own, because there are too many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: usize,
}

/// The principal who did something, and from where. Names are those of that time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Author {
    /// The principal.
    pub who: Who,
    /// The user name of the principal; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The number of the token that was presented; `None` for a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// The name of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_name: Option<String>,
    /// The address of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The client program, as it names itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

/// The kind of a principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// A person, or the bot of a group access token.
    User(UserId),
    /// A deploy token.
    DeployToken,
    /// A caller whose credential is not known.
    Nobody,
    /// The service itself, as when it removes old tokens.
    Service,
    /// Somebody with access to the data folder, by a command on this machine.
    Operator,
}

/// The object to which an event belongs. Names are those of that time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entity {
    /// The whole service.
    Service,
    /// A group.
    Group {
        /// The number of the group.
        id: GroupId,
        /// The path of the group.
        path: String,
    },
    /// A user.
    User {
        /// The number of the user.
        id: UserId,
        /// The name of the user.
        name: String,
    },
}

/// The object that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The kind, such as `DeployToken`.
    pub kind: Cow<'static, str>,
    /// The number, if the object has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// The name.
    pub name: String,
}

/// The values of a field before and after. Both are `None` if the values are secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The name of the field.
    pub field: String,
    /// The value before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// The value after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

/// The number of times of something that is summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// Number of times.
    pub count: u64,
    /// The last time.
    pub last: Timestamp,
}

/// Maximum length of a text in an event, in characters. Longer ones are cut.
pub const MAX_TEXT_CHARS: usize = 300;

impl Author {
    /// Returns an author without a client, for what the service or an operator does.
    pub fn local(who: Who) -> Self {
        Self { who, name: String::new(), token: None, token_name: None, address: None, user_agent: None }
    }
}

impl FieldChange {
    /// Returns the changes of those parts that differ, of a field with parts; of any other field the change itself.
    pub fn parts(&self) -> Vec<Self> {
        let nothing = Map::new();
        let (old, new) = (self.from.as_ref().and_then(Value::as_object), self.to.as_ref().and_then(Value::as_object));
        if old.is_none() && new.is_none() {
            return vec![self.clone()];
        }
        let (old, new) = (old.unwrap_or(&nothing), new.unwrap_or(&nothing));
        // A part that is missing is not set, as one that is null.
        let present = |value: Option<&Value>| value.filter(|value| !value.is_null()).cloned();
        let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
        let changes =
            names.map(|name| Self { field: name.clone(), from: present(old.get(name)), to: present(new.get(name)) });
        changes.filter(|change| change.from != change.to).collect()
    }
}

impl Entity {
    /// Returns the group, if it is one.
    pub fn group(&self) -> Option<GroupId> {
        if let Self::Group { id, .. } = self { Some(*id) } else { None }
    }
}

impl Event {
    /// Creates an event without changed fields.
    pub fn new(at: Timestamp, author: Author, (name, message): (&str, &str), entity: Entity, target: Target) -> Self {
        let (name, message) = (name.to_owned(), message.to_owned());
        Self { at, author, name, message, entity, target, changes: Vec::new(), failure: None, sum: None, left_out: 0 }
    }

    /// Replaces every text that a caller chose by what `shown` returns for it, and cuts it to [`MAX_TEXT_CHARS`].
    pub fn with_texts(mut self, shown: impl Fn(&str) -> String) -> Self {
        let shown = |text: &mut String| *text = cut(&shown(text));
        let Author { name, token_name, user_agent, .. } = &mut self.author;
        [Some(name), token_name.as_mut(), user_agent.as_mut()].into_iter().flatten().for_each(&shown);
        shown(&mut self.target.name);
        self.failure.iter_mut().for_each(&shown);
        for change in &mut self.changes {
            for value in [&mut change.from, &mut change.to].into_iter().flatten() {
                if let Value::String(text) = value {
                    shown(text);
                } else if !is_short(value) {
                    *value = Value::String(cut(&value.to_string()));
                }
            }
        }
        self
    }
}

/// Returns true for a value that is not cut, and in which a caller chose no text.
fn is_short(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(_) => false,
        Value::Array(_) | Value::Object(_) => value.to_string().len() <= MAX_TEXT_CHARS,
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}
