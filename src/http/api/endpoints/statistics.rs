//! Endpoints of the sizes of what is cached, and of the traffic.

use crate::http::api::endpoint::{Access, Endpoint};
use crate::http::api::statistics;

pub(super) fn all() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/groups/{id}/dependency_proxy/statistics", statistics::of_group)
            .summary("Shows the sizes of what a group has cached, and its traffic of the last 30 days")
            .by(Access::Member)
            .may_refuse(503),
        Endpoint::get("/dependency_proxy/groups", statistics::of_groups)
            .summary("Lists the sizes of the groups of which the caller is a member, and of all for administrators")
            .may_refuse(503),
        Endpoint::get("/dependency_proxy/statistics", statistics::of_store)
            .summary("Shows the sizes of the whole store, and the traffic of the last 30 days")
            .by(Access::Administrator)
            .may_refuse(503),
    ]
}
