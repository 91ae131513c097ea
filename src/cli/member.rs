//! `member`: subcommands for the members of groups.

use clap::builder::PossibleValue;
use clap::{Args, Subcommand, ValueEnum};
use jiff::civil::Date;
use serde_json::{Value, json};

use super::client::Api;
use super::connection::Connection;
use super::failure::Failure;
use super::group::named;
use super::if_missing::{IfMissing, found};
use super::output::{Columns, Output};
use super::user;
use crate::settings::state::Level;

/// Arguments of `member`.
#[derive(Debug, Args)]
pub(super) struct MemberArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: MemberVerb,
}

#[derive(Debug, Subcommand)]
enum MemberVerb {
    /// Let a user pull from a group and from those below it
    #[command(after_help = "Example: dependency-proxy member add team alice --access-level owner")]
    Add {
        /// Full path or number of the group
        group: String,
        /// User name or number
        user: String,
        /// Access level: every level can pull; an owner can also change the group, its members and its tokens
        #[arg(long, default_value = "guest")]
        access_level: Level,
        /// First day on which the membership is no longer valid
        #[arg(long, value_name = "YYYY-MM-DD")]
        expires_at: Option<Date>,
        #[command(flatten)]
        if_missing: IfMissing,
    },
    /// List the members of a group, or the groups that a user is a member of
    #[command(after_help = "Examples:\n\
\x20 dependency-proxy member list team --inherited\n\
\x20 dependency-proxy member list --user alice")]
    List {
        /// Full path or number of the group
        #[arg(required_unless_present = "user")]
        group: Option<String>,
        /// Include the members of the groups above it
        #[arg(long)]
        inherited: bool,
        /// List the groups of this user instead: user name or number; only administrators may name other users
        #[arg(long, conflicts_with_all = ["group", "inherited"])]
        user: Option<String>,
    },
    /// Change a membership
    #[command(after_help = "Example:\n\
\x20 dependency-proxy member change team alice --access-level developer --expires-at 2099-01-01")]
    Change {
        /// Full path or number of the group
        group: String,
        /// User name or number
        user: String,
        /// Access level
        #[arg(long)]
        access_level: Level,
        /// First day on which the membership is no longer valid
        #[arg(long, value_name = "YYYY-MM-DD")]
        expires_at: Option<Date>,
    },
    /// Remove a user from a group
    #[command(after_help = "Example: dependency-proxy member remove team alice")]
    Remove {
        /// Full path or number of the group
        group: String,
        /// User name or number
        user: String,
    },
}

const COLUMNS: Columns = &["id", "username", "name", "state", "access_level", "expires_at"];

const MEMBERSHIPS: Columns = &["source_id", "source_full_path", "source_name", "access_level", "expires_at"];

impl MemberArgs {
    /// Runs the subcommand and prints its result.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let api = self.connection.api()?;
        self.verb.run(&api).await?.print(self.connection.json);
        Ok(())
    }
}

impl MemberVerb {
    async fn run(self, api: &Api) -> Result<Output, Failure> {
        match self {
            Self::Add { group, user, access_level, expires_at, if_missing } => {
                add(api, (&group, &user), membership(access_level, expires_at), if_missing).await
            }
            Self::List { user: Some(user), .. } => {
                let path = ["users", &user::id(api, &user).await?, "memberships"];
                Ok(Output::List(MEMBERSHIPS, api.list(&path, &[]).await?))
            }
            Self::List { group, inherited, user: None } => {
                let group = named(api, &group.unwrap_or_default()).await?;
                let all: &[&str] = if inherited { &["all"] } else { &[] };
                let path = [&["groups", group.as_str(), "members"], all].concat();
                Ok(Output::List(COLUMNS, api.list(&path, &[]).await?))
            }
            Self::Change { group, user, access_level, expires_at } => {
                let user = user::id(api, &user).await?;
                let path = ["groups", &named(api, &group).await?, "members", &user];
                Ok(Output::One(COLUMNS, api.put(&path, &membership(access_level, expires_at)).await?))
            }
            Self::Remove { group, user } => {
                let number = user::id(api, &user).await?;
                api.delete(&["groups", &named(api, &group).await?, "members", &number]).await?;
                Ok(Output::Done(format!("{user} is no longer a member of {group}")))
            }
        }
    }
}

async fn add(
    api: &Api,
    (group, name): (&str, &str),
    mut body: Value,
    if_missing: IfMissing,
) -> Result<Output, Failure> {
    let user = user::id(api, name).await?;
    body["user_id"] = json!(user);
    let named = named(api, group).await?;
    let path = ["groups", named.as_str(), "members", user.as_str()];
    let look_up = async || found(api.show(&path).await);
    let outcome = if_missing.make(look_up, api.post(&path[..3], &body)).await?;
    Ok(outcome.output(COLUMNS, |member| {
        let level = &member["access_level"];
        format!("{name} is a member of {group} already, with access level {level}, and was not changed")
    }))
}

/// Returns the fields of a membership in the API.
fn membership(access_level: Level, expires_at: Option<Date>) -> Value {
    let mut body = json!({ "access_level": access_level.number() });
    if let Some(day) = expires_at {
        body["expires_at"] = json!(day);
    }
    body
}

impl ValueEnum for Level {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()))
    }
}
