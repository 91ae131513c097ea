//! `token`: the secrets that programs log in with. Deploy tokens and group access tokens belong to a group, personal
//! access tokens to a user.

use clap::{Args, Subcommand, ValueEnum};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::client::Api;
use super::confirmation::{Confirmation, is_loss};
use super::connection::{Connection, piped_secret};
use super::failure::Failure;
use super::if_missing::{IfMissing, Outcome};
use super::member::Level;
use super::output::{Columns, Output, note};
use super::{token_lookup, user};
use crate::domain::overlap::Overlap;
use crate::domain::scope::{Scope, Scopes};

/// Arguments of `token`.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: TokenVerb,
}

#[derive(Debug, Subcommand)]
enum TokenVerb {
    /// Make a token, by default one that can only pull, for 90 days; its secret is shown this once. One that is brought
    /// along has no end unless asked for
    Create(Create),
    /// Show the tokens of a group or of a user, or all that you may see with the group of each
    List {
        #[command(flatten)]
        owner: Owner,
        /// Only those that can still be used
        #[arg(long)]
        active: bool,
    },
    /// Show one token, wherever it is: its group, kind, end, last use, and who made it
    Show {
        /// Number, name or user name; where several tokens have it, they are listed
        #[arg(value_name = "TOKEN")]
        reference: String,
        /// Only in this group: full path or number
        #[arg(long)]
        group: Option<String>,
    },
    /// Give a token a new secret; the old one stays valid for the overlap, beside the new one alone
    Rotate {
        #[command(flatten)]
        owner: Owner,
        /// Its number
        id: u64,
        #[command(flatten)]
        end: End,
        /// The time for which the old secret stays valid, such as 1h 30m or 7d, at most 30d; 0 ends it at once
        #[arg(long, default_value_t = Overlap::DEFAULT)]
        overlap: Overlap,
    },
    /// Give a token another end, within what its maker and the settings allow, and leave its secret as it is
    Extend {
        #[command(flatten)]
        owner: Owner,
        /// Its number
        id: u64,
        #[command(flatten)]
        end: End,
    },
    /// End a token: it stops working with the next request; where it made others that end with it, lists them and asks
    Revoke {
        #[command(flatten)]
        owner: Owner,
        /// Its number
        id: u64,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

#[derive(Debug, Args)]
struct Create {
    #[command(flatten)]
    owner: Owner,
    /// What the token is for
    #[arg(long)]
    name: String,
    /// What it may be used for, with commas
    #[arg(long, value_delimiter = ',', default_value = "read_registry,write_registry")]
    scopes: Vec<Scope>,
    #[command(flatten)]
    end: End,
    /// The user name of a deploy token; gitlab+deploy-token-N where it is not given. With --secret-stdin it can contain
    /// $
    #[arg(long, conflicts_with = "user")]
    username: Option<String>,
    /// What the bot of a group access token may do in the group
    #[arg(long, default_value = "guest", conflicts_with = "user")]
    access_level: Level,
    /// Read the secret of a deploy token from standard input instead of making one, so that stored credentials stay
    /// valid; for administrators, 20 characters or more. It is not shown again
    #[arg(long, conflicts_with = "user")]
    secret_stdin: bool,
    #[command(flatten)]
    if_missing: IfMissing,
}

#[derive(Debug, Args)]
#[group(skip)]
struct Owner {
    /// The group it belongs to: full path or number
    #[arg(long, conflicts_with = "user")]
    group: Option<String>,
    /// The user it belongs to: user name or number
    #[arg(long)]
    user: Option<String>,
    /// Of the group's tokens: one with a user name of its own, or one with a bot that is a member
    #[arg(long, default_value = "deploy", conflicts_with = "user")]
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Deploy,
    Group,
}

#[derive(Debug, Args)]
#[group(skip)]
struct End {
    /// The day from which on it no longer works
    #[arg(long, value_name = "YYYY-MM-DD", conflicts_with = "days")]
    expires_at: Option<Date>,
    /// The number of days that it works, 90 where no end is given; a secret that is brought along then has none. Only
    /// an administrator can make one that outlives the token used here
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: Option<u16>,
}

/// The life of a token with a generated secret where no end is given.
const DEFAULT_DAYS: u16 = 90;

const COLUMNS: Columns = &[
    "id",
    "name",
    "username",
    "user_id",
    "scopes",
    "access_level",
    "active",
    "revoked",
    "expired",
    "expires_at",
    OLD_END,
];
const LISTED: Columns = &["id", "name", "kind", "group", "username", "active", "expires_at", "last_used_at", OLD_END];
const FOUND: Columns = &[
    "id",
    "name",
    "description",
    "kind",
    "group",
    "username",
    "scopes",
    "access_level",
    "active",
    "revoked",
    "expires_at",
    OLD_END,
    "last_used_at",
    "created_at",
    "created_by",
];
const DEPLOY: Columns =
    &["id", "name", "username", "scopes", "revoked", "expired", "expires_at", "last_used_at", OLD_END];
const ACCESS: Columns =
    &["id", "name", "user_id", "scopes", "active", "revoked", "expires_at", "last_used_at", OLD_END];
const MADE: Columns = &["id", "name", "username", "user_id", "scopes", "access_level", "expires_at", OLD_END, "token"];
/// The end of the secret that a rotation replaced, while that is valid.
const OLD_END: &str = "old_secret_expires_at";

impl TokenArgs {
    /// Does it.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let api = self.connection.api()?;
        self.verb.run(&api).await?.print(self.connection.json);
        Ok(())
    }
}

impl TokenVerb {
    async fn run(self, api: &Api) -> Result<Output, Failure> {
        match self {
            Self::Create(create) => create.run(api).await,
            Self::List { owner, active } => owner.list(api, active).await,
            Self::Show { reference, group } => {
                Ok(Output::One(FOUND, token_lookup::find(api, &reference, group.as_deref()).await?))
            }
            Self::Rotate { owner, id, end, overlap } => {
                let owner = owner.located(api, id).await?;
                let mut path = owner.path(&id.to_string());
                path.push("rotate".to_owned());
                let body = json!({ "expires_at": end.day()?, "overlap": overlap.to_string() });
                Ok(Output::One(MADE, api.post(&segments(&path), &body).await?))
            }
            Self::Extend { owner, id, end } => {
                let owner = owner.located(api, id).await?;
                let body = json!({ "expires_at": end.day()? });
                Ok(Output::One(COLUMNS, api.put(&segments(&owner.path(&id.to_string())), &body).await?))
            }
            Self::Revoke { owner, id, confirmation } => {
                let owner = owner.located(api, id).await?;
                let path = owner.path(&id.to_string());
                if !owner.is_deploy() {
                    confirm_revocation(api, &path, id, confirmation).await?;
                }
                api.delete(&segments(&path)).await?;
                Ok(Output::Done(format!("token {id} is revoked")))
            }
        }
    }
}

impl Create {
    async fn run(self, api: &Api) -> Result<Output, Failure> {
        let outcome = self.if_missing.make(async || self.present(api).await, self.make(api)).await?;
        let columns = if let Outcome::Made(_) = outcome { MADE } else { COLUMNS };
        Ok(outcome.output(columns, |token| {
            let (name, id) = (&self.name, &token["id"]);
            format!("token '{name}' exists already, with number {id}; its secret cannot be shown again")
        }))
    }

    async fn make(&self, api: &Api) -> Result<Value, Failure> {
        let body = self.body()?;
        let path = match (&self.owner.group, &self.owner.user) {
            (Some(_), _) => self.owner.group_path(),
            (None, Some(name)) => {
                ["users", &user::id(api, name).await?, "personal_access_tokens"].map(str::to_owned).to_vec()
            }
            (None, None) => return Err(Failure::Input("whose token? Give --group or --user".to_owned())),
        };
        let mut made = api.post(&segments(&path), &body).await?;
        if let Some(fields) = made.as_object_mut().filter(|_| self.secret_stdin) {
            fields.remove("token");
        }
        if let Some(end) = made["expires_at"].as_str().filter(|_| self.secret_stdin && !self.end.is_asked_for()) {
            note(&format!("the settings of the service limit the life of deploy tokens: this one ends at {end}"));
        }
        Ok(made)
    }

    /// A token of this owner with this name, and this user name if one is given, that can be used. Where there are
    /// several, the one that was made last.
    async fn present(&self, api: &Api) -> Result<Option<Value>, Failure> {
        if self.owner.group.is_none() && self.owner.user.is_none() {
            return Ok(None);
        }
        let is_same = |token: &Value| {
            token["name"] == json!(self.name)
                && self.username.as_ref().is_none_or(|username| token["username"] == json!(username))
        };
        let tokens = self.owner.tokens(api, true).await?;
        Ok(tokens.into_iter().filter(is_same).max_by_key(|token| token["id"].as_u64()))
    }

    fn body(&self) -> Result<Value, Failure> {
        let scopes = Scopes::try_from(self.scopes.clone()).map_err(|error| Failure::Input(error.to_string()))?;
        let mut body = json!({ "name": self.name, "scopes": scopes });
        if self.end.is_asked_for() || !self.secret_stdin {
            body["expires_at"] = json!(self.end.day()?);
        }
        let deploy = self.owner.is_deploy();
        if !deploy && (self.username.is_some() || self.secret_stdin) {
            return Err(Failure::Input("--username and --secret-stdin are for deploy tokens".to_owned()));
        }
        if let Some(username) = &self.username {
            body["username"] = json!(username);
        }
        if self.secret_stdin {
            body["token"] = json!(piped_secret()?.expose_secret());
        }
        if self.owner.group.is_some() && !deploy {
            body["access_level"] = json!(self.access_level.number());
        }
        Ok(body)
    }
}

impl Owner {
    fn is_deploy(&self) -> bool {
        self.group.is_some() && self.kind == Kind::Deploy
    }

    async fn list(self, api: &Api, active: bool) -> Result<Output, Failure> {
        let columns = match (&self.group, &self.user) {
            (None, None) => LISTED,
            (Some(_), _) if self.is_deploy() => DEPLOY,
            (Some(_), _) | (None, Some(_)) => ACCESS,
        };
        Ok(Output::List(columns, self.tokens(api, active).await?))
    }

    /// The owner of a token; one that was not named is that of the token with this number.
    async fn located(self, api: &Api, id: u64) -> Result<Self, Failure> {
        if self.group.is_some() || self.user.is_some() {
            return Ok(self);
        }
        let token = api.show(&["tokens", &id.to_string()]).await?;
        match (token["kind"].as_str(), &token["group_id"]) {
            (Some("deploy"), group) => Ok(Self { group: Some(group.to_string()), user: None, kind: Kind::Deploy }),
            (Some("group"), group) => Ok(Self { group: Some(group.to_string()), user: None, kind: Kind::Group }),
            _ => Ok(self),
        }
    }

    async fn tokens(&self, api: &Api, active: bool) -> Result<Vec<Value>, Failure> {
        let mut query = Vec::new();
        if active {
            query.push(if self.is_deploy() { ("active", "true".to_owned()) } else { ("state", "active".to_owned()) });
        }
        if let Some(name) = &self.user {
            query.push(("user_id", user::id(api, name).await?));
        }
        let path =
            if self.group.is_none() && self.user.is_none() { vec!["tokens".to_owned()] } else { self.group_path() };
        api.list(&segments(&path), &query).await
    }

    /// The path of one token.
    fn path(&self, id: &str) -> Vec<String> {
        let mut path = self.group_path();
        path.push(id.to_owned());
        path
    }

    /// The path of the tokens of the group, or of all personal access tokens.
    fn group_path(&self) -> Vec<String> {
        let kind = match self.kind {
            Kind::Deploy => "deploy_tokens",
            Kind::Group => "access_tokens",
        };
        match &self.group {
            Some(group) => ["groups", group, kind].map(str::to_owned).to_vec(),
            None => vec!["personal_access_tokens".to_owned()],
        }
    }
}

impl End {
    /// The end that was asked for, or that a generated secret has.
    fn day(&self) -> Result<Date, Failure> {
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let days = i64::from(self.days.unwrap_or(DEFAULT_DAYS));
        let end = self.expires_at.map_or_else(|| today.checked_add(Span::new().days(days)), Ok);
        end.map_err(|error| Failure::Input(error.to_string()))
    }

    fn is_asked_for(&self) -> bool {
        self.expires_at.is_some() || self.days.is_some()
    }
}

/// Asks where the token at this path made something that ends with it; a deploy token never did.
async fn confirm_revocation(api: &Api, path: &[String], id: u64, confirmation: Confirmation) -> Result<(), Failure> {
    let loss = api.show(&[segments(path).as_slice(), &["revocation"]].concat()).await?;
    match is_loss(&loss) {
        true => confirmation.of(&format!("Token {id} is to be revoked, and what it made ends with it:"), &loss),
        false => Ok(()),
    }
}

fn segments(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        create: Create,
    }

    fn create(line: &str) -> Create {
        Line::try_parse_from(["x"].into_iter().chain(line.split_whitespace())).unwrap().create
    }

    #[test]
    fn a_token_for_a_group_is_a_deploy_token_that_can_only_pull_for_90_days() {
        let create = create("--group team/ci --name fleet");
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let body = create.body().unwrap();
        assert_eq!(create.owner.group_path(), ["groups", "team/ci", "deploy_tokens"]);
        assert_eq!(body["scopes"], json!(["read_registry", "write_registry"]));
        assert_eq!(body["expires_at"], json!(today.checked_add(Span::new().days(90)).unwrap()));
        assert!(body.get("access_level").is_none() && body.get("token").is_none());
    }

    #[test]
    fn a_group_access_token_has_a_level() {
        let create = create("--group team --kind group --name bot --scopes api --expires-at 2999-01-01");
        assert_eq!(create.owner.group_path(), ["groups", "team", "access_tokens"]);
        assert_eq!(
            create.body().unwrap(),
            json!({"name": "bot", "scopes": ["api"], "expires_at": "2999-01-01", "access_level": 10})
        );
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let refused = create("--group team --kind group --name bot --username x").body().unwrap_err();
        assert_eq!(refused.to_string(), "--username and --secret-stdin are for deploy tokens");
        for line in [
            "--group a --name c --days 0",
            "--group a --user b --name c",
            "--user b --secret-stdin --name c",
            "--name c --days 3 --expires-at 2999-01-01",
        ] {
            assert!(Line::try_parse_from(["x"].into_iter().chain(line.split_whitespace())).is_err(), "{line}");
        }
    }
}
