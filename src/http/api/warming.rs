//! `/groups/:id/dependency_proxy/warm`: jobs that pull images into the cache of a group before anyone requests them.
//! Owners start and end them; members see them.

use actix_web::web;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::caller::{CacheChange, Caller, Right};
use super::error::ApiError;
use super::image_changes::check_switched_on;
use super::images::of_member;
use super::params::{Params, number};
use super::response::{Accepted, Body, Found, NoContent, Time};
use crate::actors::warming::{ImageProgress, JobProgress, LayerProgress, MAX_IMAGES, WarmImage, WarmingState};
use crate::domain::group::Group;
use crate::domain::image_path::{ImageName, check_upstream};
use crate::domain::platform::Platform;

/// A job that pulls images into the cache of a group.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "WarmingJob")]
pub(super) struct JobView {
    id: u64,
    #[schemars(with = "Time")]
    created_at: Timestamp,
    state: JobState,
    /// The images, in the order in which they were given.
    images: Vec<JobImageView>,
}

/// The state of a job; `cancelled` if it was ended before all images were pulled.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "WarmingJobState")]
enum JobState {
    Running,
    Cancelled,
    Ended,
}

/// An image of a job.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "WarmingImage")]
struct JobImageView {
    /// The image as it was given.
    image: String,
    state: JobImageState,
    /// The reason why it is held or has failed, as a sentence; `null` in other states.
    message: Option<String>,
    /// Its blobs, as far as they are known. Those of several images may be the same.
    layers: Vec<LayerView>,
}

/// The state of an image of a job.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "WarmingImageState")]
enum JobImageState {
    Waiting,
    Running,
    /// It is tried again later.
    Held,
    /// All of it is cached.
    Done,
    Failed,
}

/// A blob of an image of a job.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "WarmingLayer")]
struct LayerView {
    digest: String,
    /// The length in bytes; `null` where it is not known.
    length: Option<u64>,
    /// The bytes that have arrived.
    received: u64,
    /// True if all of it is cached.
    done: bool,
}

/// Handles `POST /groups/:id/dependency_proxy/warm` with `images` and, where not all are wanted, `platforms`.
pub(super) async fn start(
    caller: Caller,
    path: web::Path<String>,
    params: Params,
) -> Result<Accepted<JobView>, ApiError> {
    let group = path.into_inner();
    let own = caller.may(move |caller| Ok(caller.group(&group, Right::Own)?.id))?;
    let names = params.list("images")?;
    if names.is_empty() || names.len() > MAX_IMAGES {
        return Err(ApiError::Parameter(format!("images: 1 to {MAX_IMAGES} images are needed")));
    }
    let platforms: Result<Vec<Platform>, ApiError> =
        params.list("platforms")?.iter().map(|text| platform(text)).collect();
    let platforms = platforms?;
    let (id, group_path) = caller.decide_again(own)?;
    let directory = caller.state.identities.directory();
    let group = directory.group(id).ok_or(ApiError::NotFound("Group"))?;
    check_switched_on(&caller, &directory, id)?;
    let images = names.iter().map(|name| image(&caller, group, name)).collect::<Result<Vec<_>, _>>()?;
    caller.log_image("images warmed", (id, &group_path), &names.join(", "));
    let (name, what, group) = ("cache_warmed", "images warmed", (id, group_path.as_str()));
    let mut number = 0;
    let start = async {
        number = caller.state.warming.start(id, images, platforms)?;
        Ok(())
    };
    let listed = names.join(", ");
    caller.change_cache(&CacheChange { name, what, group, image: Some(&listed), changes: Vec::new() }, start).await?;
    let job = caller.state.warming.job(id, number).ok_or(ApiError::NotFound("Job"))?;
    Ok(Body(view(job)))
}

/// Handles `GET /groups/:id/dependency_proxy/warm`: the jobs of the group, ended ones for an hour.
pub(super) async fn list(caller: Caller, path: web::Path<String>) -> Result<Found<Vec<JobView>>, ApiError> {
    let group = of_member(&caller.authority(), &path)?;
    Ok(Body(caller.state.warming.jobs_of(group).into_iter().map(view).collect()))
}

/// Handles `GET /groups/:id/dependency_proxy/warm/:job`.
pub(super) async fn show(caller: Caller, path: web::Path<(String, String)>) -> Result<Found<JobView>, ApiError> {
    let group = of_member(&caller.authority(), &path.0)?;
    let job = caller.state.warming.job(group, number("job", &path.1)?).ok_or(ApiError::NotFound("Job"))?;
    Ok(Body(view(job)))
}

/// Handles `DELETE /groups/:id/dependency_proxy/warm/:job`: ends the job. What it has pulled stays.
pub(super) async fn cancel(caller: Caller, path: web::Path<(String, String)>) -> Result<NoContent, ApiError> {
    let (group, job) = path.into_inner();
    let own = caller.may(move |caller| Ok(caller.group(&group, Right::Own)?.id))?;
    let (group, path) = caller.decide_again(own)?;
    if caller.state.warming.cancel(group, number("job", &job)?) {
        let (name, what, image) = ("cache_warming_cancelled", "warming of images cancelled", format!("job {job}"));
        let (group, image) = ((group, path.as_str()), Some(image.as_str()));
        caller.record_cache(&CacheChange { name, what, group, image, changes: Vec::new() }).await?;
        Ok(NoContent)
    } else {
        Err(ApiError::NotFound("Job"))
    }
}

fn platform(text: &str) -> Result<Platform, ApiError> {
    text.parse().map_err(|error| ApiError::Parameter(format!("platforms: '{text}' {error}")))
}

/// Returns the image as the group would pull it now.
fn image(caller: &Caller, group: &Group, name: &str) -> Result<WarmImage, ApiError> {
    let upstreams = caller.state.upstreams.load();
    let ImageName { upstream, repository, reference } = ImageName::parse(name, &upstreams)
        .map_err(|error| ApiError::Parameter(format!("images: '{name}' is not an image: {error}")))?;
    check_upstream(&upstream, &upstreams).map_err(|error| ApiError::Parameter(format!("images: '{name}': {error}")))?;
    let origin = upstreams.origin(upstream, repository, &group.path);
    let freshness = upstreams.freshness(&origin, &reference, &group.path);
    Ok(WarmImage { name: name.to_owned(), origin, reference, freshness })
}

fn view(job: JobProgress) -> JobView {
    let state = match (job.running, job.cancelled) {
        (true, _) => JobState::Running,
        (false, true) => JobState::Cancelled,
        (false, false) => JobState::Ended,
    };
    let images = job.images.into_iter().map(image_view).collect();
    JobView { id: job.number, created_at: job.created_at, state, images }
}

fn image_view(image: ImageProgress) -> JobImageView {
    let (state, message) = match image.state {
        WarmingState::Waiting => (JobImageState::Waiting, None),
        WarmingState::Running => (JobImageState::Running, None),
        WarmingState::Held { because, time } => {
            (JobImageState::Held, Some(format!("{because}; tried again after {} s", time.as_secs())))
        }
        WarmingState::Done => (JobImageState::Done, None),
        WarmingState::Failed(sentence) => (JobImageState::Failed, Some(sentence)),
    };
    JobImageView { image: image.name, state, message, layers: image.layers.iter().map(layer_view).collect() }
}

fn layer_view(layer: &LayerProgress) -> LayerView {
    let LayerProgress { digest, length, received, done } = *layer;
    LayerView { digest: digest.to_string(), length, received, done }
}
