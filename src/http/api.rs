//! The REST API, in the shapes of GitLab's v4 (<https://docs.gitlab.com/api/rest/>), so that its clients work
//! unchanged; `docs/api.md` lists the calls and the differences. Every route is in [`endpoints`], with its
//! description, from which [`description`] makes an OpenAPI document. The API changes identities, switches, and what
//! is cached; it never serves content. Handlers need a [`caller::Caller`] to reach anything. They fail with the
//! [`error::ApiError`] of their rule, of their parameters, or of the change; that module maps each to a status.
//!
//! A request: [`endpoints`] finds the handler, [`caller`] the user behind the token and the rights, [`params`] reads
//! the parameters, [`response`] has the types of responses, and [`pagination`] makes pages of lists. [`identities`] has
//! the only handle for changes, which [`caller`] uses. What a change takes away is in [`losses`], and [`previews`]
//! shows it.
//!
//! | module | content |
//! |---|---|
//! | [`endpoints`], [`endpoint`], [`description`], [`mod@reference`] | the table of all routes; one of them; its description as OpenAPI, and for readers |
//! | [`caller`], [`identities`], [`pace`] | who calls, and what they may change; snapshots and changes of identities; limits on the rate of changes |
//! | [`params`], [`faults`], [`response`], [`pagination`], [`error`] | parameters, the faults of several, responses, pages of lists, errors |
//! | [`groups`], [`members`], [`users`], [`user_changes`] | groups, their members, and users |
//! | [`tokens`], [`personal_tokens`], [`group_tokens`], [`deploy_tokens`], [`access_tokens`], [`rotations`] | tokens: of all kinds, of each kind, what they have in common, and their rotation |
//! | [`own_password`], [`own_token`] | what a password alone permits |
//! | [`images`], [`image_changes`], [`image_view`], [`pulls`], [`warming`], [`statistics`] | cached images: lists, changes, their view; who pulled; jobs that pull; sizes and traffic |
//! | [`upstreams`], [`upstream_accounts`], [`explanation`] | states of registries; accounts of groups there; who may pull, and by which rule |
//! | [`previews`], [`losses`] | what a change would remove; the confirmation of it |
//! | [`audit_events`] | who changed what |
//! | [`settings`], [`version`], [`mod@problems`] | the switch of the proxy; versions; problems for `/readyz` |
//! | [`state`] | the state that the routes share |

mod access_tokens;
mod audit_events;
mod caller;
mod deploy_tokens;
mod description;
mod endpoint;
mod endpoints;
mod error;
pub(in crate::http) mod explanation;
mod faults;
mod group_tokens;
pub(in crate::http) mod groups;
mod identities;
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
mod previews;
mod problems;
pub(in crate::http) mod pulls;
pub(in crate::http) mod reference;
mod response;
pub(in crate::http) mod rotations;
mod settings;
mod state;
mod statistics;
mod tokens;
pub(in crate::http) mod upstream_accounts;
pub(in crate::http) mod upstreams;
pub(in crate::http) mod user_changes;
mod users;
mod version;
mod warming;

#[cfg(test)]
mod tests;

use actix_web::web;

pub(super) use self::access_tokens::{last_address_uses, last_use, new_secret};
pub(super) use self::caller::{Authority, Caller, Needed, Right, owner_of};
pub(super) use self::endpoints::shows_identities;
pub(super) use self::error::ApiError;
pub(super) use self::faults::Faults;
pub(crate) use self::identities::Identities;
pub(crate) use self::pace::Pace;
pub(crate) use self::problems::problems;
pub(crate) use self::state::ApiState;
use super::get;

/// Registers the description of the API, and all its routes below `/api/v4`. They need `web::Data<ApiState>`.
pub(crate) fn configure(cfg: &mut web::ServiceConfig) {
    let description = web::resource("/api/openapi.json").route(get().to(description::show));
    cfg.service(description.default_service(web::to(endpoints::only_get))).service(endpoints::scope());
}
