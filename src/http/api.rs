//! The REST API, in the shapes of GitLab's v4 (<https://docs.gitlab.com/api/rest/>), so that its clients work
//! unchanged. Every route is listed in this module. The API changes identities, switches, and what is cached; it never
//! serves content. Handlers need a [`caller::Caller`] to reach anything. They fail with the [`error::ApiError`] of
//! their rule, of their parameters, or of the change; that module maps each to a status.
//!
//! Choices that GitLab leaves open, and differences from it:
//! - Users need no e-mail address. With `force_random_password` a user has no password at all, only tokens.
//! - Access tokens without `expires_at` are valid for 365 days, rotated ones for 7; both accept any day in the
//!   future. Deploy tokens without it are valid until they are deleted, and keep their expiry when they are
//!   rotated.
//! - `POST .../rotate` has a parameter `overlap`, in seconds or with a unit such as `24h` or `7d`, at most 30 days:
//!   the old secret stays valid for that time, `old_secret_expires_at` contains its end, and the token keeps its
//!   number. An access token that is rotated without it is replaced at once, as in GitLab. Deploy tokens, which
//!   GitLab does not rotate, have 24 hours without it; 0 ends the old secret at once. The rules are in
//!   [`crate::domain::commands::rotation`].
//! - A token that is revoked, and a personal access token that has expired, cannot be rotated: 403 with a sentence,
//!   where GitLab has 401, which would be about the caller's own token.
//! - `PUT` on a token changes its `expires_at` and keeps its secret, which GitLab cannot. Only `null` removes the end.
//! - What a token creates does not outlive it, unless it is an administrator's token: if the token gets an earlier end,
//!   by `PUT` or by a rotation, so does what it created. The response has the names in `brought_forward`.
//!   [`crate::domain::commands::maker`] has the details. So a token that rotates itself is not extended. It can be
//!   extended by an administrator, by its user with the password, or, for a group access token, by an owner whose
//!   token ends later.
//! - A caller who creates more than the settings allow gets 400 with GitLab's `Maximum number of ... exceeded`. Too
//!   many changes in a minute are 429 with `Retry-After`.
//! - A revoked or expired token stays listed for 90 days, unless its user or group has too many of them. A revoked
//!   group access token is deleted at once, with its bot, and so is a deploy token; both are in `/tokens` as revoked
//!   while their tombstones are kept, and with `include_deleted` in the lists of their groups.
//! - `PUT /user` with `current_password` and `password` changes the caller's own password, and nothing else. A wrong
//!   `current_password` is 400, and logged and counted as a refusal all the same.
//! - `last_used_ips` of a token has up to five addresses, the latest first, as GitLab's has; `last_used_from` has them
//!   with their times. Both are there for tokens of every kind, for those who may manage the token.
//! - Managing group tokens and deploy tokens, purging, and deleting and pinning cached images needs an owner; members
//!   list them. GitLab has no such routes for images.
//! - `/tokens` lists the tokens of every kind and group that the caller may see; `find` searches them.
//! - The objects that a deletion, a revocation or a purge would remove can be listed before: the routes are in
//!   [`losses`].
//! - `dependency_proxy_enabled` of a group is `null` if it inherits the value of the group above. So is
//!   `dependency_proxy_unpulled_days`, after which images go that nobody pulls (0: never), and
//!   `dependency_proxy_tag_freshness_seconds`, the time for which tags are fresh.
//! - The account of a group at Docker Hub (`identity` and `secret`, in GitLab a GraphQL mutation) is one of
//!   `/groups/:id/dependency_proxy/upstream_accounts`, by upstream; groups below inherit it.
//! - `dependency_proxy_max_bytes`, the quota of a group's cache, is `null` if it has none of its own.

mod access_tokens;
mod audit_events;
mod caller;
mod deploy_tokens;
mod error;
pub(in crate::http) mod explanation;
mod group_tokens;
pub(in crate::http) mod groups;
pub(in crate::http) mod image_changes;
mod image_view;
mod images;
pub(in crate::http) mod losses;
mod members;
pub(in crate::http) mod own_password;
mod own_token;
mod pace;
mod pagination;
mod params;
mod personal_tokens;
mod problems;
pub(in crate::http) mod pulls;
pub(in crate::http) mod rotations;
mod settings;
mod state;
mod statistics;
mod tokens;
pub(in crate::http) mod upstream_accounts;
mod upstreams;
pub(in crate::http) mod user_changes;
mod users;
mod warming;

#[cfg(test)]
mod tests;

use actix_web::web::{delete, post, put};
use actix_web::{Resource, Scope, web};

pub(super) use self::access_tokens::{last_address_uses, last_use, new_secret};
pub(crate) use self::caller::Identities;
pub(super) use self::caller::{Authority, Caller, Needed, Right, owner_of};
pub(super) use self::error::ApiError;
pub(crate) use self::pace::Pace;
pub(crate) use self::problems::problems;
pub(crate) use self::state::ApiState;
use super::get;

/// Registers all routes of the API below `/api/v4`. They need `web::Data<ApiState>`.
pub(crate) fn configure(cfg: &mut web::ServiceConfig) {
    let api = web::scope("/api/v4");
    let api = group_routes(user_token_routes(user_routes(api)));
    let api = audit_routes(group_token_routes(member_routes(image_routes(api))))
        .service(at("/application/settings").route(get().to(settings::show)).route(put().to(settings::update)))
        .default_service(web::to(no_route));
    cfg.service(api);
}

/// Adds the routes of users.
fn user_routes(api: Scope) -> Scope {
    api.service(at("/user").route(get().to(users::current)).route(put().to(own_password::change)))
        .service(at("/user/personal_access_tokens").route(post().to(own_token::create)))
        .service(at("/users").route(get().to(users::list)).route(post().to(users::create)))
        .service(
            at("/users/{id}")
                .route(get().to(users::show))
                .route(put().to(users::update))
                .route(delete().to(users::delete)),
        )
        .service(at("/users/{id}/deletion").route(get().to(losses::of_user)))
        .service(at("/users/{id}/memberships").route(get().to(members::of_user)))
        .service(at("/users/{id}/block").route(post().to(users::block)))
        .service(at("/users/{id}/unblock").route(post().to(users::unblock)))
}

/// Adds the routes of personal access tokens, and of all tokens that a caller may see.
fn user_token_routes(api: Scope) -> Scope {
    use self::personal_tokens as personal;
    api.service(at("/users/{id}/personal_access_tokens").route(post().to(personal::create)))
        .service(at("/personal_access_tokens").route(get().to(personal::list)))
        .service(
            at("/personal_access_tokens/self")
                .route(get().to(personal::show_self))
                .route(delete().to(personal::revoke_self)),
        )
        .service(at("/personal_access_tokens/self/rotate").route(post().to(personal::rotate_self)))
        .service(
            at("/personal_access_tokens/{id}")
                .route(get().to(personal::show))
                .route(put().to(personal::extend))
                .route(delete().to(personal::revoke)),
        )
        .service(at("/personal_access_tokens/{id}/revocation").route(get().to(losses::of_token)))
        .service(at("/personal_access_tokens/{id}/rotate").route(post().to(personal::rotate)))
        .service(at("/tokens").route(get().to(tokens::list)))
        .service(at("/tokens/{id}").route(get().to(tokens::show)))
}

/// Adds the routes of groups.
fn group_routes(api: Scope) -> Scope {
    api.service(at("/groups").route(get().to(groups::list)).route(post().to(groups::create)))
        .service(
            at("/groups/{id}")
                .route(get().to(groups::show))
                .route(put().to(groups::update))
                .route(delete().to(groups::delete)),
        )
        .service(at("/groups/{id}/subgroups").route(get().to(groups::subgroups)))
        .service(at("/groups/{id}/descendant_groups").route(get().to(groups::descendants)))
        .service(at("/groups/{id}/deletion").route(get().to(losses::of_group)))
        .service(
            at("/groups/{id}/dependency_proxy/cache")
                .route(get().to(losses::of_cache))
                .route(delete().to(groups::purge)),
        )
}

/// Adds the routes of cached images, and of the sizes of caches.
fn image_routes(api: Scope) -> Scope {
    api.service(at("/groups/{id}/dependency_proxy/images").route(get().to(images::list)))
        .service(
            at("/groups/{id}/dependency_proxy/images/{image:.+}")
                .route(get().to(images::show))
                .route(put().to(images::update))
                .route(delete().to(images::delete)),
        )
        .service(at("/groups/{id}/dependency_proxy/pulls/{image:.+}").route(get().to(pulls::list)))
        .service(at("/groups/{id}/dependency_proxy/refresh/{image:.+}").route(post().to(images::refresh)))
        .service(
            at("/groups/{id}/dependency_proxy/warm").route(get().to(warming::list)).route(post().to(warming::start)),
        )
        .service(
            at("/groups/{id}/dependency_proxy/warm/{job}")
                .route(get().to(warming::show))
                .route(delete().to(warming::cancel)),
        )
        .service(at("/groups/{id}/dependency_proxy/upstream_accounts").route(get().to(upstream_accounts::list)))
        .service(
            at("/groups/{id}/dependency_proxy/upstream_accounts/{upstream}")
                .route(put().to(upstream_accounts::set_one))
                .route(delete().to(upstream_accounts::remove_one)),
        )
        .service(
            at("/groups/{id}/dependency_proxy/upstream_accounts/{upstream}/test")
                .route(post().to(upstream_accounts::test_one)),
        )
        .service(at("/groups/{id}/dependency_proxy/explain").route(get().to(explanation::show)))
        .service(at("/groups/{id}/dependency_proxy/statistics").route(get().to(statistics::of_group)))
        .service(at("/dependency_proxy/statistics").route(get().to(statistics::of_store)))
        .service(at("/dependency_proxy/groups").route(get().to(statistics::of_groups)))
        .service(at("/dependency_proxy/upstreams").route(get().to(upstreams::list)))
}

/// Adds the routes of the members of a group.
fn member_routes(api: Scope) -> Scope {
    api.service(at("/groups/{id}/members").route(get().to(members::list)).route(post().to(members::add)))
        .service(at("/groups/{id}/members/all").route(get().to(members::list_all)))
        .service(at("/groups/{id}/members/all/{user_id}").route(get().to(members::show_all)))
        .service(
            at("/groups/{id}/members/{user_id}")
                .route(get().to(members::show))
                .route(put().to(members::update))
                .route(delete().to(members::remove)),
        )
}

/// Adds the routes of group access tokens and deploy tokens.
fn group_token_routes(api: Scope) -> Scope {
    use self::{deploy_tokens as deploy, group_tokens as bots};
    api.service(at("/groups/{id}/access_tokens").route(get().to(bots::list)).route(post().to(bots::create)))
        .service(at("/groups/{id}/access_tokens/self/rotate").route(post().to(bots::rotate_self)))
        .service(
            at("/groups/{id}/access_tokens/{token_id}")
                .route(get().to(bots::show))
                .route(put().to(bots::extend))
                .route(delete().to(bots::revoke)),
        )
        .service(at("/groups/{id}/access_tokens/{token_id}/revocation").route(get().to(losses::of_group_token)))
        .service(at("/groups/{id}/access_tokens/{token_id}/rotate").route(post().to(bots::rotate)))
        .service(at("/groups/{id}/deploy_tokens").route(get().to(deploy::list)).route(post().to(deploy::create)))
        .service(
            at("/groups/{id}/deploy_tokens/{token_id}")
                .route(get().to(deploy::show))
                .route(put().to(deploy::extend))
                .route(delete().to(deploy::delete)),
        )
        .service(at("/groups/{id}/deploy_tokens/{token_id}/rotate").route(post().to(deploy::rotate)))
        .service(at("/deploy_tokens").route(get().to(deploy::list_all)))
}

/// Adds the routes of audit events.
fn audit_routes(api: Scope) -> Scope {
    use self::audit_events as audit;
    api.service(at("/audit_events").route(get().to(audit::list)))
        .service(at("/audit_events/{id}").route(get().to(audit::show)))
        .service(at("/groups/{id}/audit_events").route(get().to(audit::of_group)))
        .service(at("/groups/{id}/audit_events/{event}").route(get().to(audit::show_of_group)))
}

fn at(path: &str) -> Resource {
    web::resource(path).default_service(web::to(method_not_allowed))
}

async fn no_route() -> Result<&'static str, ApiError> {
    Err(ApiError::NoRoute)
}

async fn method_not_allowed() -> Result<&'static str, ApiError> {
    Err(ApiError::MethodNotAllowed)
}
