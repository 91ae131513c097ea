//! Endpoints of the registries behind this service, and of accounts there.

use crate::http::api::endpoint::parameter::Parameter;
use crate::http::api::endpoint::{Access, Endpoint};
use crate::http::api::{upstream_accounts as accounts, upstreams};

const ACCOUNT: &[Parameter] = &[
    Parameter::text("identity", "The user name at the registry: one line of 1 to 255 characters without `:`")
        .required(),
    Parameter::secret("secret", "The password or token: one line of 1 to 8192 characters").required(),
];

pub(super) fn all() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/groups/{id}/dependency_proxy/upstream_accounts", accounts::list)
            .summary("Lists the accounts that a group uses at registries, its own and those of the groups above")
            .by(Access::Owner),
        Endpoint::put("/groups/{id}/dependency_proxy/upstream_accounts/{upstream}", accounts::set_one)
            .summary("Gives a group an account at a registry, in place of the one that it may have there")
            .by(Access::Owner)
            .takes(ACCOUNT),
        Endpoint::delete("/groups/{id}/dependency_proxy/upstream_accounts/{upstream}", accounts::remove_one)
            .summary("Removes the account of a group at a registry")
            .by(Access::Owner),
        Endpoint::post("/groups/{id}/dependency_proxy/upstream_accounts/{upstream}/test", accounts::test_one)
            .summary("Logs in at a registry with the account of a group, and returns the result")
            .by(Access::Owner),
        Endpoint::get("/dependency_proxy/upstreams", upstreams::list)
            .summary("Lists the registries and their accounts with their states")
            .by(Access::Administrator),
    ]
}
