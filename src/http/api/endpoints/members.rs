//! Endpoints of the members of groups.

use crate::http::api::endpoint::parameter::Parameter;
use crate::http::api::endpoint::{Access, Endpoint};
use crate::http::api::members;

const FILTERS: &[Parameter] = &[Parameter::text("query", "A part of the name or of the user name")];
const NEW: &[Parameter] = &[
    Parameter::number("user_id", "The number of the user"),
    Parameter::text("username", "The user name, needed without `user_id`"),
    Parameter::access_level("access_level", "The rights, at least those that the user has from a group above")
        .required(),
    EXPIRES_AT,
];
const CHANGE: &[Parameter] = &[
    Parameter::access_level("access_level", "The rights, at least those that the user has from a group above"),
    EXPIRES_AT,
];
const EXPIRES_AT: Parameter =
    Parameter::day("expires_at", "The day at whose beginning in UTC the membership ends; `null`: it does not end")
        .nullable();

pub(super) fn all() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/groups/{id}/members", members::list)
            .summary("Lists the direct members of a group")
            .by(Access::Visitor)
            .takes(FILTERS),
        Endpoint::post("/groups/{id}/members", members::add)
            .summary("Adds a member to a group")
            .by(Access::Owner)
            .takes(NEW)
            .may_refuse(409),
        Endpoint::get("/groups/{id}/members/all", members::list_all)
            .summary("Lists the members of a group and of the groups above it, each with the highest level")
            .by(Access::Visitor)
            .takes(FILTERS),
        Endpoint::get("/groups/{id}/members/all/{user_id}", members::show_all)
            .summary("Returns a member of a group or of a group above it")
            .by(Access::Visitor),
        Endpoint::get("/groups/{id}/members/{user_id}", members::show)
            .summary("Returns a direct member of a group")
            .by(Access::Visitor),
        Endpoint::put("/groups/{id}/members/{user_id}", members::update)
            .summary("Changes the membership of a direct member of a group")
            .by(Access::Owner)
            .takes(CHANGE),
        Endpoint::delete("/groups/{id}/members/{user_id}", members::remove)
            .summary("Removes a direct member from a group")
            .by(Access::SelfOrOwner),
    ]
}
