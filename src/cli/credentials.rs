//! Options for the credentials of a pull: the user name, and the source of the secret. A secret is never an argument.

use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;

use super::connection::{piped_secret, read_secret, secret_variable};
use super::failure::Failure;

/// A user name and its secret.
pub(super) type Login = (String, SecretString);

/// The user name and the source of its secret.
#[derive(Debug, Args)]
pub(super) struct Credentials {
    /// User name to log in with; by default the secret is read from the environment variable DEPENDENCY_PROXY_SECRET
    #[arg(long, env = "DEPENDENCY_PROXY_USERNAME")]
    username: Option<String>,
    /// Read the secret from standard input
    #[arg(long, requires = "username")]
    secret_stdin: bool,
    /// Read the secret from this file
    #[arg(long, value_name = "FILE", requires = "username", conflicts_with = "secret_stdin")]
    secret_file: Option<PathBuf>,
}

const SECRET_VARIABLE: &str = "DEPENDENCY_PROXY_SECRET";

impl Credentials {
    /// Returns the credentials; `None` where no user name is given. Fails where its secret is missing or
    /// cannot be read.
    pub(super) fn login(&self) -> Result<Option<Login>, Failure> {
        let Some(username) = &self.username else { return Ok(None) };
        let missing = || {
            Failure::Input(format!(
                "a secret is needed: set {SECRET_VARIABLE}, name a file with --secret-file, or pipe it in with \
                 --secret-stdin"
            ))
        };
        let secret = match &self.secret_file {
            Some(file) => read_secret(file)?,
            None if self.secret_stdin => piped_secret()?,
            None => secret_variable(SECRET_VARIABLE).ok_or_else(missing)?,
        };
        Ok(Some((username.clone(), secret)))
    }
}
