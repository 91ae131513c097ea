//! `group`: subcommands for groups, the teams that pull.

mod settings;
mod upstream_account;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Api;
use super::confirmation::Confirmation;
use super::connection::Connection;
use super::failure::Failure;
use super::if_missing::{IfMissing, found};
use super::output::{Columns, Output};
use settings::{CacheSettings, Profile, in_options};
use upstream_account::AccountArgs;

/// Arguments of `group`.
#[derive(Debug, Args)]
pub(super) struct GroupArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: GroupVerb,
}

#[derive(Debug, Subcommand)]
enum GroupVerb {
    /// Create a group; the groups above it in the path must exist
    #[command(after_help = "Example: dependency-proxy group create team/ci --description Builds --if-missing")]
    Create {
        /// Full path of the group, such as team or team/ci. Reserved at the top level: api, v2, jwt, groups, library,
        /// healthz, readyz and the names of upstreams; reserved at every level: dependency_proxy
        path: String,
        #[command(flatten)]
        profile: Profile,
        #[command(flatten)]
        if_missing: IfMissing,
    },
    /// List the groups
    #[command(after_help = "Example: dependency-proxy group list --search ci")]
    List {
        /// Only groups whose name or path contains this text
        #[arg(long)]
        search: Option<String>,
    },
    /// Show one group
    #[command(after_help = "Example: dependency-proxy group show team/ci")]
    Show {
        /// Full path or number
        group: String,
    },
    /// Change a group
    #[command(after_help = "Example: dependency-proxy group change team --max-size 50GB --unpulled-days 90")]
    Change {
        /// Full path or number
        group: String,
        #[command(flatten)]
        profile: Profile,
        #[command(flatten)]
        cache: CacheSettings,
    },
    /// Accounts of a group at upstreams, which it uses instead of those of the service: list, set, delete, test
    UpstreamAccount(AccountArgs),
    /// Delete a group with all groups below it, their members, tokens and caches; lists them and asks for confirmation
    #[command(after_help = "Example: dependency-proxy group delete team/ci --yes")]
    Delete {
        /// Full path or number
        group: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Empty the cache of a group, its pinned images too, without the groups below it; shows its size and asks for
    /// confirmation
    #[command(after_help = "Example: dependency-proxy group purge team --yes")]
    Purge {
        /// Full path or number
        group: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

const COLUMNS: Columns = &[
    "id",
    "full_path",
    "name",
    "visibility",
    "dependency_proxy_enabled",
    "dependency_proxy_max_bytes",
    "dependency_proxy_unpulled_days",
    "dependency_proxy_tag_freshness_seconds",
    "parent_id",
    "description",
    "created_at",
];

/// Columns of a list.
const LIST_COLUMNS: Columns =
    &["id", "full_path", "name", "visibility", "dependency_proxy_enabled", "parent_id", "description", "created_at"];

impl GroupArgs {
    /// Runs the subcommand and prints its result.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let api = self.connection.api()?;
        self.verb.run(&api).await?.print(self.connection.json);
        Ok(())
    }
}

impl GroupVerb {
    async fn run(self, api: &Api) -> Result<Output, Failure> {
        match self {
            Self::Create { path, profile, if_missing } => {
                let outcome = if_missing.make(async || at_path(api, &path).await, create(api, &path, profile)).await?;
                Ok(outcome.output(COLUMNS, |_| format!("{path} exists already and was not changed")))
            }
            Self::List { search } => {
                let query: Vec<_> = search.into_iter().map(|search| ("search", search)).collect();
                Ok(Output::List(LIST_COLUMNS, api.list(&["groups"], &query).await?))
            }
            Self::Show { group } => Ok(Output::One(COLUMNS, api.show(&["groups", &named(api, &group).await?]).await?)),
            Self::Change { group, profile, cache } => {
                let mut body = profile.fields();
                cache.add_to(&mut body);
                let changed = api.put(&["groups", &named(api, &group).await?], &body).await;
                Ok(Output::One(COLUMNS, changed.map_err(in_options)?))
            }
            Self::UpstreamAccount(args) => args.run(api).await,
            Self::Delete { group, confirmation } => {
                let named = named(api, &group).await?;
                let loss = api.show(&["groups", &named, "deletion"]).await?;
                confirmation.of(&format!("This deletes the group {group}, and with it:"), &loss)?;
                api.delete(&["groups", &named]).await?;
                Ok(Output::Done(format!("{group} is deleted")))
            }
            Self::Purge { group, confirmation } => {
                let named = named(api, &group).await?;
                let cache = api.show(&["groups", &named, "dependency_proxy", "cache"]).await?;
                let intention = format!("This empties the cache of the group {group}; its next pulls download again:");
                confirmation.of(&intention, &json!({ "cache": cache }))?;
                api.delete(&["groups", &named, "dependency_proxy", "cache"]).await?;
                Ok(Output::Done(format!("the cache of {group} is being emptied")))
            }
        }
    }
}

async fn create(api: &Api, path: &str, profile: Profile) -> Result<Value, Failure> {
    let (parent, part) = path.rsplit_once('/').map_or((None, path), |(up, part)| (Some(up), part));
    let mut body = profile.fields();
    body["path"] = json!(part);
    if body["name"].is_null() {
        body["name"] = json!(part);
    }
    if let Some(parent) = parent {
        body["parent_id"] = existing(api, parent).await?["id"].clone();
    }
    api.post(&["groups"], &body).await
}

/// Returns the name of a group in the path of a request, for a group that is named by its full path or number. Digits
/// may be either.
///
/// # Errors
///
/// They are the path of one group and the number of another.
pub(super) async fn named(api: &Api, group: &str) -> Result<String, Failure> {
    if !is_number(group) {
        return Ok(group.to_owned());
    }
    match (at_path(api, group).await?, found(api.show(&["groups", group]).await)?) {
        (Some(one), Some(other)) if one["id"] != other["id"] => {
            let (number, path) = (&one["id"], other["full_path"].as_str().unwrap_or_default());
            Err(Failure::Input(format!(
                "'{group}' is the path of the group with number {number}, and the number of the group {path}: name the \
                 one by {number}, or the other by {path}"
            )))
        }
        (Some(one), _) => Ok(one["id"].to_string()),
        (None, _) => Ok(group.to_owned()),
    }
}

fn is_number(group: &str) -> bool {
    !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the group with exactly this path, ignoring case. Fails where there is none.
pub(super) async fn existing(api: &Api, path: &str) -> Result<Value, Failure> {
    let missing = || Failure::refused(404, &format!("there is no group '{path}'"));
    at_path(api, path).await?.ok_or_else(missing)
}

/// Returns the group with exactly this path, ignoring case.
pub(super) async fn at_path(api: &Api, path: &str) -> Result<Option<Value>, Failure> {
    let has_path = |group: &Value| group["full_path"].as_str().is_some_and(|full| full.eq_ignore_ascii_case(path));
    // The API would take a path of digits for the number of a group.
    if is_number(path) {
        let groups = api.list(&["groups"], &[("search", path.to_owned())]).await?;
        return Ok(groups.into_iter().find(has_path));
    }
    Ok(found(api.show(&["groups", path]).await)?.filter(has_path))
}
