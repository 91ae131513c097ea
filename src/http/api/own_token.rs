//! `POST /user/personal_access_tokens`: the one route that a password opens. A user who has no token yet, as the first
//! administrator, exchanges the password for one. GitLab has this path too, for callers that are logged in some other way.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;

use super::access_tokens::{described, view, with_secret};
use super::caller::Caller;
use super::error::ApiError;
use super::params::Params;
use super::state::ApiState;
use crate::actors::token_issuer::IssueError;
use crate::auth::secret::Kind;
use crate::domain::edit::token as edit;
use crate::http::credentials::Presented;

/// Makes a personal access token for the user whose name and password are in `Authorization: Basic`.
pub(super) async fn create(
    request: HttpRequest,
    state: web::Data<ApiState>,
    params: Params,
) -> Result<HttpResponse, ApiError> {
    let Presented::Basic(username, password) = Presented::by(&request) else { return Err(ApiError::Unauthorized) };
    let address = state.public_url.client(&request);
    let user = state.tokens.identify_by_password(&username, password, address).await.map_err(refused)?;
    let (id, now) = (user.id, Timestamp::now());
    let (new, secret) = described(&params, Kind::Personal, now)?;
    let token = state.policy.change(move |directory| edit::create_personal(directory, id, new, now)).await?;
    tracing::info!(user = %id, credential = %token.credential, "personal access token created by password");
    let (directory, base_url) = (state.policy.directory(), state.public_url.base(&request));
    let caller = Caller { state, directory, token: Arc::new(token.clone()), user, now, base_url };
    Ok(HttpResponse::Created().json(with_secret(view(&caller, &token), &secret)))
}

fn refused(error: IssueError) -> ApiError {
    match error {
        IssueError::Busy => ApiError::Busy,
        IssueError::TooManyFailures(_) => ApiError::TooManyLogins,
        IssueError::Refused(_) | IssueError::NoCredentials | IssueError::Signing => ApiError::Unauthorized,
    }
}
