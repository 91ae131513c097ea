//! The owner of tokens, a group or a user, and the API paths of its tokens.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{OLD_END, segments};
use crate::cli::client::Api;
use crate::cli::failure::Failure;
use crate::cli::group::named;
use crate::cli::output::{Columns, Output};
use crate::cli::user;

/// Arguments that name the owner of tokens.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Owner {
    /// Group that owns the token: full path or number
    #[arg(long, conflicts_with = "user")]
    pub(super) group: Option<String>,
    /// User who owns the token: user name or number
    #[arg(long)]
    pub(super) user: Option<String>,
    /// Kind of a group's token: deploy (it has a user name of its own) or group (access token; its bot
    /// user is a member). By default deploy, or the kind of the token whose number is given
    #[arg(long, conflicts_with = "user")]
    kind: Option<Kind>,
}

/// The kind of a token of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    Deploy,
    Group,
}

const LISTED: Columns =
    &["id", "name", "kind", "group", "username", "active", "expires_at", "last_used_at", "last_used_ips", OLD_END];
const DEPLOY: Columns =
    &["id", "name", "username", "scopes", "revoked", "expired", "expires_at", "last_used_at", "last_used_ips", OLD_END];
const ACCESS: Columns =
    &["id", "name", "user_id", "scopes", "active", "revoked", "expires_at", "last_used_at", "last_used_ips", OLD_END];

impl Owner {
    /// Returns true if the tokens are deploy tokens.
    pub(super) fn is_deploy(&self) -> bool {
        self.group.is_some() && self.kind != Some(Kind::Group)
    }

    /// Lists the tokens, or only the active ones.
    pub(super) async fn list(self, api: &Api, active: bool) -> Result<Output, Failure> {
        let columns = match (&self.group, &self.user) {
            (None, None) => LISTED,
            (Some(_), _) if self.is_deploy() => DEPLOY,
            (Some(_), _) | (None, Some(_)) => ACCESS,
        };
        Ok(Output::List(columns, self.tokens(api, active).await?))
    }

    /// Returns the owner with the name of its group in the path of a request.
    pub(super) async fn named(mut self, api: &Api) -> Result<Self, Failure> {
        if let Some(group) = &self.group {
            self.group = Some(named(api, group).await?);
        }
        Ok(self)
    }

    /// Returns the owner of a token: the given one, completed by that of the token with this number.
    pub(super) async fn located(mut self, api: &Api, id: u64) -> Result<Self, Failure> {
        self = self.named(api).await?;
        if self.user.is_some() || (self.group.is_some() && self.kind.is_some()) {
            return Ok(self);
        }
        let token = api.show(&["tokens", &id.to_string()]).await?;
        let kind = match token["kind"].as_str() {
            Some("deploy") => Kind::Deploy,
            Some("group") => Kind::Group,
            _ => return Ok(self),
        };
        Ok(Self { group: self.group.or_else(|| Some(token["group_id"].to_string())), user: None, kind: Some(kind) })
    }

    /// Returns the tokens, or only the active ones, as the API does.
    pub(super) async fn tokens(&self, api: &Api, active: bool) -> Result<Vec<Value>, Failure> {
        let mut query = Vec::new();
        if active {
            query.push(if self.is_deploy() { ("active", "true".to_owned()) } else { ("state", "active".to_owned()) });
        }
        if let Some(name) = &self.user {
            query.push(("user_id", user::id(api, name).await?));
        }
        if !active && self.group.is_some() {
            query.push(("include_deleted", "true".to_owned()));
        }
        let path =
            if self.group.is_none() && self.user.is_none() { vec!["tokens".to_owned()] } else { self.group_path() };
        api.list(&segments(&path), &query).await
    }

    /// Returns the API path of one token.
    pub(super) fn path(&self, id: &str) -> Vec<String> {
        let mut path = self.group_path();
        path.push(id.to_owned());
        path
    }

    /// Returns the API path of the group's tokens, or of all personal access tokens.
    pub(super) fn group_path(&self) -> Vec<String> {
        let kind = match self.kind {
            None | Some(Kind::Deploy) => "deploy_tokens",
            Some(Kind::Group) => "access_tokens",
        };
        match &self.group {
            Some(group) => ["groups", group, kind].map(str::to_owned).to_vec(),
            None => vec!["personal_access_tokens".to_owned()],
        }
    }
}
