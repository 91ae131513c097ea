//! `/groups/:id/dependency_proxy/warm`: jobs that pull images into the cache of a group before anyone requests them.
//! Owners start and end them; members see them.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::caller::{CacheChange, Caller, Right};
use super::error::ApiError;
use super::images::{check_switched_on, of_member};
use super::params::{Params, number};
use crate::actors::warming::{ImageProgress, ImageState, JobProgress, LayerProgress, MAX_IMAGES, WarmImage};
use crate::domain::group::Group;
use crate::domain::image_path::ImageName;
use crate::domain::platform::Platform;

/// Handles `POST /groups/:id/dependency_proxy/warm` with `images` and, where not all are wanted, `platforms`.
pub(super) async fn start(caller: Caller, path: web::Path<String>, params: Params) -> Result<HttpResponse, ApiError> {
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
        number = caller.state.warming.start(id, images, platforms).map_err(|_| ApiError::TooManyJobs)?;
        Ok(())
    };
    let listed = names.join(", ");
    caller.change_cache(&CacheChange { name, what, group, image: Some(&listed), changes: Vec::new() }, start).await?;
    let job = caller.state.warming.job(id, number).ok_or(ApiError::NotFound("Job"))?;
    Ok(HttpResponse::Accepted().json(view(&job)))
}

/// Handles `GET /groups/:id/dependency_proxy/warm`: the jobs of the group, ended ones for an hour.
pub(super) async fn list(caller: Caller, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let group = of_member(&caller.authority(), &path)?;
    let jobs: Vec<Value> = caller.state.warming.jobs_of(group).iter().map(view).collect();
    Ok(HttpResponse::Ok().json(jobs))
}

/// Handles `GET /groups/:id/dependency_proxy/warm/:job`.
pub(super) async fn show(caller: Caller, path: web::Path<(String, String)>) -> Result<HttpResponse, ApiError> {
    let group = of_member(&caller.authority(), &path.0)?;
    let job = caller.state.warming.job(group, number("job", &path.1)?).ok_or(ApiError::NotFound("Job"))?;
    Ok(HttpResponse::Ok().json(view(&job)))
}

/// Handles `DELETE /groups/:id/dependency_proxy/warm/:job`: ends the job. What it has pulled stays.
pub(super) async fn cancel(caller: Caller, path: web::Path<(String, String)>) -> Result<HttpResponse, ApiError> {
    let (group, job) = path.into_inner();
    let own = caller.may(move |caller| Ok(caller.group(&group, Right::Own)?.id))?;
    let (group, path) = caller.decide_again(own)?;
    if caller.state.warming.cancel(group, number("job", &job)?) {
        let (name, what, image) = ("cache_warming_cancelled", "warming of images cancelled", format!("job {job}"));
        let (group, image) = ((group, path.as_str()), Some(image.as_str()));
        caller.record_cache(&CacheChange { name, what, group, image, changes: Vec::new() }).await?;
        Ok(HttpResponse::NoContent().finish())
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
    if upstreams.named(upstream.as_str()).is_none() {
        return Err(ApiError::Parameter(format!("images: '{name}': {upstream} is not an upstream of this service")));
    }
    let origin = upstreams.origin(upstream, repository, &group.path);
    let freshness = upstreams.freshness(&origin, &reference, &group.path);
    Ok(WarmImage { name: name.to_owned(), origin, reference, freshness })
}

fn view(job: &JobProgress) -> Value {
    let state = match (job.running, job.cancelled) {
        (true, _) => "running",
        (false, true) => "cancelled",
        (false, false) => "ended",
    };
    json!({
        "id": job.number,
        "created_at": job.created_at.to_string(),
        "state": state,
        "images": job.images.iter().map(image_view).collect::<Vec<_>>(),
    })
}

fn image_view(image: &ImageProgress) -> Value {
    let (state, message) = match &image.state {
        ImageState::Waiting => ("waiting", None),
        ImageState::Running => ("running", None),
        ImageState::Held { because, time } => {
            ("held", Some(format!("{because}; tried again after {} s", time.as_secs())))
        }
        ImageState::Done => ("done", None),
        ImageState::Failed(sentence) => ("failed", Some(sentence.clone())),
    };
    let layers: Vec<Value> = image.layers.iter().map(layer_view).collect();
    json!({ "image": image.name, "state": state, "message": message, "layers": layers })
}

fn layer_view(layer: &LayerProgress) -> Value {
    json!({ "digest": layer.digest, "length": layer.length, "received": layer.received, "done": layer.done })
}
