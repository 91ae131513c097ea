//! Endpoints of deploy tokens.

use super::group_tokens::INCLUDE_DELETED;
use super::personal_tokens::NAME;
use crate::http::api::deploy_tokens as tokens;
use crate::http::api::endpoint::parameter::Parameter;
use crate::http::api::endpoint::{Access, Endpoint};

const FILTERS: &[Parameter] =
    &[Parameter::flag("active", "Only tokens that are active, or those that are not"), INCLUDE_DELETED];
const NEW: &[Parameter] = &[
    NAME,
    Parameter::text(
        "username",
        "The user name that must be sent with it: at most 255 letters, digits, `_`, `-`, `+` and `.`, and `$` if the request \
         has `token`; `gitlab+deploy-token-N` without it",
    ),
    Parameter::scopes("What the token may do; neither `api` nor `read_api`").required(),
    Parameter::time("expires_at", "The time from which it is no longer valid; it has no end without it"),
    Parameter::secret("token", "A secret of 20 to 1024 characters, from administrators; one is made without it"),
];
const ROTATION: &[Parameter] = &[
    Parameter::time("expires_at", "The time from which it is no longer valid; as before without it"),
    Parameter::text(
        "overlap",
        "The time for which the old secret stays valid, in seconds or with a unit such as `24h` or `7d`, at most 30 days; \
         24 hours without it",
    ),
];
const EXTENSION: &[Parameter] =
    &[Parameter::time("expires_at", "The time from which it is no longer valid; `null`: it has no end")
        .required()
        .nullable()];

pub(super) fn all() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/groups/{id}/deploy_tokens", tokens::list)
            .summary("Lists the deploy tokens of a group")
            .by(Access::Owner)
            .takes(FILTERS),
        Endpoint::post("/groups/{id}/deploy_tokens", tokens::create)
            .summary("Creates a deploy token")
            .by(Access::Owner)
            .takes(NEW),
        Endpoint::get("/groups/{id}/deploy_tokens/{token_id}", tokens::show)
            .summary("Shows a deploy token")
            .by(Access::Owner),
        Endpoint::put("/groups/{id}/deploy_tokens/{token_id}", tokens::extend)
            .summary("Changes the end of a deploy token, which keeps its secret")
            .by(Access::Owner)
            .takes(EXTENSION),
        Endpoint::delete("/groups/{id}/deploy_tokens/{token_id}", tokens::delete)
            .summary("Revokes a deploy token")
            .by(Access::Owner),
        Endpoint::post("/groups/{id}/deploy_tokens/{token_id}/rotate", tokens::rotate)
            .summary("Gives a deploy token a new secret")
            .by(Access::Owner)
            .takes(ROTATION),
        Endpoint::get("/deploy_tokens", tokens::list_all)
            .summary("Lists the deploy tokens of all groups")
            .by(Access::Administrator)
            .takes(FILTERS),
    ]
}
