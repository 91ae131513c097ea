//! `/jwt/auth`: issues a bearer token for a credential (Distribution's token specification; `POST` is its OAuth2
//! variant, with the password grant only). Bodies are never logged, because they carry credentials.

use std::net::IpAddr;

use actix_web::http::Method;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::error::RegistryError;
use super::state::RegistryState;
use crate::actors::token_issuer::IssueToken;
use crate::domain::policy::{Identity, Refusal};
use crate::http::authorization_header::AuthorizationHeader;
use crate::http::form_body::{self, BodyFault};
use crate::http::refusals::{RequestedRepositories, Subject};

/// Responds to `GET` and `POST /jwt/auth`.
pub(in crate::http) async fn handle(
    request: HttpRequest,
    payload: Payload,
    state: Data<RegistryState>,
) -> HttpResponse {
    let body = form_body::whole(&request, &mut payload.into_inner()).await;
    let form = body.as_ref().ok().filter(|_| *request.method() == Method::POST).cloned();
    match issue(&request, body, &state).await {
        Ok(response) => response,
        Err(error) => {
            if let Some(form) = form {
                request.extensions_mut().insert(RequestedRepositories::of(&form));
            }
            error.confirmed(&state).await.respond(&state, &request)
        }
    }
}

async fn issue(
    request: &HttpRequest,
    body: Result<Bytes, BodyFault>,
    state: &RegistryState,
) -> Result<HttpResponse, RegistryError> {
    state.policy.validity().hold().await?;
    if !state.proxy_enabled() {
        return Err(RegistryError::ProxyOff);
    }
    let TokenRequest { service, to_pull, credentials } = TokenRequest::of(request, body)?;
    if let Some(service) = service.filter(|service| *service != state.options.service) {
        return Err(RegistryError::UnknownService(service));
    }
    let refused = |error| RegistryError::NotIssued { error, to_pull };
    let credentials = credentials.map_err(|refusal| refused(refusal.into()))?;
    let address = state.public_url.client(request);
    // The log of a refusal reads the credentials from the request. The body of a form is consumed by then.
    let credentials_of_form = credentials.clone().filter(|_| *request.method() == Method::POST);
    let issued = state.tokens.issue(IssueToken { credentials, address }).await;
    let issued = issued.map_err(|error| {
        if let Some((username, secret)) = credentials_of_form {
            let subject = Subject::by_login(&state.policy.directory(), &username, secret.expose_secret());
            request.extensions_mut().insert(subject);
        }
        refused(error)
    })?;
    note_login(state, &issued.identity, address);
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(json!({
        "token": issued.token,
        "access_token": issued.token,
        "expires_in": state.options.token_advertised.as_secs(),
        "issued_at": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    })))
}

/// Records the use of a credential, and logs it.
fn note_login(state: &RegistryState, identity: &Identity, address: IpAddr) {
    tracing::debug!(
        principal = %identity.principal(),
        principal_name = identity.principal_name(),
        credential = identity.credential().map(tracing::field::display),
        credential_name = identity.credential_name(),
        token = identity.token().map(|token| token.0),
        %address,
        "logged in"
    );
    if let Some(credential) = identity.credential() {
        state.last_used.note(credential, address, Timestamp::now());
    }
}

/// A request for a token, from a query or a form.
struct TokenRequest {
    service: Option<String>,
    /// True if the client pulls rather than logs in: it requests a scope, or sends a form, which no login does.
    to_pull: bool,
    credentials: Result<Option<(String, SecretString)>, Refusal>,
}

impl TokenRequest {
    fn of(request: &HttpRequest, body: Result<Bytes, BodyFault>) -> Result<Self, RegistryError> {
        let body = body.map_err(|fault| match fault {
            BodyFault::TooLarge => RegistryError::FormTooLarge,
            BodyFault::Encoded => RegistryError::FormEncoded,
            BodyFault::Broken => RegistryError::FormBroken,
            BodyFault::TooSlow => RegistryError::FormTooSlow,
        })?;
        match *request.method() {
            Method::GET => Ok(Self::from_query(request)),
            Method::POST => Self::from_form(&body),
            _ => Err(RegistryError::NoSuchLogin),
        }
    }

    fn from_query(request: &HttpRequest) -> Self {
        let mut fields = Fields::of(request.query_string().as_bytes());
        let credentials = match AuthorizationHeader::by(request) {
            AuthorizationHeader::Basic(username, secret) => Ok(Some((username, secret))),
            AuthorizationHeader::Nothing => Ok(None),
            AuthorizationHeader::Bearer(_) | AuthorizationHeader::Malformed => Err(Refusal::Unknown),
        };
        Self { service: fields.take("service"), to_pull: fields.take("scope").is_some(), credentials }
    }

    fn from_form(body: &[u8]) -> Result<Self, RegistryError> {
        let mut fields = Fields::of(body);
        if fields.take("grant_type").as_deref() != Some("password") {
            return Err(RegistryError::UnsupportedGrant);
        }
        let password = fields.take("password").map(SecretString::from);
        let credentials = Ok(fields.take("username").zip(password));
        Ok(Self { service: fields.take("service"), to_pull: true, credentials })
    }
}

/// The fields of a query or a form. If a field occurs several times, as `scope` may, the first one counts.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn of(encoded: &[u8]) -> Self {
        Self(serde_urlencoded::from_bytes(encoded).unwrap_or_default())
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.0.iter_mut().find(|(key, _)| key == name).map(|(_, value)| std::mem::take(value))
    }
}
