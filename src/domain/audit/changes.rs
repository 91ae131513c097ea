//! The events of a change of identities: one for each record that it creates, changes or removes, as far as a record is
//! of interest by itself. A bot user has none, because its group access token has one.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use serde_json::Value;

use super::{Author, Entity, Event, FieldChange, Target};
use crate::domain::commands::summary::{self, fields, is_blank, is_hidden, is_shown, token_name};
use crate::domain::directory::{Directory, Record, Write};
use crate::domain::group::Group;
use crate::domain::id::{AccountId, GroupId, TokenId, UserId};
use crate::domain::repository::UpstreamName;
use crate::domain::token::{Token, TokenOwner};

/// Maximum number of events of one change, because the single writer of the directory waits for them. Records of which
/// many may change at once come last; the last event of an object has the number of its records beyond.
pub const MAX_EVENTS: usize = 200;

/// Fields with values that mean nothing to people.
const LEFT_OUT: [&str; 2] = ["credential", "created_at"];

/// The origin of a change.
#[derive(Clone, Debug)]
pub struct ChangeOrigin {
    /// The principal who makes it.
    pub author: Author,
    /// The change in words.
    pub message: &'static str,
}

/// A change with the identities before and after it.
struct Change<'a> {
    before: &'a Directory,
    after: &'a Directory,
}

/// Returns the events of a change with these writes, made at this time.
pub fn events(
    (before, after): (&Directory, &Directory),
    writes: &[Write],
    origin: &ChangeOrigin,
    at: Timestamp,
) -> Vec<Event> {
    let change = Change { before, after };
    let mut affected: Vec<Affected> = writes.iter().filter_map(|write| change.affected(write)).collect();
    affected.sort_by_key(|one| one.rank);
    let left_out = affected.split_off(affected.len().min(MAX_EVENTS));
    let mut events: Vec<Event> = affected.into_iter().map(|one| one.event(&change, origin, at)).collect();
    count(left_out, &mut events);
    events
}

/// A record that is of interest by itself, before and after the change.
struct Affected<'a> {
    old: Option<Record>,
    new: Option<&'a Record>,
    /// The records of the lowest rank have events first.
    rank: u8,
    entity: Entity,
    target: Target,
}

impl Affected<'_> {
    fn event(self, change: &Change<'_>, origin: &ChangeOrigin, at: Timestamp) -> Event {
        let (old, new) = (self.old.as_ref(), self.new);
        let name = name(old, new, at);
        let event = Event::new(at, origin.author.clone(), (&name, origin.message), self.entity, self.target);
        let changes = field_changes(old, new).into_iter().map(|field| change.with_names(field)).collect();
        Event { changes, ..event }
    }
}

/// Adds the numbers of records without an event to the last event of the same object, or else to the last of all.
fn count(left_out: Vec<Affected>, events: &mut [Event]) {
    let mut numbers: HashMap<Entity, usize> = HashMap::new();
    for one in left_out {
        *numbers.entry(one.entity).or_default() += 1;
    }
    for (entity, number) in numbers {
        let of_same = events.iter().rposition(|event| event.entity == entity).or(events.len().checked_sub(1));
        if let Some(event) = of_same.and_then(|position| events.get_mut(position)) {
            event.left_out += number;
        }
    }
}

fn rank(record: &Record) -> u8 {
    match record {
        Record::Service(_) => 0,
        Record::Group(_) | Record::User(_) => 1,
        Record::Membership(_) => 2,
        Record::Token(_) | Record::Tombstone(_) => 3,
    }
}

fn is_part_of_another(record: &Record) -> bool {
    match record {
        Record::User(user) => user.bot_of.is_some(),
        Record::Tombstone(_) => true,
        Record::Group(_) | Record::Membership(_) | Record::Token(_) | Record::Service(_) => false,
    }
}

/// Returns the name of the event of a record that was `old` and is `new`.
fn name(old: Option<&Record>, new: Option<&Record>, at: Timestamp) -> String {
    let done = match (old, new) {
        (None, _) => "created",
        (Some(_), None) => "destroyed",
        (Some(_), Some(_)) => "updated",
    };
    match (old, new) {
        (Some(Record::User(old)), Some(Record::User(new))) if old.blocked != new.blocked => {
            if new.blocked { "user_blocked" } else { "user_unblocked" }.to_owned()
        }
        (Some(Record::User(old)), Some(Record::User(new))) if old.password != new.password => {
            "user_password_updated".to_owned()
        }
        (Some(Record::Group(old)), Some(Record::Group(new))) if ids(old) != ids(new) => account_event(old, new),
        (Some(Record::Token(old)), new) => {
            let new = if let Some(Record::Token(new)) = new { Some(new) } else { None };
            format!("{}_{}", token_noun(old), token_done(old, new, at))
        }
        (None, Some(Record::Token(new))) => format!("{}_created", token_noun(new)),
        (Some(Record::User(_)), _) | (None, Some(Record::User(_))) => format!("user_{done}"),
        (Some(Record::Group(_)), _) | (None, Some(Record::Group(_))) => format!("group_{done}"),
        (Some(Record::Membership(_)), _) | (None, Some(Record::Membership(_))) => format!("member_{done}"),
        (Some(Record::Service(_) | Record::Tombstone(_)), _)
        | (None, Some(Record::Service(_) | Record::Tombstone(_)) | None) => "application_settings_updated".to_owned(),
    }
}

/// Returns the ids of the accounts of a group at upstreams.
fn ids(group: &Group) -> Vec<(&UpstreamName, AccountId)> {
    group.upstream_accounts.iter().map(|(upstream, account)| (upstream, account.id)).collect()
}

/// Returns the name of the event of a group whose accounts at upstreams have changed.
fn account_event(old: &Group, new: &Group) -> String {
    let done = match old.upstream_accounts.len().cmp(&new.upstream_accounts.len()) {
        Ordering::Less => "created",
        Ordering::Equal => "updated",
        Ordering::Greater => "destroyed",
    };
    format!("group_upstream_account_{done}")
}

fn token_noun(token: &Token) -> String {
    token.owner.noun().replace(' ', "_")
}

/// Returns what happened to a token that exists already: one that is removed while it is valid is revoked, and one that
/// ended before is destroyed.
fn token_done(old: &Token, new: Option<&Token>, at: Timestamp) -> &'static str {
    match new {
        None if old.is_active(at) => "revoked",
        None => "destroyed",
        Some(new) if new.revoked_at.is_some() && old.revoked_at.is_none() => "revoked",
        Some(new) if new.secret != old.secret => "rotated",
        Some(_) => "updated",
    }
}

impl Change<'_> {
    fn affected<'a>(&self, write: &'a Write) -> Option<Affected<'a>> {
        if !is_shown(self.before, write) {
            return None;
        }
        let (old, new) = match write {
            Write::Put(record) => (self.before.record(record.key()), Some(record)),
            Write::Remove(key) => (self.before.record(*key), None),
        };
        let record = new.or(old.as_ref()).filter(|record| !is_part_of_another(record))?;
        let (rank, entity, target) = (rank(record), self.entity(record), self.target(record));
        Some(Affected { old, new, rank, entity, target })
    }

    fn entity(&self, record: &Record) -> Entity {
        match record {
            Record::User(user) => Entity::User { id: user.id, name: user.username.to_string() },
            Record::Group(group) => Entity::Group { id: group.id, path: group.path.to_string() },
            Record::Membership(member) => self.group(member.group),
            Record::Token(token) => match token.owner {
                TokenOwner::Personal { user } => Entity::User { id: user, name: self.username(user) },
                TokenOwner::Group { group, .. } | TokenOwner::Deploy { group, .. } => self.group(group),
            },
            Record::Service(_) | Record::Tombstone(_) => Entity::Service,
        }
    }

    fn target(&self, record: &Record) -> Target {
        let (kind, id, name) = match record {
            Record::User(user) => ("User", Some(user.id.0), user.username.to_string()),
            Record::Group(group) => ("Group", Some(group.id.0), group.path.to_string()),
            Record::Membership(member) => ("User", Some(member.user.0), self.username(member.user)),
            Record::Token(token) => {
                let kind = match token.owner {
                    TokenOwner::Personal { .. } => "PersonalAccessToken",
                    TokenOwner::Group { .. } => "GroupAccessToken",
                    TokenOwner::Deploy { .. } => "DeployToken",
                };
                (kind, Some(token.id.0), token.name.clone())
            }
            Record::Service(_) | Record::Tombstone(_) => ("ApplicationSetting", None, "settings".to_owned()),
        };
        Target { kind: kind.into(), id, name }
    }

    fn group(&self, id: GroupId) -> Entity {
        let group = self.after.group(id).or_else(|| self.before.group(id));
        Entity::Group { id, path: group.map(|group| group.path.to_string()).unwrap_or_default() }
    }

    /// Returns a change of a field in which numbers of tokens, users and groups have their names beside them.
    fn with_names(&self, mut field: FieldChange) -> FieldChange {
        for value in [&mut field.from, &mut field.to].into_iter().flatten() {
            if let Some(named) = value.as_u64().and_then(|number| self.named(&field.field, number)) {
                *value = Value::String(named);
            }
        }
        field
    }

    /// Returns the number and the name of what a field refers to; `None` for a field that refers to nothing.
    fn named(&self, field: &str, number: u64) -> Option<String> {
        let (token, user, group) = (TokenId(number), UserId(number), GroupId(number));
        Some(match field {
            "made_by" | "rests_on" | "replaced_by" => {
                let token = self.after.token(token).or_else(|| self.before.token(token));
                token.map_or_else(|| format!("token {number}"), |token| token_name(self.directory_with(token), token))
            }
            "created_by" => summary::user(if self.after.user(user).is_some() { self.after } else { self.before }, user),
            "parent" => summary::group(if self.after.group(group).is_some() { self.after } else { self.before }, group),
            _ => return None,
        })
    }

    /// Returns the directory that has the owner of a token: that after the change, if it has the token.
    fn directory_with(&self, token: &Token) -> &Directory {
        if self.after.token(token.id).is_some() { self.after } else { self.before }
    }

    fn username(&self, id: UserId) -> String {
        let user = self.after.user(id).or_else(|| self.before.user(id));
        user.map(|user| user.username.to_string()).unwrap_or_default()
    }
}

/// Returns the fields that differ, with the values before and after; of secrets only the name. Of a record that is
/// created or removed, fields that nobody has set are left out.
fn field_changes(old: Option<&Record>, new: Option<&Record>) -> Vec<FieldChange> {
    let is_kept = old.is_some() && new.is_some();
    let (old, new) = (old.map(fields).unwrap_or_default(), new.map(fields).unwrap_or_default());
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let is_counter = |name: &str| name.starts_with("last_") || name.starts_with("skipped_");
    let differ = names.into_iter().filter(|name| !is_counter(name) && old.get(*name) != new.get(*name));
    let shown = differ.filter(|name| !LEFT_OUT.contains(&name.as_str())).filter_map(|name| {
        if is_hidden(name) {
            return is_kept.then(|| FieldChange { field: name.clone(), from: None, to: None });
        }
        let value = |fields: &serde_json::Map<String, Value>| {
            fields.get(name).filter(|value| is_kept || !is_blank(value)).cloned()
        };
        let (from, to) = (value(&old), value(&new));
        (from.is_some() || to.is_some()).then(|| FieldChange { field: name.clone(), from, to })
    });
    shown.collect()
}

#[cfg(test)]
mod tests;
