//! Endpoints of the service as a whole.

use crate::http::api::endpoint::{Access, Endpoint};
use crate::http::api::version;

pub(super) fn all() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/version", version::show)
            .summary("Returns the version of GitLab whose API this is like, and that of this service")
            .by(Access::Token),
        Endpoint::get("/metadata", version::metadata)
            .summary("Returns the same as GitLab's metadata")
            .by(Access::Token),
    ]
}
