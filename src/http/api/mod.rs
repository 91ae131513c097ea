//! The REST API, shaped like GitLab's v4 so that its clients work unchanged: every route is on this page. It changes
//! identities and switches, and never serves content. Handlers take a [`caller::Caller`] or get at nothing.
//!
//! Where GitLab leaves a choice or this service differs:
//! - Users need no e-mail address. With `force_random_password` a user has no password at all, only tokens.
//! - Access tokens without `expires_at` live for 365 days, rotated ones for 7; both take any day in the future. Deploy
//!   tokens without it live until they are deleted, and keep their end when they are rotated.
//! - `POST .../rotate` has a parameter `overlap`, in seconds or with a unit such as `24h` or `7d`, at most 30 days: the
//!   old secret stays valid for that time, `old_secret_expires_at` says until when, and the token keeps its number. An
//!   access token that is rotated without it is replaced at once, as in GitLab. Deploy tokens, which GitLab does not
//!   rotate, have 24 hours without it, and end the old secret at once with 0. [`crate::domain::edit::rotation`] has the
//!   rules.
//! - `PUT` on a token gives it another `expires_at` without another secret, which GitLab cannot.
//! - Nothing made by a token outlives it, unless an administrator's token made it: [`crate::domain::edit::maker`] says how
//!   that is meant. So a token that rotates itself gains no time; who prolongs it is an administrator, or its user with the
//!   password, or for a group access token an owner whose token ends later.
//! - Whoever makes more than the settings allow gets 400 with GitLab's `Maximum number of ... exceeded`, and too many changes
//!   in a minute are 429 with `Retry-After`.
//! - A revoked or expired token stays listed for 90 days, unless its user or group has too many of them. A revoked group
//!   access token goes at once, with its bot, and so does a deleted deploy token.
//! - `PUT /user` with `current_password` and `password` changes the caller's own password, and nothing else.
//! - Managing group tokens and deploy tokens, and purging, needs an owner.
//! - `/tokens` has the tokens of every kind and group that the caller may see, and `find` looks one up.
//! - What a deletion, a revocation or a purge takes with it can be read before: [`losses`] has the routes.
//! - `dependency_proxy_enabled` in a group is `null` where it says as the group above says.

mod access_tokens;
mod caller;
mod deploy_tokens;
mod error;
mod group_tokens;
mod groups;
mod losses;
mod members;
mod own_password;
mod own_token;
mod pace;
mod page;
mod params;
mod personal_tokens;
mod rotations;
mod settings;
mod state;
mod tokens;
mod users;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod lifetimes;
#[cfg(test)]
mod maxima;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod wire;

use actix_web::{Resource, web};

pub(crate) use self::caller::Identities;
use self::error::ApiError;
pub(crate) use self::pace::Pace;
pub(crate) use self::state::ApiState;
use super::get;

/// Puts all routes of the API below `/api/v4`. They need `web::Data<ApiState>`.
pub(crate) fn configure(cfg: &mut web::ServiceConfig) {
    use self::{deploy_tokens as deploy, group_tokens as bots, personal_tokens as personal};
    use web::{delete, post, put};
    let api = web::scope("/api/v4")
        .service(at("/user").route(get().to(users::current)).route(put().to(own_password::change)))
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
        .service(at("/users/{id}/personal_access_tokens").route(post().to(personal::create)))
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
        .service(at("/groups").route(get().to(groups::list)).route(post().to(groups::create)))
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
        .service(at("/groups/{id}/members").route(get().to(members::list)).route(post().to(members::add)))
        .service(at("/groups/{id}/members/all").route(get().to(members::list_all)))
        .service(at("/groups/{id}/members/all/{user_id}").route(get().to(members::show_all)))
        .service(
            at("/groups/{id}/members/{user_id}")
                .route(get().to(members::show))
                .route(put().to(members::update))
                .route(delete().to(members::remove)),
        )
        .service(at("/groups/{id}/access_tokens").route(get().to(bots::list)).route(post().to(bots::create)))
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
        .service(at("/application/settings").route(get().to(settings::show)).route(put().to(settings::update)))
        .default_service(web::to(no_route));
    cfg.service(api);
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
