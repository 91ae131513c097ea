//! `user create`: makes a user and says how the user gets in. A generated password is in a file for the caller alone
//! before the user is there, and never shown.

use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::super::client::Api;
use super::super::connection::{remove_secret, write_secret};
use super::super::failure::Failure;
use super::super::if_missing::{IfMissing, Outcome};
use super::super::output::Output;
use super::{COLUMNS, Profile, named};
use crate::auth::random;
use crate::domain::user::Username;

/// Arguments of `user create`.
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// The name that the user logs in with
    username: String,
    #[command(flatten)]
    profile: Profile,
    /// The user may do everything
    #[arg(long)]
    admin: bool,
    /// Write the generated password to this file, which must not exist; USERNAME.password in the present folder where
    /// it is not given
    #[arg(long, value_name = "FILE", conflicts_with = "password_stdin")]
    password_file: Option<PathBuf>,
    /// Make a user without a password, who can only use tokens that an administrator makes
    #[arg(long, conflicts_with_all = ["password_stdin", "password_file"])]
    no_password: bool,
    #[command(flatten)]
    if_missing: IfMissing,
}

/// The way in of the new user.
enum Entry {
    /// By a password that was generated, and is in this file.
    Generated(PathBuf),
    /// By a password that the caller knows.
    Piped,
    /// By tokens alone.
    Tokens,
}

impl CreateArgs {
    /// Makes the user of the service at `host`. The file of a password is removed where there is no such user.
    pub(super) async fn run(self, api: &Api, host: &str) -> Result<Output, Failure> {
        let (if_missing, username) = (self.if_missing, self.username.clone());
        let outcome = if_missing.make(async || named(api, &username).await, self.make(api, host)).await?;
        Ok(match outcome {
            Outcome::Existing(user) => {
                let sentence = format!("{username} exists already and was not changed, nor was its password");
                Output::Existing(sentence, COLUMNS, user)
            }
            Outcome::Made(user) => {
                let next = user["next_step"].as_str().unwrap_or_default().to_owned();
                Output::Made(COLUMNS, user, next)
            }
        })
    }

    async fn make(self, api: &Api, host: &str) -> Result<Value, Failure> {
        let username = self.username.clone();
        let file = self.file()?;
        let mut body = self.profile.fields()?;
        body["username"] = json!(username);
        body["admin"] = json!(self.admin);
        if body["name"].is_null() {
            body["name"] = json!(username);
        }
        let entry = match file {
            Some(file) => {
                let password: SecretString = hex::encode(random::bytes::<16>()).into();
                write_secret(&file, &password)?;
                body["password"] = json!(password.expose_secret());
                Entry::Generated(file)
            }
            None if self.no_password => {
                body["force_random_password"] = json!(true);
                Entry::Tokens
            }
            None => Entry::Piped,
        };
        let made = api.post(&["users"], &body).await;
        if let (Err(_), Entry::Generated(file)) = (&made, &entry) {
            remove_secret(file);
        }
        let (mut user, next) = (made?, entry.next_step(&username, host));
        if let Entry::Generated(file) = &entry {
            user["password_file"] = json!(file);
        }
        user["next_step"] = json!(next);
        Ok(user)
    }

    /// The file for a generated password; `None` where there is none to generate.
    fn file(&self) -> Result<Option<PathBuf>, Failure> {
        if self.no_password || self.profile.password_stdin {
            return Ok(None);
        }
        if let Some(file) = &self.password_file {
            return Ok(Some(file.clone()));
        }
        // The name becomes that of a file: nothing but a user name may.
        let username: Username =
            self.username.parse().map_err(|error| Failure::Input(format!("the user name {error}")))?;
        Ok(Some(format!("{username}.password").into()))
    }
}

impl Entry {
    fn next_step(&self, username: &str, host: &str) -> String {
        let log_in = format!("docker login {host} -u {username}");
        match self {
            Self::Generated(file) => {
                format!("Next, {username} logs in with: {log_in} --password-stdin < {}", quoted(file))
            }
            Self::Piped => format!("Next, {username} logs in with this password: {log_in}"),
            Self::Tokens => {
                let create = format!("dependency-proxy token create --user {username} --name NAME");
                format!("Next, make a token, since {username} has no password: {create}")
            }
        }
    }
}

/// The path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=@".contains(&byte);
    if text.bytes().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_where_a_shell_would_split_it() {
        assert_eq!(quoted(Path::new("/tmp/alice.password")), "/tmp/alice.password");
        assert_eq!(quoted(Path::new("my $file's")), r"'my $file'\''s'");
    }
}
