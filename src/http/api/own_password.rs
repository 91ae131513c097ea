//! `PUT /user`: users change their own password. Besides the credential of the request, the current password is needed,
//! and a wrong one counts as a failed login. GitLab has no such route; the parameters have the names in GitLab's form
//! for changing a password.

use std::net::IpAddr;

use actix_web::{HttpRequest, web};
use secrecy::SecretString;

use super::caller::{Authority, Caller};
use super::error::ApiError;
use super::own_token;
use super::params::Params;
use super::response::{Body, Found};
use super::state::ApiState;
use super::user_changes::hashed;
use super::users::{UserView, full};
use crate::domain::commands::CommandError;
use crate::domain::commands::user::{self as edit, UserChange};
use crate::domain::id::UserId;
use crate::domain::user::User;
use crate::http::authorization_header::AuthorizationHeader;

/// Changes the password of the caller, who presents a personal access token, or the user name and password. Login
/// tokens that were issued for the old password become invalid; access tokens stay.
pub(super) async fn change(
    request: HttpRequest,
    state: web::Data<ApiState>,
    params: Params,
) -> Result<Found<UserView>, ApiError> {
    let caller = caller(&request, state).await?;
    caller.may(owner_of_a_password)?;
    let required = |name: &str| params.secret(name)?.ok_or_else(|| ApiError::Parameter(format!("{name} is missing")));
    let (current, new) = (required("current_password")?, required("password")?);
    let address = caller.state.public_url.client(&request);
    let user = replace(&caller, (current, new), address).await?;
    Ok(Body(full(&user, &caller.base_url)))
}

/// Replaces the `current` password of the caller, which is verified first, by a `new` one.
///
/// # Errors
/// The caller has no password, the current one is wrong, there were too many failed logins, or the new one is not
/// valid.
pub(in crate::http) async fn replace(
    caller: &Caller,
    (current, new): (SecretString, SecretString),
    address: IpAddr,
) -> Result<User, ApiError> {
    let own = caller.may(owner_of_a_password)?;
    let name = caller.user.username.as_str();
    let proved = caller.state.tokens.identify_by_password(name, current, address).await;
    let proved = proved.map_err(|error| ApiError::of_login(&error, ApiError::WrongPassword))?;
    let password = hashed(caller, Some(new)).await?;
    let change = move |caller: &Authority<'_>, own: UserId| {
        // The password was hashed and compared outside of the change, so it may have been changed meanwhile.
        if caller.user.password.as_ref().is_none_or(|present| present.credential != proved) {
            return Err(CommandError::Invalid { field: "current_password", reason: "is invalid".to_owned() });
        }
        edit::update(caller.directory, own, UserChange { password, ..UserChange::default() })
    };
    caller.change("own password changed", own, change).await
}

async fn caller(request: &HttpRequest, state: web::Data<ApiState>) -> Result<Caller, ApiError> {
    let has_token = request.headers().contains_key("private-token");
    if !has_token && matches!(AuthorizationHeader::by(request), AuthorizationHeader::Basic(..)) {
        own_token::by_password(request, state).await
    } else {
        Caller::by_token(request)
    }
}

fn owner_of_a_password(caller: &Authority<'_>) -> Result<UserId, ApiError> {
    match (caller.user.bot_of, &caller.user.password) {
        (Some(_), _) => Err(ApiError::Refused("The user of a group access token has no password")),
        (None, None) => Err(ApiError::Refused("This user has no password. An administrator can set one")),
        (None, Some(_)) => Ok(caller.user.id),
    }
}
