//! Endpoints of tokens of every kind.

use super::personal_tokens::{REVOKED, SEARCH, STATE};
use crate::http::api::endpoint::Endpoint;
use crate::http::api::endpoint::parameter::Parameter;
use crate::http::api::tokens;

const FILTERS: &[Parameter] =
    &[Parameter::text("find", "Only tokens that have exactly this number, name or user name"), STATE, REVOKED, SEARCH];

pub(super) fn all() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/tokens", tokens::list)
            .summary("Lists the caller's own tokens and those of groups that the caller owns, for administrators all")
            .takes(FILTERS),
        Endpoint::get("/tokens/{id}", tokens::show).summary("Shows a token that is in the caller's list"),
    ]
}
