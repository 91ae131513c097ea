//! Endpoints of personal access tokens, some of which reach group access tokens as well.

use crate::http::api::endpoint::parameter::Parameter;
use crate::http::api::endpoint::{Access, Endpoint};
use crate::http::api::{own_token, personal_tokens as tokens, previews};

const NEW: &[Parameter] = &[NAME, DESCRIPTION, SCOPES, EXPIRES_AT];
const FILTERS: &[Parameter] = &[
    Parameter::number("user_id", "Only tokens of this user; others than the caller for administrators"),
    STATE,
    REVOKED,
    SEARCH,
];

pub(super) const NAME: Parameter =
    Parameter::text("name", "The display name: a line of at most 255 characters").required();
pub(super) const DESCRIPTION: Parameter = Parameter::text("description", "A description of at most 255 characters");
pub(super) const SCOPES: Parameter = Parameter::scopes("What the token may do").required();
pub(super) const EXPIRES_AT: Parameter =
    Parameter::day("expires_at", "The day from which it is no longer valid; in 365 days without it");

pub(super) const STATE: Parameter =
    Parameter::one_of("state", &["active", "inactive"], "Only tokens that are active, or those that are not");
pub(super) const REVOKED: Parameter = Parameter::flag("revoked", "Only tokens that are revoked, or those that are not");
pub(super) const SEARCH: Parameter = Parameter::text("search", "A part of the name");

/// The parameters of the rotation of an access token.
pub(super) const ROTATION: &[Parameter] = &[
    Parameter::day("expires_at", "The day from which it is no longer valid; in 7 days without it"),
    Parameter::text(
        "overlap",
        "The time for which the old secret stays valid, in seconds or with a unit such as `24h` or `7d`, at most 30 days; \
         without it, and with 0, the token is replaced by one with another number",
    ),
];

/// The parameters of another end of an access token.
pub(super) const EXTENSION: &[Parameter] =
    &[Parameter::day("expires_at", "The day from which it is no longer valid; `null`: it has no end")
        .required()
        .nullable()];

pub(super) fn all() -> Vec<Endpoint> {
    let (own, tokens) = (with_the_token_itself(), by_number());
    creation_and_list().into_iter().chain(own).chain(tokens).collect()
}

fn creation_and_list() -> Vec<Endpoint> {
    vec![
        Endpoint::post("/user/personal_access_tokens", own_token::create)
            .summary("Creates a personal access token for the user whose name and password the request has")
            .by(Access::Password)
            .takes(NEW),
        Endpoint::post("/users/{id}/personal_access_tokens", tokens::create)
            .summary("Creates a personal access token for a user")
            .by(Access::SelfOrAdministrator)
            .takes(NEW),
        Endpoint::get("/personal_access_tokens", tokens::list)
            .summary("Lists the access tokens that act as the caller, for administrators those of all users and bots")
            .takes(FILTERS),
    ]
}

fn with_the_token_itself() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/personal_access_tokens/self", tokens::show_self)
            .summary("Shows the token that the request presents")
            .by(Access::Token),
        Endpoint::delete("/personal_access_tokens/self", tokens::revoke_self)
            .summary("Revokes the token that the request presents, and everything that it made")
            .by(Access::Token),
        Endpoint::post("/personal_access_tokens/self/rotate", tokens::rotate_self)
            .summary("Gives the token that the request presents a new secret")
            .takes(ROTATION),
    ]
}

fn by_number() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/personal_access_tokens/{id}", tokens::show)
            .summary("Shows a personal or group access token")
            .by(Access::SelfOrAdministrator),
        Endpoint::put("/personal_access_tokens/{id}", tokens::extend)
            .summary("Changes the end of a token, which keeps its secret")
            .by(Access::SelfOrAdministrator)
            .takes(EXTENSION),
        Endpoint::delete("/personal_access_tokens/{id}", tokens::revoke)
            .summary("Revokes a token and everything that it made")
            .by(Access::SelfOrAdministrator),
        Endpoint::get("/personal_access_tokens/{id}/revocation", previews::of_token)
            .summary("Lists what ends with a token that is revoked")
            .by(Access::SelfOrAdministrator),
        Endpoint::post("/personal_access_tokens/{id}/rotate", tokens::rotate)
            .summary("Gives a token a new secret")
            .by(Access::SelfOrAdministrator)
            .takes(ROTATION),
    ]
}
