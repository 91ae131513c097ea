//! Endpoints of users.

use crate::http::api::endpoint::parameter::Parameter;
use crate::http::api::endpoint::{Access, Endpoint};
use crate::http::api::{members, own_password, previews, users};

const OWN_PASSWORD: &[Parameter] = &[
    Parameter::secret("current_password", "The present password; a wrong one counts as a failed login").required(),
    PASSWORD.required(),
];
const FILTERS: &[Parameter] = &[
    Parameter::text("search", "A part of the name or of the user name; for administrators also of the email address"),
    Parameter::text("username", "The whole user name, in upper or lower case"),
    Parameter::flag("active", "With `true` only users who are not blocked"),
    Parameter::flag("blocked", "With `true` only blocked users"),
    Parameter::flag("admins", "With `true` only administrators; for administrators alone"),
    Parameter::flag("humans", "With `true` no users that act for group access tokens"),
    Parameter::flag("without_project_bots", "The same as `humans`"),
    Parameter::one_of("order_by", &["id", "name", "username"], "The order; by id without it, and others are refused"),
    Parameter::one_of("sort", &["asc", "desc"], "The direction of the order; `desc` without it"),
];
const NEW: &[Parameter] = &[
    USERNAME.required(),
    NAME.required(),
    EMAIL,
    ADMIN,
    Parameter::secret(
        "password",
        "The password: 8 to 128 characters, and not of the form of a token; needed without `force_random_password`",
    ),
    Parameter::flag("force_random_password", "With `true` the user has no password, but tokens only"),
];
const CHANGE: &[Parameter] = &[USERNAME, NAME, EMAIL, ADMIN, PASSWORD];
const DELETION: &[Parameter] =
    &[Parameter::flag("hard_delete", "With `true` also a user who is the only owner of a group")];
const MEMBERSHIPS: &[Parameter] = &[Parameter::one_of(
    "type",
    &["Namespace", "Project"],
    "What the user is a member of: `Namespace` is a group; there are no projects",
)];

const USERNAME: Parameter = Parameter::text(
    "username",
    "The user name: at most 255 letters, digits, `_`, `-` and `.`, without `-` at the beginning, and neither \
     `gitlab-ci-token` nor `oauth2`",
);
const NAME: Parameter = Parameter::text("name", "The name for people: one line of 1 to 255 characters");
const EMAIL: Parameter =
    Parameter::text("email", "The email address: one line of at most 255 characters; nothing is sent to it");
const ADMIN: Parameter = Parameter::flag("admin", "Whether the user is an administrator");
const PASSWORD: Parameter =
    Parameter::secret("password", "The new password: 8 to 128 characters, and not of the form of a token");

pub(super) fn all() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/user", users::current).summary("Returns the caller"),
        Endpoint::put("/user", own_password::change)
            .summary("Changes the password of the caller")
            .by(Access::TokenOrPassword)
            .takes(OWN_PASSWORD),
        Endpoint::get("/users", users::list).summary("Lists the users").takes(FILTERS),
        Endpoint::post("/users", users::create)
            .summary("Creates a user")
            .by(Access::Administrator)
            .takes(NEW)
            .may_refuse(409),
        Endpoint::get("/users/{id}", users::show).summary("Returns a user"),
        Endpoint::put("/users/{id}", users::update)
            .summary("Changes a user")
            .by(Access::Administrator)
            .takes(CHANGE)
            .may_refuse(409),
        Endpoint::delete("/users/{id}", users::delete)
            .summary("Deletes a user with all tokens and memberships")
            .by(Access::Administrator)
            .takes(DELETION)
            .may_refuse(409),
        Endpoint::get("/users/{id}/deletion", previews::of_user)
            .summary("Returns what would go with a user who is deleted")
            .by(Access::Administrator)
            .takes(DELETION)
            .may_refuse(409),
        Endpoint::post("/users/{id}/block", users::block)
            .summary("Blocks a user: neither the password nor any token is accepted")
            .by(Access::Administrator),
        Endpoint::post("/users/{id}/unblock", users::unblock).summary("Unblocks a user").by(Access::Administrator),
        Endpoint::get("/users/{id}/memberships", members::of_user)
            .summary("Lists the groups of which a user is a direct member")
            .by(Access::SelfOrAdministrator)
            .takes(MEMBERSHIPS),
    ]
}
