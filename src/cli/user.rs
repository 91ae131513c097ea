//! `user`: subcommands for the users of the service.

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
    /// Change your own password; needs the current password and no token. Both passwords are read from
    /// standard input, one per line
    #[command(after_help = "Example:\n\
\x20 dependency-proxy user password alice --current-password-file old --new-password-file new")]
    Password(PasswordArgs),
}

/// The subcommands that need a token, mostly an administrator's.
#[derive(Debug, Subcommand)]
enum Manage {
    /// Create a user, with a generated password, which is written to a file that only you can read, or with a
    /// password that you provide
    #[command(after_help = "Examples:\n\
\x20 dependency-proxy user create alice --email alice@example.com\n\
\x20 dependency-proxy user create robot --no-password --if-missing")]
    Create(CreateArgs),
    /// List the users
    #[command(after_help = "Example: dependency-proxy user list --search alice --json")]
    List {
        /// Only users whose name, user name or address contains this text
        #[arg(long)]
        search: Option<String>,
    },
    /// Show one user
    #[command(after_help = "Example: dependency-proxy user show alice")]
    Show {
        /// User name or number
        user: String,
    },
    /// Change a user
    #[command(after_help = "Example: dependency-proxy user change alice --admin true")]
    Change {
        /// User name or number
        user: String,
        #[command(flatten)]
        profile: Profile,
        /// Make the user an administrator (true) or no longer one (false)
        #[arg(long)]
        admin: Option<bool>,
    },
    /// Block a user: password and tokens stop working with the next request
    #[command(after_help = "Example: dependency-proxy user block alice")]
    Block {
        /// User name or number
        user: String,
    },
    /// Unblock a user: password and tokens work again
    #[command(after_help = "Example: dependency-proxy user unblock alice")]
    Unblock {
        /// User name or number
        user: String,
    },
    /// Delete a user with its tokens, what they created, and its memberships; lists them and asks for confirmation
    #[command(after_help = "Example: dependency-proxy user delete alice --yes")]
    Delete {
        /// User name or number
        user: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

#[derive(Debug, Args)]
struct Profile {
    /// Display name; by default the user name
    #[arg(long)]
    name: Option<String>,
    /// E-mail address
    #[arg(long)]
    email: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
}

const COLUMNS: Columns =
    &["id", "username", "name", "state", "is_admin", "bot", "email", "created_at", "password_file"];

impl UserArgs {
    /// Runs the subcommand and prints its result.
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
                confirmation.of(&format!("This deletes the user {user}, and with it:"), &loss)?;
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

/// Returns the number of the user with this name; a number is returned as it is. Fails where there is no such user.
pub(super) async fn id(api: &Api, user: &str) -> Result<String, Failure> {
    if user.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(user.to_owned());
    }
    match named(api, user).await? {
        Some(user) => Ok(user["id"].to_string()),
        None => Err(Failure::refused(404, &format!("there is no user '{user}'"))),
    }
}

/// Returns the user with this name, ignoring case.
async fn named(api: &Api, username: &str) -> Result<Option<Value>, Failure> {
    Ok(api.list(&["users"], &[("username", username.to_owned())]).await?.into_iter().next())
}
