//! `token create`: creates a token, and prints its secret, which cannot be shown again.

use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::super::client::Api;
use super::super::connection::piped_secret;
use super::super::failure::Failure;
use super::super::if_missing::{IfMissing, Outcome};
use super::super::output::{Columns, Output, print_note};
use super::super::user;
use super::{COLUMNS, OLD_END, Owner, segments};
use crate::domain::scope::{Scope, Scopes};
use crate::settings::state::Level;

/// Arguments of `token create`.
#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    owner: Owner,
    /// Name of the token
    #[arg(long)]
    name: String,
    /// Scopes, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "read_registry,write_registry")]
    scopes: Vec<Scope>,
    #[command(flatten)]
    end: End,
    /// User name of a deploy token; by default gitlab+deploy-token-N. With --secret-stdin it may contain $
    #[arg(long, conflicts_with = "user")]
    username: Option<String>,
    /// Access level of a group access token's bot user in the group
    #[arg(long, default_value = "guest", conflicts_with = "user")]
    access_level: Level,
    /// Read the secret of a deploy token from standard input instead of generating one, so that stored credentials
    /// stay valid; for administrators, at least 20 characters. It is not printed
    #[arg(long, conflicts_with = "user")]
    secret_stdin: bool,
    #[command(flatten)]
    if_missing: IfMissing,
}

/// The options for the end of a token.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct End {
    /// First day on which the token no longer works
    #[arg(long, value_name = "YYYY-MM-DD", conflicts_with = "days")]
    expires_at: Option<Date>,
    /// Number of days for which the token works; only an administrator can create one that outlives the token used here
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: Option<u16>,
}

/// The options for the new end of a token, one of which is required.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct NewEnd {
    /// First day on which the token no longer works
    #[arg(long, value_name = "YYYY-MM-DD")]
    expires_at: Option<Date>,
    /// Number of days from today for which the token works
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: Option<u16>,
    /// No end, where the settings and the creator of the token allow that
    #[arg(long)]
    never: bool,
}

/// Validity of a token with a generated secret if no end is given, in days.
const DEFAULT_DAYS: u16 = 90;

/// Fields of a new token, including its secret.
pub(super) const MADE: Columns =
    &["id", "name", "username", "user_id", "scopes", "access_level", "expires_at", OLD_END, "token"];

impl Create {
    /// Creates the token, or finds it with `--if-missing`.
    pub(super) async fn run(mut self, api: &Api) -> Result<Output, Failure> {
        self.owner = self.owner.named(api).await?;
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
            (None, None) => {
                return Err(Failure::Input("the owner of the token is missing: give --group or --user".to_owned()));
            }
        };
        let mut made = api.post(&segments(&path), &body).await?;
        if let Some(fields) = made.as_object_mut().filter(|_| self.secret_stdin) {
            fields.remove("token");
        }
        if let Some(end) = made["expires_at"].as_str().filter(|_| self.secret_stdin && !self.end.is_given()) {
            print_note(&format!(
                "the settings of the service limit the validity of deploy tokens: this one ends at {end}"
            ));
        }
        Ok(made)
    }

    /// Returns an active token of this owner with this name, and this user name if one is given. If there are
    /// several, returns the newest.
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
        if self.end.is_given() || !self.secret_stdin {
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

impl End {
    /// Returns the first day on which the token no longer works: the given end, or that of a generated secret.
    /// Fails where the day is beyond the calendar.
    pub(super) fn day(&self) -> Result<Date, Failure> {
        self.expires_at.map_or_else(|| in_days(self.days.unwrap_or(DEFAULT_DAYS)), Ok)
    }

    /// Returns the given day as [`Self::day`] does. Without one, returns `present` if it is a later day than that of
    /// a generated secret, so that a rotation does not shorten a token unless that is requested.
    pub(super) fn day_or_later(&self, present: &Value) -> Result<Date, Failure> {
        let present = present.as_str().and_then(|time| time.split('T').next()?.parse::<Date>().ok());
        let present = present.filter(|_| !self.is_given());
        Ok(self.day()?.max(present.unwrap_or(Date::MIN)))
    }

    /// Returns true where an end was given.
    pub(super) fn is_given(&self) -> bool {
        self.expires_at.is_some() || self.days.is_some()
    }
}

impl NewEnd {
    /// Returns the first day on which the token no longer works; `None`: it has no end. Fails where the day is beyond
    /// the calendar.
    pub(super) fn day(&self) -> Result<Option<Date>, Failure> {
        match self.days {
            Some(days) => in_days(days).map(Some),
            None => Ok(self.expires_at),
        }
    }
}

/// Returns the end of a new token for which none is given.
pub(in crate::cli) fn default_end() -> Result<Date, Failure> {
    in_days(DEFAULT_DAYS)
}

fn in_days(days: u16) -> Result<Date, Failure> {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    today.checked_add(Span::new().days(i64::from(days))).map_err(|error| Failure::Input(error.to_string()))
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
