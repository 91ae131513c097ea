//! `/jwt/auth`: a bearer token for a credential (distribution token specification; `POST` as its OAuth2 variant, password
//! grant only). Never logs a body: credentials travel in it.

use actix_web::http::Method;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use jiff::Timestamp;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;

use super::credentials::Presented;
use super::error::RegistryError;
use super::state::RegistryState;
use crate::actors::token_issuer::{IssueError, IssueToken};
use crate::domain::policy::Refusal;

/// What is asked for, in the query or in a form.
#[derive(Default, Deserialize)]
struct Question {
    service: Option<String>,
    scope: Option<String>,
    grant_type: Option<String>,
    username: Option<String>,
    password: Option<SecretString>,
}

/// Answers `GET` and `POST /jwt/auth`.
pub(super) async fn answer(request: HttpRequest, body: Bytes, state: Data<RegistryState>) -> HttpResponse {
    issue(&request, &body, &state).await.unwrap_or_else(|error| error.respond(&state, &request))
}

async fn issue(request: &HttpRequest, body: &Bytes, state: &RegistryState) -> Result<HttpResponse, RegistryError> {
    if !state.proxy_enabled() {
        return Err(RegistryError::ProxyOff);
    }
    let (question, credentials) = match *request.method() {
        Method::GET => by_query(request)?,
        Method::POST => by_form(body)?,
        _ => return Err(RegistryError::ReadOnly),
    };
    if let Some(service) = question.service.filter(|service| *service != state.options.service) {
        return Err(RegistryError::UnknownService(service));
    }
    let to_pull = question.scope.is_some() || request.method() == Method::POST;
    let address = state.public_url.client(request);
    let issued = state.tokens.issue(IssueToken { credentials, address }).await;
    let issued = issued.map_err(|error| RegistryError::NotIssued { error, to_pull })?;
    if let Some(credential) = issued.identity.credential() {
        state.last_used.note(credential, Timestamp::now());
    }
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(json!({
        "token": issued.token,
        "access_token": issued.token,
        "expires_in": state.options.token_advertised.as_secs(),
        "issued_at": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    })))
}

type Credentials = Option<(String, SecretString)>;

fn by_query(request: &HttpRequest) -> Result<(Question, Credentials), RegistryError> {
    let question: Question = serde_urlencoded::from_str(request.query_string()).unwrap_or_default();
    match Presented::by(request) {
        Presented::Basic(username, secret) => Ok((question, Some((username, secret)))),
        Presented::Nothing => Ok((question, None)),
        Presented::Bearer(_) | Presented::Malformed => {
            let error = IssueError::Refused(Refusal::Unknown);
            Err(RegistryError::NotIssued { error, to_pull: question.scope.is_some() })
        }
    }
}

fn by_form(body: &Bytes) -> Result<(Question, Credentials), RegistryError> {
    let mut question: Question = serde_urlencoded::from_bytes(body).map_err(|_| RegistryError::UnsupportedGrant)?;
    if question.grant_type.as_deref() != Some("password") {
        return Err(RegistryError::UnsupportedGrant);
    }
    let credentials = question.username.take().zip(question.password.take());
    Ok((question, credentials))
}
