//! `user`: the people who use the service.

mod create;
mod password;

use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::client::Api;
use super::confirmation::Confirmation;
use super::connection::{Connection, piped_secret};
use super::failure::Failure;
use super::output::{Columns, Output};
use create::CreateArgs;
use password::PasswordArgs;

/// Arguments of `user`.
#[derive(Debug, Args)]
pub(super) struct UserArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: UserVerb,
}

#[derive(Debug, Subcommand)]
enum UserVerb {
    #[command(flatten)]
    Manage(Manage),
    /// Change a user's own password, for which the current one is needed and no token: both from standard input, a line
    /// each
    Password(PasswordArgs),
}

/// The verbs that take a token, and mostly an administrator's.
#[derive(Debug, Subcommand)]
enum Manage {
    /// Make a user with a generated password, which is written to a file for you alone, or with one of your own
    Create(CreateArgs),
    /// Show all users
    List {
        /// Only those with this in their name, user name or address
        #[arg(long)]
        search: Option<String>,
    },
    /// Show one user
    Show {
        /// User name or number
        user: String,
    },
    /// Change a user
    Change {
        /// User name or number
        user: String,
        #[command(flatten)]
        profile: Profile,
        /// Whether the user may do everything
        #[arg(long)]
        admin: Option<bool>,
    },
    /// Shut a user out: password and tokens stop working with the next request
    Block {
        /// User name or number
        user: String,
    },
    /// Let a user in again
    Unblock {
        /// User name or number
        user: String,
    },
    /// Delete a user with its tokens, what they made, and its memberships; lists them and asks
    Delete {
        /// User name or number
        user: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

#[derive(Debug, Args)]
struct Profile {
    /// The name for people to read; the user name where it is not given
    #[arg(long)]
    name: Option<String>,
    /// An address to reach the user by
    #[arg(long)]
    email: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
}

const COLUMNS: Columns =
    &["id", "username", "name", "state", "is_admin", "bot", "email", "created_at", "password_file"];

impl UserArgs {
    /// Does it.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let output = match self.verb {
            UserVerb::Manage(verb) => verb.run(&self.connection.api()?, &self.connection.host()).await?,
            UserVerb::Password(args) => args.run(&self.connection).await?,
        };
        output.print(self.connection.json);
        Ok(())
    }
}

impl Manage {
    async fn run(self, api: &Api, host: &str) -> Result<Output, Failure> {
        match self {
            Self::Create(create) => create.run(api, host).await,
            Self::List { search } => {
                let query: Vec<_> = search.into_iter().map(|search| ("search", search)).collect();
                Ok(Output::List(COLUMNS, api.list(&["users"], &query).await?))
            }
            Self::Show { user } => Ok(Output::One(COLUMNS, api.show(&["users", &id(api, &user).await?]).await?)),
            Self::Change { user, profile, admin } => {
                let mut body = profile.fields()?;
                if let Some(admin) = admin {
                    body["admin"] = json!(admin);
                }
                Ok(Output::One(COLUMNS, api.put(&["users", &id(api, &user).await?], &body).await?))
            }
            Self::Block { user } => {
                api.post(&["users", &id(api, &user).await?, "block"], &json!({})).await?;
                Ok(Output::Done(format!("{user} is blocked")))
            }
            Self::Unblock { user } => {
                api.post(&["users", &id(api, &user).await?, "unblock"], &json!({})).await?;
                Ok(Output::Done(format!("{user} is no longer blocked")))
            }
            Self::Delete { user, confirmation } => {
                let id = id(api, &user).await?;
                let loss = api.show(&["users", &id, "deletion"]).await?;
                confirmation.of(&format!("The user {user} is to be deleted, and with it:"), &loss)?;
                api.delete(&["users", &id]).await?;
                Ok(Output::Done(format!("{user} is deleted")))
            }
        }
    }
}

impl Profile {
    fn fields(self) -> Result<Value, Failure> {
        let mut body = json!({});
        for (field, value) in [("name", self.name), ("email", self.email)] {
            if let Some(value) = value {
                body[field] = json!(value);
            }
        }
        if self.password_stdin {
            body["password"] = json!(piped_secret()?.expose_secret());
        }
        Ok(body)
    }
}

/// The number of the user with this name; a number is taken as it is.
pub(super) async fn id(api: &Api, user: &str) -> Result<String, Failure> {
    if user.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(user.to_owned());
    }
    match named(api, user).await? {
        Some(user) => Ok(user["id"].to_string()),
        None => Err(Failure::refused(404, &format!("there is no user '{user}'"))),
    }
}

/// The user with this name, in any case.
async fn named(api: &Api, username: &str) -> Result<Option<Value>, Failure> {
    Ok(api.list(&["users"], &[("username", username.to_owned())]).await?.into_iter().next())
}
