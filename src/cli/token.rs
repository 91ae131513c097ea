//! `token`: subcommands for tokens, the credentials of programs. Deploy tokens and group access tokens belong to a
//! group, personal access tokens to a user.

mod create;
mod lookup;
mod owner;
mod rotation;

use clap::{Args, Subcommand};
use serde_json::json;

pub(super) use self::create::default_end;
use self::create::{Create, End, NewEnd};
use self::owner::Owner;
use super::client::Api;
use super::confirmation::{Confirmation, is_loss, note_brought_forward};
use super::connection::Connection;
use super::failure::Failure;
use super::output::{Columns, Output};
use crate::domain::overlap::Overlap;

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
    /// Create a token, by default one that can only pull and expires in 90 days; its secret is shown only now. A
    /// token with a secret of your own (--secret-stdin) does not expire unless an end is given
    #[command(after_help = "Examples:\n\
\x20 dependency-proxy token create --group team --name ci --days 365\n\
\x20 dependency-proxy token create --user alice --name laptop --scopes api")]
    Create(Create),
    /// List the tokens of a group or of a user, or all that you may see, with the group of each
    #[command(after_help = "Example: dependency-proxy token list --group team --active")]
    List {
        #[command(flatten)]
        owner: Owner,
        /// Only active tokens
        #[arg(long)]
        active: bool,
    },
    /// Show one token of any group or user: its group, kind, end, last use and creator
    #[command(after_help = "Example: dependency-proxy token show ci --group team")]
    Show {
        /// Number, name or user name; if several tokens match, they are listed
        #[arg(value_name = "TOKEN")]
        reference: String,
        /// Search only in this group: full path or number
        #[arg(long)]
        group: Option<String>,
    },
    /// Replace the secret of a token; the old secret stays valid for the overlap, and older ones do not. If no end is
    /// given, a deploy token keeps its own, and an access token expires in 90 days, or at its own end if that is later
    #[command(after_help = "Example: dependency-proxy token rotate --group team 7 --overlap 7d")]
    Rotate {
        #[command(flatten)]
        owner: Owner,
        /// Number of the token
        id: u64,
        #[command(flatten)]
        end: End,
        /// Time for which the old secret stays valid, such as 1h 30m or 7d, at most 30d; 0 ends it at once
        #[arg(long, default_value_t = Overlap::DEFAULT)]
        overlap: Overlap,
    },
    /// Change the end of a token, within the limits of its creator and the settings, and keep its secret. An earlier
    /// end is also that of what the token created
    #[command(after_help = "Example: dependency-proxy token extend --group team 7 --days 365")]
    Extend {
        #[command(flatten)]
        owner: Owner,
        /// Number of the token
        id: u64,
        #[command(flatten)]
        end: NewEnd,
    },
    /// Revoke a token, with effect from the next request; if it created others that end with it, lists them and
    /// asks for confirmation
    #[command(after_help = "Example: dependency-proxy token revoke --group team 7")]
    Revoke {
        #[command(flatten)]
        owner: Owner,
        /// Number of the token
        id: u64,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

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
    "revoked_at",
    "expires_at",
    OLD_END,
    "last_used_at",
    "last_used_ips",
    "created_at",
    "created_by",
];
/// Field with the end of the secret that a rotation replaced, while that secret is valid.
const OLD_END: &str = "old_secret_expires_at";

impl TokenArgs {
    /// Runs the subcommand and prints its result.
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
            Self::List { owner, active } => owner.named(api).await?.list(api, active).await,
            Self::Show { reference, group } => {
                Ok(Output::One(FOUND, lookup::find(api, &reference, group.as_deref()).await?))
            }
            Self::Rotate { owner, id, end, overlap } => {
                owner.located(api, id).await?.rotate(api, id, end, overlap).await
            }
            Self::Extend { owner, id, end } => {
                let owner = owner.located(api, id).await?;
                let body = json!({ "expires_at": end.day()? });
                let extended = api.put(&segments(&owner.path(&id.to_string())), &body).await?;
                note_brought_forward(&extended);
                Ok(Output::One(COLUMNS, extended))
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

/// Asks for confirmation where the token at this path created tokens or users that end with it. A deploy token cannot
/// create any.
async fn confirm_revocation(api: &Api, path: &[String], id: u64, confirmation: Confirmation) -> Result<(), Failure> {
    let loss = api.show(&[segments(path).as_slice(), &["revocation"]].concat()).await?;
    match is_loss(&loss) {
        true => confirmation.of(&format!("This revokes token {id}, and with it what it created:"), &loss),
        false => Ok(()),
    }
}

/// Returns the parts of an API path.
pub(super) fn segments(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}
