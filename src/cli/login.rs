//! `login`: exchanges a user's password for an API token. Prints the token and nothing else, so that a shell can
//! store it in a variable.

use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde_json::json;

use super::client::{Api, Credential};
use super::connection::{Service, piped_secret};
use super::failure::Failure;
use super::output::print_line;

/// Arguments of `login`.
#[derive(Debug, Args)]
pub(super) struct LoginArgs {
    #[command(flatten)]
    service: Service,
    /// User name
    #[arg(long, default_value = "root")]
    username: String,
    /// Read the password from standard input; this is the only way to provide it
    #[arg(long, required = true)]
    password_stdin: bool,
    /// Number of days for which the token works; tokens that it creates end with it at the latest, unless
    /// the user is an administrator
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=365))]
    days: u16,
    /// Print the response of the service as JSON, with the token and its end
    #[arg(long)]
    json: bool,
}

impl LoginArgs {
    /// Exchanges the password for a token, and writes or prints that.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let credential = Credential::Password(self.username.clone(), piped_secret()?);
        let api = Api::new(self.service.http()?, self.service.url.clone(), credential);
        let body = json!({"name": "login", "scopes": ["api"], "expires_at": self.last_day()?});
        let made = api.post(&["user", "personal_access_tokens"], &body).await?;
        let token = made["token"].as_str().ok_or_else(|| Failure::Foreign(self.service.url.to_string()))?;
        print_line(&if self.json { format!("{made:#}") } else { token.to_owned() });
        Ok(())
    }

    /// Returns the day at whose beginning the token ends.
    fn last_day(&self) -> Result<Date, Failure> {
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let end = today.checked_add(Span::new().days(i64::from(self.days) + 1));
        end.map_err(|error| Failure::Input(error.to_string()))
    }
}
