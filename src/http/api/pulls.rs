//! `/groups/:id/dependency_proxy/pulls/:image`: who pulled an image, when and from where, for owners of the group and
//! administrators, because addresses are personal data. An image is named as it is pulled; a client that requests a
//! digest after a tag has records for both. Records are kept for the time in the settings, whether or not the image is
//! still cached. GitLab has no such route.

use std::net::IpAddr;

use actix_web::web;
use schemars::JsonSchema;
use serde::Serialize;

use super::caller::{Caller, Right};
use super::error::ApiError;
use super::image_changes;
use super::pagination::Page;
use super::response::{self, ListPage, Time};
use crate::actors::images::{ImagePulls, PullsQuery};
use crate::domain::id::{CredentialId, GroupId};
use crate::domain::image_path::ImageName;
use crate::domain::policy;
use crate::domain::pull_record::{Day, PullRecord};

/// The pulls of an image by one credential on one day.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PullRecord")]
pub(super) struct PullRecordView {
    /// The day in UTC.
    date: response::Day,
    /// The number of pulls. Those from one address within a minute count as one.
    pulls: u64,
    last_pulled_at: Time,
    /// `null` for a deploy token and for an anonymous caller.
    user_id: Option<u64>,
    /// The user name at that time; `null` for an anonymous caller.
    username: Option<String>,
    /// `null` for a password and for an anonymous caller.
    token_id: Option<u64>,
    token_name: Option<String>,
    /// True if the credential is still valid; `null` for an anonymous caller.
    credential_active: Option<bool>,
    /// The last addresses, the latest first.
    #[schemars(with = "Vec<String>")]
    ip_addresses: Vec<IpAddr>,
    /// True if there were other addresses before.
    more_ip_addresses: bool,
}

/// Handles `GET /groups/:id/dependency_proxy/pulls/:image`.
pub(super) async fn list(
    caller: Caller,
    path: web::Path<(String, String)>,
    page: Page,
) -> Result<ListPage<PullRecordView>, ApiError> {
    let group = caller.authority().group(&path.0, Right::Own)?.id;
    let found = find(&caller, group, &path.1, (page.skipped(), page.per_page())).await?;
    if found.total == 0 {
        // An image without recent pulls has an empty list; one that does not exist is an error.
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

fn view(caller: &Caller, day: Day, credential: Option<CredentialId>, record: &PullRecord) -> PullRecordView {
    let PullRecord { puller, count, last, addresses, more_addresses } = record;
    PullRecordView {
        date: response::Day(day.start()),
        pulls: *count,
        last_pulled_at: Time(*last),
        user_id: puller.user.map(|user| user.0),
        username: puller.name.clone(),
        token_id: puller.token.map(|token| token.0),
        token_name: puller.token_name.clone(),
        credential_active: credential.map(|credential| is_valid(caller, credential)),
        ip_addresses: addresses.iter().rev().copied().collect(),
        more_ip_addresses: *more_addresses,
    }
}
