//! `user password`: a user changes the own password, authenticated by the current one instead of a token. Neither
//! password is ever an argument.

use std::io::{IsTerminal, stdin};
use std::path::PathBuf;

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::super::connection::{Connection, piped_secret, piped_secrets, read_secret};
use super::super::failure::Failure;
use super::super::output::Output;

/// Arguments of `user password`.
#[derive(Debug, Args)]
pub(super) struct PasswordArgs {
    /// User name
    username: String,
    /// Read the current password from this file
    #[arg(long, value_name = "FILE")]
    current_password_file: Option<PathBuf>,
    /// Read the new password from this file
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
}

impl PasswordArgs {
    /// Changes the password on the service.
    pub(super) async fn run(self, connection: &Connection) -> Result<Output, Failure> {
        let (current, new) = self.secrets()?;
        let body = json!({ "current_password": current.expose_secret(), "password": new.expose_secret() });
        connection.api_by_password(&self.username, current)?.put(&["user"], &body).await?;
        Ok(Output::Done(format!("the password of {} is changed, and logins by the old one have ended", self.username)))
    }

    /// Returns the current and the new password. A password for which no file is given is read from standard input,
    /// the current one first.
    fn secrets(&self) -> Result<(SecretString, SecretString), Failure> {
        let piped = self.current_password_file.is_none() || self.new_password_file.is_none();
        if piped && stdin().is_terminal() {
            let text = "the terminal would show the passwords: pipe the current and the new one into standard input, \
                        one per line";
            return Err(Failure::Input(text.to_owned()));
        }
        match (&self.current_password_file, &self.new_password_file) {
            (Some(current), Some(new)) => Ok((read_secret(current)?, read_secret(new)?)),
            (Some(current), None) => Ok((read_secret(current)?, piped_secret()?)),
            (None, Some(new)) => Ok((piped_secret()?, read_secret(new)?)),
            (None, None) => piped_secrets(),
        }
    }
}
