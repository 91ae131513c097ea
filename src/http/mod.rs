//! The routes. The only room that knows actix_web; it turns requests into questions to the actors' handles and their
//! answers into HTTP, and names neither the store nor an upstream.
//!
//! | path | what | where |
//! |---|---|---|
//! | `/v2/` | is this a registry, and am I logged in | [`registry`] |
//! | `/v2/<group>/dependency_proxy/containers/<image>/manifests/<reference>` | a manifest or an index | [`registry`] |
//! | `/v2/<group>/dependency_proxy/containers/<image>/blobs/<digest>` | a configuration or a layer | [`registry`] |
//! | `.../tags/list`, `.../referrers/<digest>` | lists, as upstream has them | [`registry`] |
//! | `/jwt/auth` | a bearer token for a credential | [`token`] |
//! | `/api/v4/...` | identities, as GitLab's REST API has them | [`api`] |
//! | `/healthz`, `/readyz` | is it alive, is it ready | [`health`] |
//!
//! Around all of them: [`mod@around`] names each request and counts its answer.

mod api;
mod around;
mod authorized;
mod body;
mod credentials;
mod error;
mod health;
mod lane;
mod long_body;
mod measured;
mod multipart;
mod paths;
mod public_url;
mod refusals;
mod registry;
mod request_body;
mod state;
mod token;

use actix_web::{Route, guard, web};

pub(crate) use api::{ApiState, Identities, Pace};
pub(crate) use around::around;
pub(crate) use lane::Lane;
pub(crate) use paths::Paths;
pub(crate) use public_url::PublicUrl;
pub(crate) use refusals::Refusals;
pub(crate) use state::{CurrentUpstreams, RegistryOptions, RegistryState};

/// Every public route, on one page. What has none of its own is the registry's, whose paths are read by it: patterns would be
/// matched anew at every pull.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/healthz", get().to(health::alive))
        .route("/readyz", get().to(health::ready))
        .route("/jwt/auth", web::route().to(token::answer))
        .configure(api::configure)
        .default_service(web::route().to(registry::answer));
}

/// `GET`, and `HEAD` as that (RFC 9110, section 9.3.2).
pub(crate) fn get() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}
