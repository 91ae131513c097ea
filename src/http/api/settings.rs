//! `/application/settings` (<https://docs.gitlab.com/api/settings/>), of which this service has only the switch of
//! the proxy.

use actix_web::HttpResponse;
use serde_json::json;

use super::caller::{Authority, Caller};
use super::error::ApiError;
use super::params::Params;
use crate::domain::commands::service as edit;

/// Handles `GET /application/settings`.
pub(super) async fn show(caller: Caller) -> Result<HttpResponse, ApiError> {
    caller.authority().administrator()?;
    Ok(response(&caller))
}

/// Handles `PUT /application/settings`. `null` restores the configured value.
pub(super) async fn update(caller: Caller, params: Params) -> Result<HttpResponse, ApiError> {
    let administrator = caller.may(|caller| caller.administrator())?;
    let enabled = params.flag("dependency_proxy_enabled")?;
    if enabled.is_some() || params.is_blank("dependency_proxy_enabled") {
        let switch = move |caller: &Authority<'_>, ()| edit::switch_proxy(caller.directory, enabled);
        caller.change("proxy switched", administrator, switch).await?;
    }
    Ok(response(&caller))
}

fn response(caller: &Caller) -> HttpResponse {
    let enabled = caller.state.is_switched_on(&caller.state.identities.directory());
    HttpResponse::Ok().json(json!({"id": 1, "dependency_proxy_enabled": enabled}))
}
