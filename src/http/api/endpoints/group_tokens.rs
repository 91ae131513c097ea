//! Endpoints of group access tokens.

use super::personal_tokens::{DESCRIPTION, EXPIRES_AT, EXTENSION, NAME, REVOKED, ROTATION, SCOPES, SEARCH, STATE};
use crate::http::api::endpoint::parameter::Parameter;
use crate::http::api::endpoint::{Access, Endpoint};
use crate::http::api::{group_tokens as tokens, previews};

const FILTERS: &[Parameter] = &[STATE, REVOKED, SEARCH, INCLUDE_DELETED];
const NEW: &[Parameter] = &[
    NAME,
    DESCRIPTION,
    SCOPES,
    EXPIRES_AT,
    Parameter::access_level("access_level", "The access level of its bot in the group; 40 without it"),
];

/// The filter of lists of tokens that are deleted when they are revoked.
pub(super) const INCLUDE_DELETED: Parameter =
    Parameter::flag("include_deleted", "Also tokens that were revoked in the last 90 days, as revoked ones");

pub(super) fn all() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/groups/{id}/access_tokens", tokens::list)
            .summary("Lists the group access tokens of a group")
            .by(Access::Owner)
            .takes(FILTERS),
        Endpoint::post("/groups/{id}/access_tokens", tokens::create)
            .summary("Creates a group access token, which acts as a bot that is a member of the group")
            .by(Access::Owner)
            .takes(NEW),
        Endpoint::post("/groups/{id}/access_tokens/self/rotate", tokens::rotate_self)
            .summary("Gives the group access token that the request presents a new secret")
            .by(Access::Member)
            .takes(ROTATION),
        Endpoint::get("/groups/{id}/access_tokens/{token_id}", tokens::show)
            .summary("Shows a group access token")
            .by(Access::Owner),
        Endpoint::put("/groups/{id}/access_tokens/{token_id}", tokens::extend)
            .summary("Changes the end of a group access token, which keeps its secret")
            .by(Access::Owner)
            .takes(EXTENSION),
        Endpoint::delete("/groups/{id}/access_tokens/{token_id}", tokens::revoke)
            .summary("Revokes a group access token and everything that it made, and deletes its bot")
            .by(Access::Owner),
        Endpoint::get("/groups/{id}/access_tokens/{token_id}/revocation", previews::of_group_token)
            .summary("Lists what ends with a group access token that is revoked")
            .by(Access::Owner),
        Endpoint::post("/groups/{id}/access_tokens/{token_id}/rotate", tokens::rotate)
            .summary("Gives a group access token a new secret")
            .by(Access::Owner)
            .takes(ROTATION),
    ]
}
