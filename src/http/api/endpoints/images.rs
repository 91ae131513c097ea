//! Endpoints of cached images: lists, changes, warming, and explanations of pulls.

use crate::http::api::endpoint::parameter::Parameter;
use crate::http::api::endpoint::{Access, Endpoint};
use crate::http::api::{explanation, groups, images, previews, pulls, warming};

const CACHE: &str = "/groups/{id}/dependency_proxy/cache";
const IMAGES: &str = "/groups/{id}/dependency_proxy/images";
const IMAGE: &str = "/groups/{id}/dependency_proxy/images/{image:.+}";
const WARM: &str = "/groups/{id}/dependency_proxy/warm";
const JOB: &str = "/groups/{id}/dependency_proxy/warm/{job}";

const FILTERS: &[Parameter] = &[
    Parameter::text("search", "A part of the name, the tag or the digest"),
    Parameter::flag("pinned", "Only images that are pinned, or with `false` that are not"),
    Parameter::one_of("state", &["stale", "arriving", "going"], "Only images in this state"),
    Parameter::one_of("order_by", ORDERS, "The order; by name without it"),
    Parameter::one_of("sort", &["asc", "desc"], "The direction of the order; ascending without it"),
];
const ORDERS: &[&str] = &["name", "size", "cached_at", "last_pulled_at", "pulls"];

const PIN: &[Parameter] =
    &[Parameter::flag("pinned", "Whether the image is kept, whatever is evicted or removed for its age").required()];

const JOB_OF: &[Parameter] = &[
    Parameter::texts("images", "The images as they are pulled, such as `alpine:3.22`: 1 to 1000").required(),
    Parameter::texts("platforms", "The platforms, such as `linux/arm64`; all without it"),
];

const PULL: &[Parameter] = &[
    Parameter::text("user", "The user name of a person, a deploy token, or the bot of a group access token").required(),
    Parameter::text("image", "The image as it is pulled; without it, only who may pull is explained"),
];

pub(super) fn all() -> Vec<Endpoint> {
    [of_images(), of_jobs(), of_pulls_and_cache()].into_iter().flatten().collect()
}

fn of_images() -> Vec<Endpoint> {
    vec![
        Endpoint::get(IMAGES, images::list)
            .summary("Lists the images that a group has cached")
            .by(Access::Member)
            .takes(FILTERS)
            .may_refuse(503),
        Endpoint::get(IMAGE, images::show)
            .summary("Shows a cached image, and what its tag stood for before")
            .by(Access::Member)
            .may_refuse(503),
        Endpoint::put(IMAGE, images::update).summary("Pins a cached image, or unpins it").by(Access::Owner).takes(PIN),
        Endpoint::delete(IMAGE, images::delete)
            .summary("Deletes a cached image; the next pull downloads it again")
            .by(Access::Owner),
        Endpoint::post("/groups/{id}/dependency_proxy/refresh/{image:.+}", images::refresh)
            .summary("Has the registry confirm now what a tag stands for")
            .by(Access::Owner)
            .may_refuse(502),
        Endpoint::get("/groups/{id}/dependency_proxy/pulls/{image:.+}", pulls::list)
            .summary("Lists who pulled an image in the last days, the latest first")
            .by(Access::Owner)
            .may_refuse(503),
    ]
}

fn of_jobs() -> Vec<Endpoint> {
    vec![
        Endpoint::get(WARM, warming::list)
            .summary("Lists the jobs that pull images into the cache, those that have ended for an hour")
            .by(Access::Member),
        Endpoint::post(WARM, warming::start)
            .summary("Starts a job that pulls images into the cache before anyone requests them")
            .by(Access::Owner)
            .takes(JOB_OF),
        Endpoint::get(JOB, warming::show).summary("Shows the progress of a job").by(Access::Member),
        Endpoint::delete(JOB, warming::cancel).summary("Ends a job; what it has pulled stays cached").by(Access::Owner),
    ]
}

fn of_pulls_and_cache() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/groups/{id}/dependency_proxy/explain", explanation::show)
            .summary("Explains who may pull from a group by which rule, and how an image is pulled")
            .by(Access::Owner)
            .takes(PULL)
            .may_refuse(503),
        Endpoint::get(CACHE, previews::of_cache).summary("Shows what a purge would remove").by(Access::Owner),
        Endpoint::delete(CACHE, groups::purge).summary("Purges all that a group has cached").by(Access::Owner),
    ]
}
