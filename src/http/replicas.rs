//! The internal port of a replica, for the other replicas of its fleet. Each request is signed with the secret of the
//! fleet, and each response, too. Its routes show no content.

use std::time::Duration;

use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use crate::actors::follower::FollowerHandle;
use crate::actors::replica_signing::{ReplicaSigning, Signing};
use crate::domain::directory::Version;
use crate::domain::fleet::messages::{NONCE, ReplicaVersion, SIGNATURE, VERSION_PATH, request_text, response_text};
use crate::domain::id::ReplicaId;

/// What the routes use.
pub(crate) struct ReplicaState {
    /// The follower, which looks for changes.
    pub(crate) follower: FollowerHandle,
    /// Signatures of messages.
    pub(crate) signing: ReplicaSigning,
    /// This replica.
    pub(crate) replica: ReplicaId,
}

#[derive(Deserialize)]
struct VersionQuery {
    at_least: Version,
}

/// Maximum time for which a request waits for a change.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// Registers the routes of the internal port.
pub(crate) fn configure_replicas(config: &mut web::ServiceConfig) {
    config.route(VERSION_PATH, web::get().to(version));
}

/// Responds with the version of the directory of this replica, once it is at least the requested one or after a time.
async fn version(request: HttpRequest, state: Data<ReplicaState>) -> HttpResponse {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let (Some(nonce), Some(signature)) = (header(NONCE), header(SIGNATURE)) else {
        return HttpResponse::Unauthorized().finish();
    };
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    if !state.signing.has_signed(&request_text(target, nonce), signature) {
        return HttpResponse::Unauthorized().finish();
    }
    let Ok(web::Query(VersionQuery { at_least })) = web::Query::from_query(request.query_string()) else {
        return HttpResponse::BadRequest().finish();
    };
    let version = state.follower.wait_for(at_least, MAX_WAIT).await;
    let Ok(body) = serde_json::to_string(&ReplicaVersion { replica: state.replica, version }) else {
        return HttpResponse::InternalServerError().finish();
    };
    let signature = state.signing.sign(&response_text(&body, nonce));
    HttpResponse::Ok().insert_header((SIGNATURE, signature)).content_type("application/json").body(body)
}
