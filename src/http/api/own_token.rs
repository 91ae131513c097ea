//! `POST /user/personal_access_tokens`: creates a token with a password, which otherwise opens only
//! [`super::own_password`]. A user who has no token yet, such as the first administrator, exchanges the password
//! for one. GitLab has this path, too (<https://docs.gitlab.com/api/user_tokens/>), for callers that are
//! authenticated in other ways.

use actix_web::{HttpRequest, web};

use super::access_tokens::{AccessTokenView, WithSecret, described, view};
use super::caller::{Authority, Caller, Needed};
use super::error::ApiError;
use super::params::Params;
use super::response::{Body, Created};
use super::state::ApiState;
use crate::auth::secret::Kind;
use crate::domain::commands::token as edit;
use crate::http::authorization_header::AuthorizationHeader;

/// Creates a personal access token for the user whose name and password are in `Authorization: Basic`.
pub(super) async fn create(
    request: HttpRequest,
    state: web::Data<ApiState>,
    params: Params,
) -> Result<Created<WithSecret<AccessTokenView>>, ApiError> {
    let caller = by_password(&request, state).await?;
    let user = caller.may(|caller| Ok(caller.user.id))?;
    let (new, secret) = described(&params, Kind::Personal)?;
    let create =
        move |caller: &Authority<'_>, user| edit::create_personal(caller.directory, user, new, &caller.terms());
    let token = caller.change("personal access token created by password", user, create).await?;
    Ok(Body(WithSecret::of(view(&caller, &token), &secret)))
}

/// Returns the caller whose user name and password are in `Authorization: Basic`.
///
/// # Errors
/// The login is missing or wrong, or there are too many of them.
pub(super) async fn by_password(request: &HttpRequest, state: web::Data<ApiState>) -> Result<Caller, ApiError> {
    let AuthorizationHeader::Basic(username, password) = AuthorizationHeader::by(request) else {
        return Err(ApiError::Unauthorized);
    };
    let address = state.public_url.client(request);
    let proved = state.tokens.identify_by_password(&username, password, address).await;
    let proved = proved.map_err(|error| ApiError::of_login(&error, ApiError::Unauthorized))?;
    let caller = Caller::with(state, request, Needed::Password, |directory| directory.credential(proved));
    caller.map_err(|_| ApiError::Unauthorized)
}
