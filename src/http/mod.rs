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
//! Around all of them: [`request_id`] names each request, [`measured`] counts it.

mod api;
mod authorized;
mod body;
mod credentials;
mod error;
mod health;
mod lane;
mod measured;
mod public_url;
mod registry;
mod request_body;
mod request_id;
mod state;
mod token;

use actix_web::middleware::from_fn;
use actix_web::web;

pub(crate) use api::ApiState;
pub(crate) use lane::Lane;
pub(crate) use public_url::PublicUrl;
pub(crate) use state::{RegistryOptions, RegistryState};

/// Every public route, on one page.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config.service(
        web::scope("")
            .wrap(from_fn(measured::count))
            .wrap(from_fn(request_id::give))
            // A prefix, compared as text: a pattern would be matched anew at every pull.
            .service(web::scope("/v2").default_service(web::route().to(registry::answer)))
            .configure(api::configure)
            .route("/healthz", web::get().to(health::alive))
            .route("/readyz", web::get().to(health::ready))
            .route("/jwt/auth", web::route().to(token::answer))
            .default_service(web::route().to(registry::nothing_here)),
    );
}
