//! `export`: writes users, groups, members, tokens and settings of groups as a state file, which `apply` accepts.

mod text;

use clap::Args;
use serde_json::{Value, json};

use self::text::Text;
use super::apply::service::{Service, ServiceGroup, day, newest_by_name};
use super::client::Api;
use super::connection::Connection;
use super::failure::Failure;
use super::group::existing;
use super::output::{number_of, print_line, print_note};
use crate::domain::group::GroupPath;
use crate::settings::state::{Level, SETTINGS};

/// Arguments of `export`.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    connection: Connection,
    /// Write TOML; this is the default
    #[arg(long, conflicts_with = "json")]
    toml: bool,
    /// Only this group and the groups below it, and no users: full path; may be given several times
    #[arg(long, value_name = "GROUP")]
    group: Vec<GroupPath>,
}

/// Name of the tokens that `login` creates. They end soon, and are not exported.
const OF_LOGIN: &str = "login";

impl ExportArgs {
    /// Prints the file.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let api = self.connection.api()?;
        let caller = Service::caller(&api).await?;
        let is_administrator = caller["is_admin"] == true;
        let paths = paths(&api, is_administrator, &self.group).await?;
        let with_users = is_administrator && self.group.is_empty();
        let users = if with_users { api.list(&["users"], &[("humans", "true".to_owned())]).await? } else { Vec::new() };
        let names: Vec<&str> = users.iter().filter_map(|user| user["username"].as_str()).collect();
        let service = Service::fetch(&api, caller, &paths, names.iter().copied()).await?;
        let mut text = Text::default();
        text.comment(
            "Users, groups, members and tokens, as `dependency-proxy export --toml` has written them. No secret is",
        );
        text.comment(
            "here: `dependency-proxy apply --file FILE` writes those of what it creates to the files named here.",
        );
        for (name, user) in service.users.iter().filter(|(_, user)| with_users && user["bot"] != true) {
            add_user(&mut text, user, service.tokens.get(name).map(Vec::as_slice).unwrap_or_default());
        }
        for (path, group) in &service.groups {
            add_group(&mut text, path, group);
        }
        if text.left_out > 0 {
            let tokens = number_of(text.left_out, "token");
            print_note(&format!("Not in the file: {tokens}, because of several with one name it has the newest."));
        }
        let written = text.finish();
        if self.toml || !self.connection.json {
            print_line(written.trim_end());
            return Ok(());
        }
        let table: toml::Table = written.parse().map_err(|error| Failure::Unusable(format!("{error}")))?;
        let value = serde_json::to_value(table).map_err(|error| Failure::Unusable(error.to_string()))?;
        print_line(&format!("{value:#}"));
        Ok(())
    }
}

/// Returns the paths of these groups and of all groups below them; without any, those of all groups of which the caller
/// is an owner.
async fn paths(api: &Api, is_administrator: bool, groups: &[GroupPath]) -> Result<Vec<GroupPath>, Failure> {
    let mut found = Vec::new();
    if groups.is_empty() {
        // Administrators own all of them.
        let owned = if is_administrator { Vec::new() } else { vec![("owned", "true".to_owned())] };
        found = api.list(&["groups"], &owned).await?;
    }
    for group in groups {
        let group = existing(api, group.as_str()).await?;
        found.extend(api.list(&["groups", &group["id"].to_string(), "descendant_groups"], &[]).await?);
        found.push(group);
    }
    let paths = found.iter().filter_map(|group| group["full_path"].as_str()?.parse().ok());
    let mut paths: Vec<GroupPath> = paths.collect();
    paths.sort();
    paths.dedup();
    Ok(paths)
}

fn add_user(text: &mut Text, user: &Value, tokens: &[Value]) {
    let name = user["username"].as_str().unwrap_or_default();
    text.table(&["users", name]);
    text.key("name", &user["name"]);
    text.key("email", &user["email"]);
    text.key("admin", &user["is_admin"]);
    text.key("blocked", &Value::from(user["state"] == "blocked"));
    text.secret("password_file", &[&format!("{name}.password")]);
    let tokens: Vec<Value> = tokens.iter().filter(|token| token["name"] != OF_LOGIN).cloned().collect();
    add_tokens(text, &tokens, &["users", name, "tokens"], &[name, "personal"], None);
}

fn add_group(text: &mut Text, path: &GroupPath, group: &ServiceGroup) {
    let of_group = ["groups", path.as_str()];
    text.table(&of_group);
    for setting in SETTINGS {
        text.key(setting.key, &(setting.written)(&group.group[setting.field]));
    }
    if !group.members.is_empty() {
        text.table(&[&of_group[..], &["members"]].concat());
    }
    for member in group.members.values() {
        let name = member["username"].as_str().unwrap_or_default();
        let level = written_level(&member["access_level"]);
        let end = &member["expires_at"];
        if end.is_null() {
            text.key(name, &level);
        } else {
            text.key(name, &json!({"access_level": level, "expires_at": end}));
        }
    }
    let folder = path.as_str();
    let deploy = [&of_group[..], &["deploy_tokens"]].concat();
    add_tokens(text, &group.deploy_tokens, &deploy, &[folder, "deploy"], Some("username"));
    let access = [&of_group[..], &["access_tokens"]].concat();
    add_tokens(text, &group.access_tokens, &access, &[folder, "access"], Some("access_level"));
}

/// Adds tokens of one kind and owner. `own` is the field that only this kind has.
fn add_tokens(text: &mut Text, tokens: &[Value], table: &[&str], file: &[&str], own: Option<&str>) {
    let newest = newest_by_name(tokens);
    text.left_out += (tokens.len() - newest.len()) as u64;
    for (name, token) in newest {
        text.table(&[table, &[name]].concat());
        match own {
            Some("access_level") => text.key("access_level", &written_level(&token["access_level"])),
            Some(own) => text.key(own, &token[own]),
            None => {}
        }
        text.key("scopes", &token["scopes"]);
        let end = day(&token["expires_at"]);
        text.key("expires_at", &if end.is_null() { Value::from("never") } else { end });
        text.secret("secret_file", &[file, &[name]].concat());
    }
}

fn written_level(number: &Value) -> Value {
    number.as_u64().and_then(Level::of_number).map_or(Value::Null, |level| level.as_str().into())
}
