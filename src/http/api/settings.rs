//! `/application/settings` (<https://docs.gitlab.com/api/settings/>), of which this service has only the switch of
//! the proxy.

use schemars::JsonSchema;
use serde::Serialize;

use super::caller::{Authority, Caller};
use super::error::ApiError;
use super::params::Params;
use super::response::{Body, Found};
use crate::domain::commands::service as edit;

/// The settings that the API can change.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ApplicationSettings")]
pub(super) struct SettingsView {
    /// Always 1.
    id: u64,
    /// True if groups may pull.
    dependency_proxy_enabled: bool,
}

/// Handles `GET /application/settings`.
pub(super) async fn show(caller: Caller) -> Result<Found<SettingsView>, ApiError> {
    caller.authority().administrator()?;
    Ok(Body(view(&caller)))
}

/// Handles `PUT /application/settings`. `null` restores the configured value.
pub(super) async fn update(caller: Caller, params: Params) -> Result<Found<SettingsView>, ApiError> {
    let administrator = caller.may(|caller| caller.administrator())?;
    let enabled = params.flag("dependency_proxy_enabled")?;
    if enabled.is_some() || params.is_blank("dependency_proxy_enabled") {
        let switch = move |caller: &Authority<'_>, ()| edit::switch_proxy(caller.directory, enabled);
        caller.change("proxy switched", administrator, switch).await?;
    }
    Ok(Body(view(&caller)))
}

fn view(caller: &Caller) -> SettingsView {
    SettingsView { id: 1, dependency_proxy_enabled: caller.state.is_switched_on(&caller.state.identities.directory()) }
}
