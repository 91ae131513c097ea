//! The changes of a plan: a line for people, an object for programs, and the request that makes each.

use std::path::PathBuf;

use secrecy::SecretString;
use serde_json::{Map, Value, json};

/// A change of one object.
pub(super) struct Change {
    pub(super) action: Action,
    /// The object, such as `member bob of team`.
    pub(super) what: String,
    /// The fields that change, in the words of the file.
    pub(super) fields: Vec<Field>,
    /// A remark at the end of the line.
    pub(super) note: Option<String>,
    pub(super) step: Step,
}

/// Kind of a change of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Create,
    Change,
    Remove,
}

/// A field of an object. `before` is `None` for a new object.
pub(super) struct Field {
    pub(super) key: &'static str,
    pub(super) before: Option<Value>,
    pub(super) after: Value,
}

/// The request that makes a change. Users are named by their user names, because new ones have no number yet.
pub(super) enum Step {
    CreateUser {
        username: String,
        body: Map<String, Value>,
        password: Password,
    },
    ChangeUser {
        username: String,
        body: Map<String, Value>,
    },
    Block {
        username: String,
        blocked: bool,
    },
    CreateGroup {
        parent: Option<String>,
        body: Map<String, Value>,
    },
    ChangeGroup {
        group: String,
        body: Map<String, Value>,
    },
    AddMember {
        group: String,
        username: String,
        body: Map<String, Value>,
    },
    ChangeMember {
        group: String,
        username: String,
        body: Map<String, Value>,
    },
    RemoveMember {
        group: String,
        username: String,
    },
    CreateToken {
        owner: Owner,
        body: Map<String, Value>,
        secret: TokenSecret,
        is_endless: bool,
    },
    /// Gives a token a new secret, because its first one was not written.
    RenewToken {
        owner: Owner,
        id: u64,
        body: Map<String, Value>,
        file: PathBuf,
    },
    EndToken {
        owner: Owner,
        id: u64,
        end: Value,
    },
    RevokeToken {
        owner: Owner,
        id: u64,
    },
}

/// The password of a new user.
pub(super) enum Password {
    /// The user has none.
    None,
    /// The one in the file that the state file names.
    Given(SecretString),
    /// A generated one, which is written to this new file.
    Generated(PathBuf),
}

/// The secret of a new token.
pub(super) enum TokenSecret {
    /// The one in this file.
    Given(PathBuf, SecretString),
    /// A generated one, which is written to this new file.
    Generated(PathBuf),
}

/// The owner of a token, which decides its kind.
#[derive(Clone)]
pub(super) enum Owner {
    Deploy(String),
    Access(String),
    User(String),
}

impl Change {
    /// Returns the change as one line: the object, and for each field its value before and after.
    pub(super) fn line(&self) -> String {
        let sign = match self.action {
            Action::Create => '+',
            Action::Change => '~',
            Action::Remove => '-',
        };
        let field = |field: &Field| match &field.before {
            Some(before) => format!("{} {} -> {}", field.key, shown(before), shown(&field.after)),
            None => format!("{} {}", field.key, shown(&field.after)),
        };
        let parts: Vec<String> = self.fields.iter().map(field).chain(self.note.clone()).collect();
        let parts = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
        format!("{sign} {}{parts}", self.what)
    }

    /// Returns the change as an object, with the state of its execution.
    pub(super) fn json(&self, state: &str) -> Value {
        let fields = self.fields.iter().map(|field| {
            let mut values = json!({ "after": field.after });
            if let Some(before) = &field.before {
                values["before"] = before.clone();
            }
            (field.key.to_owned(), values)
        });
        let action = match self.action {
            Action::Create => "create",
            Action::Change => "change",
            Action::Remove => "remove",
        };
        json!({
            "action": action,
            "object": self.what,
            "fields": fields.collect::<Map<_, _>>(),
            "note": self.note,
            "state": state,
        })
    }

    /// Returns the new file of a secret that this change needs.
    pub(super) fn new_file(&self) -> Option<&PathBuf> {
        match &self.step {
            Step::CreateUser { password: Password::Generated(file), .. }
            | Step::CreateToken { secret: TokenSecret::Generated(file), .. }
            | Step::RenewToken { file, .. } => Some(file),
            Step::CreateUser { password: Password::None | Password::Given(_), .. }
            | Step::ChangeUser { .. }
            | Step::Block { .. }
            | Step::CreateGroup { .. }
            | Step::ChangeGroup { .. }
            | Step::AddMember { .. }
            | Step::ChangeMember { .. }
            | Step::RemoveMember { .. }
            | Step::CreateToken { secret: TokenSecret::Given(..), .. }
            | Step::EndToken { .. }
            | Step::RevokeToken { .. } => None,
        }
    }
}

impl Field {
    /// Returns the field of a new object.
    pub(super) fn new(key: &'static str, after: impl Into<Value>) -> Self {
        Self { key, before: None, after: after.into() }
    }

    /// Returns the field of an object that changes.
    pub(super) fn changed(key: &'static str, before: impl Into<Value>, after: impl Into<Value>) -> Self {
        Self { key, before: Some(before.into()), after: after.into() }
    }
}

impl Owner {
    /// Returns a token of this owner in words.
    pub(super) fn token(&self, name: &str) -> String {
        match self {
            Self::Deploy(group) => format!("deploy token '{name}' of {group}"),
            Self::Access(group) => format!("group access token '{name}' of {group}"),
            Self::User(user) => format!("personal access token '{name}' of {user}"),
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) if text.is_empty() || text.contains(char::is_whitespace) => format!("{text:?}"),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join("+"),
        Value::Null => "none".to_owned(),
        Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_one_line_with_what_was_and_what_will_be() {
        let step = || Step::RemoveMember { group: String::new(), username: String::new() };
        let fields = vec![Field::changed("name", "a\nb", "The Team"), Field::changed("admin", false, true)];
        let change = Change { action: Action::Change, what: "user bob".to_owned(), fields, note: None, step: step() };
        assert_eq!(change.line(), "~ user bob: name \"a\\nb\" -> \"The Team\", admin no -> yes");
        let fields = vec![Field::new("scopes", json!(["api", "read_api"]))];
        let note = Some("its secret is written to x".to_owned());
        let change = Change { action: Action::Create, what: "x".to_owned(), fields, note, step: step() };
        assert_eq!(change.line(), "+ x: scopes api+read_api, its secret is written to x");
    }
}
