//! `user create`: creates a user and prints how the user logs in. A generated password is written to a file that only
//! the caller can read, before the user is created, and is never printed.

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
    /// User name for logins
    username: String,
    #[command(flatten)]
    profile: Profile,
    /// Make the user an administrator
    #[arg(long)]
    admin: bool,
    /// Write the generated password to this file, which must not exist; by default USERNAME.password in the current
    /// folder
    #[arg(long, value_name = "FILE", conflicts_with = "password_stdin")]
    password_file: Option<PathBuf>,
    /// Create the user without a password; such a user can only use tokens that an administrator creates
    #[arg(long, conflicts_with_all = ["password_stdin", "password_file"])]
    no_password: bool,
    #[command(flatten)]
    if_missing: IfMissing,
}

/// The credential with which the new user logs in.
enum Entry {
    /// A generated password, which is in this file.
    Generated(PathBuf),
    /// A password that the caller provided on standard input.
    Piped,
    /// Tokens only.
    TokenIssuerHandle,
}

impl CreateArgs {
    /// Creates the user; `host` is the service's name in the printed login command. Removes the file of a generated
    /// password if the user is not created.
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
                // The file comes first: a user whose password was lost could not log in.
                let password: SecretString = hex::encode(random::bytes::<16>()).into();
                write_secret(&file, &password)?;
                body["password"] = json!(password.expose_secret());
                Entry::Generated(file)
            }
            None if self.no_password => {
                body["force_random_password"] = json!(true);
                Entry::TokenIssuerHandle
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

    /// Returns the file for a generated password; `None` where no password is generated.
    fn file(&self) -> Result<Option<PathBuf>, Failure> {
        if self.no_password || self.profile.password_stdin {
            return Ok(None);
        }
        if let Some(file) = &self.password_file {
            return Ok(Some(file.clone()));
        }
        // The user name becomes a file name: validating it keeps paths such as `../x` out.
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
            Self::TokenIssuerHandle => {
                let create = format!("dependency-proxy token create --user {username} --name NAME");
                format!("Next, create a token, because {username} has no password: {create}")
            }
        }
    }
}

/// Quotes a path for a shell, where that is necessary.
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
