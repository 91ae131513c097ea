//! Changes of groups, of their members and of their settings.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Plan;
use super::desired_token::DesiredToken;
use super::users::object;
use crate::cli::apply::change::{Action, Change, Field, Owner, Step};
use crate::cli::apply::service::{ServiceGroup, folded};
use crate::cli::client::Api;
use crate::cli::failure::Failure;
use crate::cli::group::at_path;
use crate::cli::if_missing::found;
use crate::domain::group::GroupPath;
use crate::settings::state::{End, GroupEntry, Level, MemberEntry, SETTINGS};

/// A group that is not in the file, above one that is.
struct Above {
    visibility: Value,
    /// True if the caller is an owner there.
    is_owned: bool,
}

impl Plan<'_> {
    /// Adds the changes of all groups of the file, and of what belongs to them.
    pub(super) async fn add_groups(&mut self, api: &Api) -> Result<(), Failure> {
        let (file, service) = (self.file, self.service);
        // The visibility of each group, those that are created included.
        let mut visibilities: BTreeMap<&str, Value> = BTreeMap::new();
        let (mut wider, mut narrower) = (Vec::new(), Vec::new());
        for (path, entry) in &file.groups {
            let created;
            let present = match service.groups.get(path) {
                Some(present) => present,
                None => {
                    let above = self.above(api, path, &visibilities).await?;
                    created = self.create_group(path, entry, above);
                    &created
                }
            };
            visibilities.insert(path.as_str(), present.group["visibility"].clone());
            self.add_members(path, entry, present);
            if let Some(change) = settings_change(path, entry, &present.group) {
                let is_wider = change.fields.iter().any(is_wider);
                if is_wider { wider.push(change) } else { narrower.push(change) }
            }
            let deploy = entry.deploy_tokens.iter();
            let deploy = deploy.map(|(name, token)| DesiredToken {
                given: token.given_secret_file.as_deref(),
                ..DesiredToken::new(name, &token.token, token.username.as_ref().map(|name| ("username", json!(name))))
            });
            self.add_tokens(&Owner::Deploy(path.to_string()), deploy.collect(), &present.deploy_tokens);
            let access = entry.access_tokens.iter().map(|(name, token)| {
                let level = token.access_level.map(|level| ("access_level", json!(level.number())));
                DesiredToken::new(name, &token.token, level)
            });
            self.add_tokens(&Owner::Access(path.to_string()), access.collect(), &present.access_tokens);
        }
        // No group may be more visible than the one above: wider settings are made from the top down, narrower ones
        // from the bottom up.
        self.settings = wider.into_iter().chain(narrower.into_iter().rev()).collect();
        Ok(())
    }

    /// Returns the group above a new one; `None` at the top, or if that is not there.
    async fn above(
        &mut self,
        api: &Api,
        path: &GroupPath,
        visibilities: &BTreeMap<&str, Value>,
    ) -> Result<Option<Above>, Failure> {
        let Some(parent) = path.lineage().nth(1) else { return Ok(None) };
        let is_new = |group: &str| !self.service.groups.keys().any(|known| known.as_str() == group);
        if let Some(visibility) = visibilities.get(parent)
            && is_new(parent)
        {
            // The caller creates the group above, too, and owns it or one above it.
            return Ok(Some(Above { visibility: visibility.clone(), is_owned: true }));
        }
        let Some(group) = at_path(api, parent).await? else {
            let problem = format!("the group above, {parent}, does not exist; add it to the file, or create it before");
            self.refuse(&["groups", path.as_str()], problem);
            return Ok(None);
        };
        let (id, caller) = (group["id"].to_string(), self.service.caller["id"].to_string());
        let own = found(api.show(&["groups", &id, "members", "all", &caller]).await)?;
        let is_owned = own.is_some_and(|member| member["access_level"] == Level::Owner.number());
        Ok(Some(Above { visibility: group["visibility"].clone(), is_owned }))
    }

    /// Adds the creation of a group, and returns the group as it will be then.
    fn create_group(&mut self, path: &GroupPath, entry: &GroupEntry, above: Option<Above>) -> ServiceGroup {
        if let Err(error) = path.check_new() {
            self.refuse(&["groups", path.as_str()], error.to_string());
        }
        let settings = entry.settings.fields();
        let part = path.last_part();
        let name = settings.get("name").cloned().unwrap_or_else(|| json!(part));
        let description = settings.get("description").cloned().unwrap_or_else(|| json!(""));
        let mut body = json!({ "name": name, "path": part, "description": description });
        let is_private = settings.get("visibility").is_some_and(|visibility| visibility == "private");
        let inherited = above.as_ref().map_or(json!("private"), |above| above.visibility.clone());
        let visibility = if is_private { json!("private") } else { inherited };
        if is_private {
            // A wider one may have to wait until the group above has it.
            body["visibility"] = visibility.clone();
        }
        let mut fields = vec![Field::new("name", name.clone()), Field::new("visibility", visibility.clone())];
        if description != "" {
            fields.push(Field::new("description", description.clone()));
        }
        let step = Step::CreateGroup { parent: path.lineage().nth(1).map(str::to_owned), body: object(body) };
        self.groups.push(Change { action: Action::Create, what: format!("group {path}"), fields, note: None, step });
        let mut members = BTreeMap::new();
        if !above.is_some_and(|above| above.is_owned) {
            // The service makes the creator an owner.
            let mut creator = self.service.caller.clone();
            creator["access_level"] = json!(Level::Owner.number());
            creator["expires_at"] = Value::Null;
            members.insert(folded(&creator["username"]), creator);
        }
        let group = json!({ "name": name, "description": description, "visibility": visibility });
        ServiceGroup { group, members, deploy_tokens: Vec::new(), access_tokens: Vec::new() }
    }

    fn add_members(&mut self, path: &GroupPath, entry: &GroupEntry, present: &ServiceGroup) {
        let mut later = Vec::new();
        for (name, wanted) in &entry.members {
            let member = present.members.get(&name.to_ascii_lowercase());
            let Some(change) = self.member_change(path, name, *wanted, member) else { continue };
            // A group always has an owner: other members are changed after one was added.
            if wanted.access_level == Level::Owner {
                self.members.push(change);
            } else if self.needs_membership_of(name) {
                self.own_members.push(change);
            } else {
                later.push(change);
            }
        }
        self.members.append(&mut later);
        if !self.prune {
            return;
        }
        let has_owner =
            entry.members.values().any(|member| member.access_level == Level::Owner && member.expires_at == End(None));
        for (name, member) in &present.members {
            let is_named = entry.members.keys().any(|named| named.eq_ignore_ascii_case(name));
            let level = level_of(member);
            if !is_named && (has_owner || level != Some(Level::Owner)) {
                let is_last = self.needs_membership_of(name);
                let members = if is_last { &mut self.own_members } else { &mut self.members };
                members.push(removal(path, member, level));
            }
        }
    }

    /// Returns true for the user name of the caller, if the changes are made with the rights of a member.
    fn needs_membership_of(&self, name: &str) -> bool {
        self.service.is_caller(name) && !self.service.by_administrator()
    }

    fn member_change(
        &mut self,
        path: &GroupPath,
        name: &str,
        wanted: MemberEntry,
        present: Option<&Value>,
    ) -> Option<Change> {
        let place = ["groups", path.as_str(), "members", name];
        let user = self.service.user(name);
        let is_named = self.file.users.keys().any(|named| named.eq_ignore_ascii_case(name));
        if user.is_none() && !is_named {
            self.refuse(&place, format!("there is no user {name}; add [users.{name}] to the file"));
        }
        let (level, end) = (wanted.access_level, json!(wanted.expires_at.0));
        let body = object(json!({ "access_level": level.number(), "expires_at": end }));
        let (group, username, what) = (path.to_string(), name.to_owned(), format!("member {name} of {path}"));
        let has_passed = wanted.expires_at.0.is_some_and(|end| end <= self.today);
        let Some(present) = present else {
            if has_passed {
                return None;
            }
            let mut fields = vec![Field::new("access_level", level.as_str())];
            fields.extend(wanted.expires_at.0.map(|end| Field::new("expires_at", end.to_string())));
            let step = Step::AddMember { group, username, body };
            return Some(Change { action: Action::Create, what, fields, note: None, step });
        };
        let mut fields = Vec::new();
        let before = level_of(present);
        if before != Some(level) {
            fields.push(Field::changed("access_level", before.map(Level::as_str), level.as_str()));
        }
        if present["expires_at"] != end {
            fields.push(Field::changed("expires_at", never(&present["expires_at"]), wanted.expires_at.to_string()));
        }
        if fields.is_empty() || (has_passed && present["expires_at"] == end) {
            return None;
        }
        if has_passed {
            self.refuse(&[&place[..], &["expires_at"]].concat(), "has passed; remove the member instead");
        }
        let step = Step::ChangeMember { group, username, body };
        Some(Change { action: Action::Change, what, fields, note: None, step })
    }
}

fn removal(path: &GroupPath, member: &Value, level: Option<Level>) -> Change {
    let username = member["username"].as_str().unwrap_or_default().to_owned();
    let what = format!("member {username} of {path}");
    let note = level.map(|level| format!("access_level {}", level.as_str()));
    let step = Step::RemoveMember { group: path.to_string(), username };
    Change { action: Action::Remove, what, fields: Vec::new(), note, step }
}

fn level_of(member: &Value) -> Option<Level> {
    member["access_level"].as_u64().and_then(Level::of_number)
}

/// Returns a day of the API as the file writes it.
pub(super) fn never(day: &Value) -> Value {
    if day.is_null() { json!("never") } else { day.clone() }
}

fn settings_change(path: &GroupPath, entry: &GroupEntry, group: &Value) -> Option<Change> {
    let wanted = entry.settings.fields();
    let (mut fields, mut body) = (Vec::new(), Map::new());
    for setting in SETTINGS {
        let Some(after) = wanted.get(setting.field).filter(|after| **after != group[setting.field]) else { continue };
        fields.push(Field::changed(setting.key, (setting.written)(&group[setting.field]), (setting.written)(after)));
        body.insert(setting.field.to_owned(), after.clone());
    }
    let step = Step::ChangeGroup { group: path.to_string(), body };
    let what = format!("group {path}");
    (!fields.is_empty()).then_some(Change { action: Action::Change, what, fields, note: None, step })
}

/// Returns true for a visibility that becomes wider.
fn is_wider(field: &Field) -> bool {
    let rank = |value: &Value| ["private", "internal", "public"].iter().position(|name| value == name);
    field.key == "visibility" && field.before.as_ref().is_some_and(|before| rank(before) < rank(&field.after))
}
