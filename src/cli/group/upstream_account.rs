//! `group upstream-account`: the accounts of a group at upstreams. A password is never an argument, and never printed.

use std::io::{IsTerminal, stdin};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::super::client::Api;
use super::super::connection::{piped_secret, read_secret};
use super::super::failure::Failure;
use super::super::output::{Columns, Output};
use super::named;

/// Arguments of `group upstream-account`.
#[derive(Debug, Args)]
#[command(
    after_help = "Groups below use the account, too, unless they have their own. What is cached is served to a new \
                  password once the registry has confirmed each image to it, and is not downloaded again."
)]
pub(super) struct AccountArgs {
    #[command(subcommand)]
    verb: AccountVerb,
}

#[derive(Debug, Subcommand)]
enum AccountVerb {
    /// List the accounts that a group uses, its own and those of the groups above it
    #[command(after_help = "Example: dependency-proxy group upstream-account list team")]
    List {
        /// Full path or number of the group
        group: String,
    },
    /// Set the account of a group at an upstream; the password is read from standard input or from a file
    #[command(after_help = "Example:\n\
\x20 dependency-proxy group upstream-account set team docker.io robot --secret-file hub-token")]
    Set {
        /// Full path or number of the group
        group: String,
        /// Name of the upstream, such as docker.io
        upstream: String,
        /// User name at the upstream
        identity: String,
        /// Read the password or access token from this file
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// Delete the account of a group at an upstream: it uses that of the group above it or of the service again
    #[command(after_help = "Example: dependency-proxy group upstream-account delete team docker.io")]
    Delete {
        /// Full path or number of the group that has the account
        group: String,
        /// Name of the upstream
        upstream: String,
    },
    /// Log in at an upstream with a group's own account, and print what the upstream says; the exit code is 1 if it
    /// does not accept it. For an account that the group has from a group above it, name that group: `list` shows it
    #[command(after_help = "Example: dependency-proxy group upstream-account test team docker.io")]
    Test {
        /// Full path or number of the group that has the account
        group: String,
        /// Name of the upstream
        upstream: String,
    },
}

/// The last part of the API path of the accounts of a group.
const ACCOUNTS: &str = "upstream_accounts";

/// Message of the service for a group that itself has no account at the upstream, without its status.
const NO_ACCOUNT: &str = "Account Not Found";

const COLUMNS: Columns = &["upstream", "identity", "group", "set_at", "readable", "message"];

impl AccountArgs {
    /// Runs the subcommand.
    pub(super) async fn run(self, api: &Api) -> Result<Output, Failure> {
        match self.verb {
            AccountVerb::List { group } => {
                let path = ["groups", &named(api, &group).await?, "dependency_proxy", ACCOUNTS];
                Ok(Output::List(COLUMNS, api.list(&path, &[]).await?))
            }
            AccountVerb::Set { group, upstream, identity, secret_file } => {
                let secret = secret(secret_file)?;
                let body = json!({ "identity": identity, "secret": secret.expose_secret() });
                let path = ["groups", &named(api, &group).await?, "dependency_proxy", ACCOUNTS, &upstream];
                Ok(Output::One(COLUMNS, api.put(&path, &body).await?))
            }
            AccountVerb::Delete { group, upstream } => {
                let path = ["groups", &named(api, &group).await?, "dependency_proxy", ACCOUNTS, &upstream];
                api.delete(&path).await.map_err(|failure| of_own_account(failure, &group, &upstream))?;
                Ok(Output::Done(format!("the account of {group} at {upstream} is deleted")))
            }
            AccountVerb::Test { group, upstream } => {
                let path = ["groups", &named(api, &group).await?, "dependency_proxy", ACCOUNTS, &upstream, "test"];
                let test = api.post(&path, &json!({})).await;
                let test = test.map_err(|failure| of_own_account(failure, &group, &upstream))?;
                let message = test["message"].as_str().unwrap_or_default().to_owned();
                match test["result"].as_str() {
                    Some("accepted" | "not_required") => Ok(Output::Done(message)),
                    _ => Err(Failure::AccountTest(message)),
                }
            }
        }
    }
}

/// Returns the failure of a request for a group's own account. If it has none, the text names the command that lists
/// the accounts it uses.
fn of_own_account(failure: Failure, group: &str, upstream: &str) -> Failure {
    if !matches!(&failure, Failure::Refused { status: 404, message } if message == NO_ACCOUNT) {
        return failure;
    }
    let message = format!(
        "{group} has no account of its own at {upstream}. If it uses that of a group above it, name that group: `group \
         upstream-account list {group}` shows it"
    );
    Failure::refused(404, &message)
}

fn secret(file: Option<PathBuf>) -> Result<SecretString, Failure> {
    match file {
        Some(file) => read_secret(&file),
        None if stdin().is_terminal() => {
            let text =
                "the terminal would show the password: pipe it into standard input, or name a file with --secret-file";
            Err(Failure::Input(text.to_owned()))
        }
        None => piped_secret(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_inherits_an_account_is_told_to_name_the_group_that_has_it() {
        let said = |message: &str| of_own_account(Failure::refused(404, message), "team/ci", "docker.io").to_string();
        assert!(said("404 Account Not Found").starts_with("team/ci has no account of its own at docker.io. If"));
        assert_eq!(said("404 Group Not Found"), "Group Not Found (404)");
    }
}
