//! Names of principals that are no users, for lists of who did something.

use super::visitor::Visitor;
use crate::domain::id::TokenId;

/// Returns a deploy token with its group, if the token is still known.
pub(super) fn deploy_token(visitor: &Visitor, token: Option<TokenId>, name: Option<&str>) -> String {
    let directory = &visitor.caller.directory;
    let group = token.and_then(|token| directory.token(token)).and_then(|token| directory.group(token.group()?));
    let of = group.map(|group| format!(" of {}", group.path)).unwrap_or_default();
    format!("deploy token {}{of}", name.unwrap_or_default())
}
