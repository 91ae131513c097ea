//! The HTTP routes: the only layer with routes ([`server`](crate::server) uses actix_web, too, to listen). It
//! translates requests into calls of the actors' handles and their results into responses, and names neither the store
//! nor an upstream.
//!
//! | path | content | module |
//! |---|---|---|
//! | `/v2/` | version check, which also tests a login | [`registry`] |
//! | `/v2/<group>/dependency_proxy/containers/<image>/manifests/<reference>` | a manifest or an index | [`registry`] |
//! | `/v2/<group>/dependency_proxy/containers/<image>/blobs/<digest>` | a configuration or a layer | [`registry`] |
//! | `.../tags/list`, `.../referrers/<digest>` | lists, passed through from upstream | [`registry`] |
//! | `/jwt/auth` | a bearer token for a credential | [`registry::token`] |
//! | `/api/v4/...` | identities, cached images, sizes of caches, in the shapes of GitLab's REST API | [`api`] |
//! | `/`, `/-/...`, `/groups/...` | the web console: pages for people | [`ui`] |
//! | `/healthz`, `/readyz` | liveness and readiness | [`health`] |
//! | `/fleet/v1/...` | for other replicas, on a port of its own | [`replicas`] |
//!
//! The [`middleware`] gives each request an id and counts its response, with a label for its route
//! ([`request_metrics`]).
//!
//! | module | content |
//! |---|---|
//! | [`refusals`] | what is known of a refused request |
//! | [`refusal_log`] | log lines and counts of refusals, and sums for the audit trail |
//! | [`request_id`] | ids of requests |
//! | [`public_url`] | the URL by which clients reach this service, and the addresses of clients |
//! | [`authorization_header`], [`query`], [`form_body`], [`long_body`] | parts of requests, and bodies of responses |
//! | [`send_queue`] | file ranges that a body hands to the socket of its connection |

mod api;
mod authorization_header;
mod form_body;
mod health;
mod long_body;
mod middleware;
mod public_url;
mod query;
mod refusal_log;
mod refusals;
mod registry;
mod replicas;
mod request_id;
mod request_metrics;
mod send_queue;
mod ui;

/// The properties of the parsers of requests, for `fuzzing`.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod properties {
    pub(crate) use super::public_url::properties::hold as of_forwarded_headers;
}

use actix_web::{Route, guard, web};

pub(crate) use api::{ApiState, Identities, Pace};
pub(crate) use middleware::instrument;
pub(crate) use public_url::PublicUrl;
pub(crate) use refusal_log::{EXAMINED_BYTES, EarlyFault, EarlyRefusals};
pub(crate) use refusals::Refusals;
pub(crate) use registry::path_cache::Paths;
pub(crate) use registry::state::{CurrentUpstreams, RegistryOptions, RegistryState};
pub(crate) use replicas::{ReplicaState, configure_replicas};
pub(crate) use send_queue::SendQueue;
pub(crate) use ui::Console;

/// Registers every public route, those of the console only if it is enabled. All other paths go to the registry, which
/// parses them itself: actix's path patterns would be matched anew at every pull.
pub(crate) fn configure(config: &mut web::ServiceConfig, console: bool) {
    config
        .route("/healthz", get().to(health::alive))
        .route("/readyz", get().to(health::ready))
        .route("/jwt/auth", web::route().to(registry::token::handle))
        .configure(api::configure)
        .configure(|config| {
            if console {
                ui::configure(config)
            }
        })
        .default_service(web::route().to(registry::handle));
}

/// Returns the route for `GET`, and for `HEAD`, which is the same without a body (RFC 9110, section 9.3.2).
pub(crate) fn get() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}
