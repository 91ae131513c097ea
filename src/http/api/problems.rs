//! Problems of this service that an administrator should know, for `/readyz`.

use actix_web::HttpRequest;

use super::caller::Caller;

/// Returns the problems of the service, a sentence each, if the request has the API token of an administrator, and else
/// none. Refuses nothing: readiness is open to everyone.
pub(crate) async fn problems(request: &HttpRequest) -> Vec<String> {
    match Caller::by_token(request) {
        Ok(caller) if caller.authority().administrator().is_ok() => caller.state.images.problems().await,
        Ok(_) | Err(_) => Vec::new(),
    }
}
