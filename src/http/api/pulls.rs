//! `/groups/:id/dependency_proxy/pulls/:image`: who pulled an image, when and from where, for owners of the group and
//! administrators, because addresses are personal data. An image is named as it is pulled; a client that requests a
//! digest after a tag has records for both. Records are there for as long as the settings say, whether or not the image
//! is still cached. GitLab has no such route.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::caller::{Caller, Right};
use super::error::ApiError;
use super::image_changes;
use super::pagination::Page;
use crate::actors::images::{ImagePulls, PullsQuery};
use crate::domain::id::{CredentialId, GroupId};
use crate::domain::image_path::ImageName;
use crate::domain::policy;
use crate::domain::pull_record::{Day, PullRecord};

/// Handles `GET /groups/:id/dependency_proxy/pulls/:image`.
pub(super) async fn list(
    caller: Caller,
    path: web::Path<(String, String)>,
    page: Page,
) -> Result<HttpResponse, ApiError> {
    let group = caller.authority().group(&path.0, Right::Own)?.id;
    let found = find(&caller, group, &path.1, (page.skipped(), page.per_page())).await?;
    if found.total == 0 {
        // An image that nobody pulled lately is something else than one that there is not.
        image_changes::find(&caller, group, &path.1).await?;
    }
    let shown =
        found.records.iter().map(|(day, credential, record)| view(&caller, *day, *credential, record)).collect();
    Ok(page.part(&caller.base_url, found.total, shown))
}

/// Returns a part of the records of who pulled an image of a group, for its owners. `part` is the number of records to
/// skip, and the maximum number to return.
///
/// # Errors
/// The name is not one of an image, or the index cannot be read.
pub(in crate::http) async fn find(
    caller: &Caller,
    group: GroupId,
    name: &str,
    (skip, limit): (usize, usize),
) -> Result<ImagePulls, ApiError> {
    let ImageName { upstream, repository, reference } = image_changes::parse(caller, name)?;
    let last = Day::of(caller.now);
    let first = last.first_of(caller.state.pull_days);
    let query = PullsQuery { group, upstream, repository, reference, first, last, skip, limit };
    Ok(caller.state.images.pullers(query).await?)
}

/// Returns true if a credential still proves who uses it. Names of records are those of their time.
pub(in crate::http) fn is_valid(caller: &Caller, credential: CredentialId) -> bool {
    let known = caller.directory.credential(credential);
    known.is_some_and(|known| policy::identify(&caller.directory, known, caller.now).is_ok())
}

fn view(caller: &Caller, day: Day, credential: Option<CredentialId>, record: &PullRecord) -> Value {
    let PullRecord { puller, count, last, addresses, more_addresses } = record;
    json!({
        "date": day.start().strftime("%Y-%m-%d").to_string(),
        "pulls": count,
        "last_pulled_at": format!("{last:.3}"),
        "user_id": puller.user,
        "username": puller.name,
        "token_id": puller.token,
        "token_name": puller.token_name,
        "credential_active": credential.map(|credential| is_valid(caller, credential)),
        "ip_addresses": addresses.iter().rev().collect::<Vec<_>>(),
        "more_ip_addresses": more_addresses,
    })
}
