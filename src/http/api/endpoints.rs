//! All endpoints of the API: its routes and their descriptions. A new endpoint is an entry in the table of its subject,
//! beside the others of the same path; every parameter that its handler reads is in it.
//!
//! The subjects: [`groups`], [`members`], [`users`]; [`tokens`], [`personal_tokens`], [`group_tokens`],
//! [`deploy_tokens`]; [`images`], [`statistics`]; [`accounts`] at upstreams; [`mod@audit`]; [`settings`], [`service`].

mod accounts;
mod audit;
mod deploy_tokens;
mod group_tokens;
mod groups;
mod images;
mod members;
mod personal_tokens;
mod service;
mod settings;
mod statistics;
mod tokens;
mod users;

use actix_web::body::MessageBody;
use actix_web::dev::{HttpServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::Data;
use actix_web::{Error, Resource, ResponseError, web};

use super::endpoint::Endpoint;
use super::error::ApiError;
use super::state::ApiState;

/// The endpoints of one subject.
pub(in crate::http::api) struct Section {
    /// The subject, for people.
    pub(in crate::http::api) title: &'static str,
    /// The endpoints, in the order in which a reader needs them.
    pub(in crate::http::api) endpoints: Vec<Endpoint>,
}

/// Returns all endpoints by their subjects.
pub(in crate::http::api) fn all() -> Vec<Section> {
    let section = |title, endpoints| Section { title, endpoints };
    vec![
        section("Users", users::all()),
        section("Groups", groups::all()),
        section("Members", members::all()),
        section("Personal access tokens", personal_tokens::all()),
        section("Group access tokens", group_tokens::all()),
        section("Deploy tokens", deploy_tokens::all()),
        section("Tokens of all kinds", tokens::all()),
        section("Cached images", images::all()),
        section("Sizes and traffic", statistics::all()),
        section("Registries and their accounts", accounts::all()),
        section("Audit events", audit::all()),
        section("Settings", settings::all()),
        section("Service", service::all()),
    ]
}

/// Returns the routes of all endpoints below `/api/v4`. Unknown paths are refused, and so are methods that a path does
/// not have. Endpoints of one path follow one another.
pub(in crate::http::api) fn scope() -> impl HttpServiceFactory {
    let mut paths: Vec<Vec<Endpoint>> = Vec::new();
    for endpoint in all().into_iter().flat_map(|section| section.endpoints) {
        match paths.last_mut() {
            Some(same) if same[0].path == endpoint.path => same.push(endpoint),
            _ => paths.push(vec![endpoint]),
        }
    }
    let scope = web::scope("/api/v4").default_service(web::to(no_route));
    let scope = paths.into_iter().fold(scope, |scope, endpoints| scope.service(resource(endpoints)));
    scope.wrap(from_fn(with_valid_identities))
}

/// Middleware of all endpoints: waits until the directory may be used, and delays the response until what it shows is
/// confirmed.
async fn with_valid_identities(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse, Error> {
    let state = request.app_data::<Data<ApiState>>().cloned();
    if let Some(state) = &state
        && let Err(error) = state.identities.hold().await
    {
        return Ok(request.into_response(ApiError::TooOld(error).error_response()));
    }
    let response = next.call(request).await?.map_into_boxed_body();
    if let Some(state) = state
        && shows_identities(response.request().method(), response.status())
        && let Err(error) = state.identities.confirmed().await
    {
        return Ok(response.into_response(ApiError::NotConfirmed(error).error_response()));
    }
    Ok(response)
}

/// Returns true if the response shows identities that were only read. The response to a change has waited for its
/// confirmation already.
pub(in crate::http) fn shows_identities(method: &Method, status: StatusCode) -> bool {
    method.is_safe() || status.is_client_error()
}

/// Returns the resource of the endpoints of one path.
fn resource(endpoints: Vec<Endpoint>) -> Resource {
    let mut allowed: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.method.as_str()).collect();
    if allowed.contains(&"GET") {
        allowed.push("HEAD");
    }
    let allowed = allowed.join(", ");
    let refuse = move || std::future::ready(Err::<&'static str, _>(ApiError::MethodNotAllowed(allowed.clone())));
    let resource = web::resource(endpoints[0].path).default_service(web::to(refuse));
    #[cfg(debug_assertions)]
    let resource = resource.app_data(described(&endpoints));
    endpoints.into_iter().fold(resource, |resource, endpoint| resource.route(endpoint.route))
}

/// Returns the names of the parameters of these endpoints.
#[cfg(debug_assertions)]
fn described(endpoints: &[Endpoint]) -> super::params::Described {
    let names = |endpoint: &Endpoint| endpoint.parameters.iter().map(|parameter| parameter.name).collect();
    super::params::Described(endpoints.iter().map(|endpoint| (endpoint.method.clone(), names(endpoint))).collect())
}

/// Refuses other methods than `GET` and `HEAD`.
pub(in crate::http::api) async fn only_get() -> Result<&'static str, ApiError> {
    Err(ApiError::MethodNotAllowed("GET, HEAD".to_owned()))
}

async fn no_route() -> Result<&'static str, ApiError> {
    Err(ApiError::NoRoute)
}
