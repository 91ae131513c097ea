//! Summaries of changes for the log: the records that a change creates, changes and removes, with their fields.
//! Secrets and their hashes are left out.

use serde_json::{Map, Value};

use crate::domain::directory::{Directory, Record, RecordKey, Write};
use crate::domain::id::{GroupId, UserId};
use crate::domain::token::{Token, TokenOwner};

/// Maximum number of records of one change that are described; the others are counted.
const MAX_DESCRIBED: usize = 10;
/// Maximum length of a value that is shown, in characters.
const MAX_VALUE_CHARS: usize = 80;
/// Fields whose values are not shown: hashes of secrets, and values that mean nothing to people.
const HIDDEN: [&str; 5] = ["secret", "old_secret", "password", "credential", "created_at"];

/// Fields that are left out: numbers that the name has, and the time of the change itself.
const LEFT_OUT: [&str; 4] = ["record", "id", "end_changed_at", "block_changed_at"];
/// Field with the accounts of a group at upstreams, of which fields of their own show the user name and whether the
/// password has changed.
const ACCOUNTS: &str = "upstream_accounts";
/// Field with the end of the secret that a rotation replaced, in place of that secret.
const OLD_SECRET_END: &str = "old_secret_expires_at";

/// Returns the effect of these writes on this directory, as one line; it is empty if they change nothing of interest.
pub fn summary(before: &Directory, writes: &[Write]) -> String {
    let mut shown = writes.iter().filter(|write| is_shown(before, write));
    // The single writer of the directory waits for this, so only what is shown is described.
    let mut text =
        shown.by_ref().take(MAX_DESCRIBED).map(|write| describe(before, write)).collect::<Vec<_>>().join("; ");
    let more = shown.count();
    if more > 0 {
        text.push_str(&format!("; {more} more"));
    }
    text
}

/// Returns true if a write is of interest. Tombstones belong to tokens, counters change with every new record, and a
/// record may be written again as it is.
pub(in crate::domain) fn is_shown(before: &Directory, write: &Write) -> bool {
    match write {
        Write::Put(Record::Tombstone(_)) | Write::Remove(RecordKey::Tombstone(_) | RecordKey::Service) => false,
        Write::Put(Record::Service(service)) => service.proxy_enabled != before.service().proxy_enabled,
        Write::Put(record @ (Record::User(_) | Record::Group(_) | Record::Membership(_) | Record::Token(_))) => {
            before.record(record.key()).as_ref() != Some(record)
        }
        Write::Remove(
            key @ (RecordKey::User(_) | RecordKey::Group(_) | RecordKey::Membership(..) | RecordKey::Token(_)),
        ) => before.record(*key).is_some(),
    }
}

fn describe(before: &Directory, write: &Write) -> String {
    match write {
        Write::Put(record) => {
            let old = before.record(record.key());
            format!("{} {}", name(before, record), change(old.as_ref(), record))
        }
        Write::Remove(key) => {
            before.record(*key).map_or_else(String::new, |record| format!("{} removed", name(before, &record)))
        }
    }
}

fn change(old: Option<&Record>, new: &Record) -> String {
    let fields = changed(old, new);
    match (old.is_some(), fields.is_empty()) {
        (true, true) => "changed".to_owned(),
        (true, false) => format!("changed ({fields})"),
        (false, true) => "created".to_owned(),
        (false, false) => format!("created ({fields})"),
    }
}

fn name(directory: &Directory, record: &Record) -> String {
    match record {
        Record::User(user) => format!("user {} {:?}", user.id, user.username.as_str()),
        Record::Group(group) => format!("group {} {:?}", group.id, group.path.as_str()),
        Record::Membership(member) => {
            format!("membership of {} in {}", user(directory, member.user), group(directory, member.group))
        }
        Record::Token(token) => token_name(directory, token),
        Record::Tombstone(stone) => format!("token {:?}", stone.name),
        Record::Service(_) => "service".to_owned(),
    }
}

/// Returns the kind, number, name and owner of a token.
pub fn token_name(directory: &Directory, token: &Token) -> String {
    let owner = match &token.owner {
        TokenOwner::Personal { user: id } => user(directory, *id),
        TokenOwner::Group { group: id, .. } | TokenOwner::Deploy { group: id, .. } => group(directory, *id),
    };
    format!("{} {} {:?} of {owner}", token.owner.noun(), token.id, token.name)
}

/// Returns the number and name of a user.
pub(in crate::domain) fn user(directory: &Directory, id: UserId) -> String {
    directory.user(id).map_or_else(|| format!("user {id}"), |user| format!("user {id} {:?}", user.username.as_str()))
}

/// Returns the number and path of a group.
pub(in crate::domain) fn group(directory: &Directory, id: GroupId) -> String {
    directory.group(id).map_or_else(|| format!("group {id}"), |group| format!("group {id} {:?}", group.path.as_str()))
}

/// Returns the fields of a record that have changed, each with its values before and after.
fn changed(old: Option<&Record>, new: &Record) -> String {
    let (old, new) = (old.map(fields).unwrap_or_default(), fields(new));
    let is_counter = |name: &str| name.starts_with("last_");
    let names = new.keys().chain(old.keys().filter(|name| !new.contains_key(*name)));
    let names = names.filter(|name| !is_counter(name) && old.get(*name) != new.get(*name));
    names.filter_map(|name| field(name, old.get(name), new.get(name))).collect::<Vec<_>>().join(", ")
}

fn field(name: &str, old: Option<&Value>, new: Option<&Value>) -> Option<String> {
    if is_hidden(name) {
        return (old.is_some() && name != "credential").then(|| name.to_owned());
    }
    match old {
        Some(old) => Some(format!("{name} {} -> {}", shown(Some(old)), shown(new))),
        None => new.filter(|new| !is_blank(new)).map(|new| format!("{name} {}", shown(Some(new)))),
    }
}

/// Returns the fields of a record by name, without numbers that its name has.
pub(in crate::domain) fn fields(record: &Record) -> Map<String, Value> {
    let mut fields = serde_json::to_value(record).ok().and_then(|value| value.as_object().cloned()).unwrap_or_default();
    fields.retain(|name, _| !LEFT_OUT.contains(&name.as_str()));
    if let Record::Token(Token { old_secret: Some(old), .. }) = record {
        fields.insert(OLD_SECRET_END.to_owned(), Value::String(old.expires_at.to_string()));
    }
    if let Record::Group(group) = record {
        fields.remove(ACCOUNTS);
        for (upstream, account) in &group.upstream_accounts {
            let field = |name: &str| format!("{ACCOUNTS}.{upstream}.{name}");
            fields.insert(field("identity"), Value::String(account.username.clone()));
            // The id is new with each password.
            fields.insert(field("secret"), Value::String(account.id.to_string()));
        }
    }
    fields
}

/// Returns true if the values of this field are not shown.
pub(in crate::domain) fn is_hidden(name: &str) -> bool {
    HIDDEN.contains(&name) || (name.starts_with(ACCOUNTS) && name.ends_with(".secret"))
}

/// Returns true for the value of a field that nobody has set.
pub(in crate::domain) fn is_blank(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Bool(false)) || *value == "" || value.as_array().is_some_and(Vec::is_empty)
}

fn shown(value: Option<&Value>) -> String {
    let text = value.unwrap_or(&Value::Null).to_string();
    match text.char_indices().nth(MAX_VALUE_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
