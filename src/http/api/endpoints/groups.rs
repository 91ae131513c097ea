//! Endpoints of groups.

use crate::http::api::endpoint::parameter::Parameter;
use crate::http::api::endpoint::{Access, Endpoint};
use crate::http::api::{groups, previews};

const FILTERS: &[Parameter] = &[
    SEARCH,
    OWNED,
    MIN_ACCESS_LEVEL,
    ONLY_VISIBILITY,
    ALL_AVAILABLE,
    ORDER_BY,
    SORT,
    Parameter::flag("top_level_only", "With `true` only groups at the top"),
];
const FILTERS_BELOW: &[Parameter] = &[SEARCH, OWNED, MIN_ACCESS_LEVEL, ONLY_VISIBILITY, ALL_AVAILABLE, ORDER_BY, SORT];
const NEW: &[Parameter] = &[
    NAME.required(),
    PATH.required(),
    DESCRIPTION,
    Parameter::number("parent_id", "The group above; without it the group is at the top").nullable(),
    Parameter::one_of(
        "visibility",
        VISIBILITIES,
        "Who may see the group and pull from it, at most those of the group above; without it as the group above, and \
         `private` at the top",
    ),
];
const CHANGE: &[Parameter] = &[
    NAME,
    PATH,
    DESCRIPTION,
    Parameter::one_of(
        "visibility",
        VISIBILITIES,
        "Who may see the group and pull from it: at most those of the group above, at least those of the groups below",
    ),
    Parameter::flag("dependency_proxy_enabled", "Whether the group may pull; `null`: as the group above").nullable(),
    Parameter::number(
        "dependency_proxy_max_bytes",
        "The quota of what the group has cached, more than 0; `null`: none of its own",
    )
    .nullable(),
    Parameter::number(
        "dependency_proxy_unpulled_days",
        "The days after its last pull after which an image goes, at most 36500; 0: never; `null`: as the group above",
    )
    .nullable(),
    Parameter::number(
        "dependency_proxy_tag_freshness_seconds",
        "The time for which tags are fresh, at most 31536000; 0: they are revalidated at every pull; `null`: as the \
         group above",
    )
    .nullable(),
];

const SEARCH: Parameter = Parameter::text("search", "A part of the name or of the last part of the path");
const OWNED: Parameter = Parameter::flag("owned", "With `true` only groups that the caller owns as a member");
const MIN_ACCESS_LEVEL: Parameter =
    Parameter::access_level("min_access_level", "Only groups in which the caller has at least this level as a member");
const ONLY_VISIBILITY: Parameter = Parameter::one_of("visibility", VISIBILITIES, "Only groups of this visibility");
const ALL_AVAILABLE: Parameter =
    Parameter::flag("all_available", "With `false` only groups of which the caller is a member");
const ORDER_BY: Parameter =
    Parameter::one_of("order_by", &["name", "path", "id"], "The order; by name without it, and others are refused");
const SORT: Parameter = Parameter::one_of("sort", &["asc", "desc"], "The direction of the order; `asc` without it");

const NAME: Parameter = Parameter::text("name", "The name for people: one line of 1 to 255 characters");
const PATH: Parameter = Parameter::text(
    "path",
    "The last part of the path: letters, which become lower case, and digits with single `.`, `_` or `-` between them; \
     the whole path has at most 255 characters, and some names are reserved",
);
const DESCRIPTION: Parameter = Parameter::text("description", "What the group is for: at most 500 characters");
const VISIBILITIES: &[&str] = &["private", "internal", "public"];

const TRANSFER: &[Parameter] =
    &[Parameter::number("group_id", "The number of the group above; without it the group comes to the top")];

pub(super) fn all() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/groups", groups::list).summary("Lists the groups that the caller sees").takes(FILTERS),
        Endpoint::post("/groups", groups::create)
            .summary("Creates a group below one that the caller owns; only administrators create one at the top")
            .by(Access::OwnerAbove)
            .takes(NEW)
            .may_refuse(404),
        Endpoint::get("/groups/{id}", groups::show).summary("Returns a group").by(Access::Visitor),
        Endpoint::put("/groups/{id}", groups::update)
            .summary("Changes a group; a new path needs an owner of the group above, and an administrator at the top")
            .by(Access::Owner)
            .takes(CHANGE),
        Endpoint::delete("/groups/{id}", groups::delete)
            .summary("Deletes a group with the groups below it, their tokens, and what they have cached")
            .by(Access::Owner),
        Endpoint::post("/groups/{id}/transfer", groups::transfer)
            .summary("Moves a group below another one that the caller owns; only administrators move one to the top")
            .by(Access::Owner)
            .takes(TRANSFER),
        Endpoint::get("/groups/{id}/deletion", previews::of_group)
            .summary("Returns what would go with a group that is deleted")
            .by(Access::Owner),
        Endpoint::get("/groups/{id}/subgroups", groups::subgroups)
            .summary("Lists the groups directly below a group that the caller sees")
            .by(Access::Visitor)
            .takes(FILTERS_BELOW),
        Endpoint::get("/groups/{id}/descendant_groups", groups::descendants)
            .summary("Lists all groups below a group that the caller sees")
            .by(Access::Visitor)
            .takes(FILTERS_BELOW),
    ]
}
