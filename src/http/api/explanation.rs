//! `/groups/:id/dependency_proxy/explain`: who may pull an image through a group, by which rule, with which account at
//! the registry, and how fresh it is.

use actix_web::web;
use schemars::JsonSchema;
use serde::Serialize;

use super::caller::{Caller, Right};
use super::error::ApiError;
use super::image_changes;
use super::image_view::{self as view, ImageView};
use super::params::Params;
use super::response::{Body, Found};
use crate::actors::images::ShownImage;
use crate::domain::access::AccessLevel;
use crate::domain::explanation::{self, Puller, ServiceRules, Step, explain, one_of_several};
use crate::domain::group::Group;
use crate::domain::id::GroupId;
use crate::domain::image_path::ImageName;
use crate::domain::origin::Origin;
use crate::domain::policy;
use crate::domain::reference::Reference;
use crate::domain::upstream::NetworkMode;

/// An explanation of a pull.
pub(in crate::http) struct Explanation {
    /// True if the pull is allowed.
    pub(in crate::http) allowed: bool,
    /// The finding of each rule, in the order in which a pull meets them.
    pub(in crate::http) steps: Vec<Step>,
    /// The image, if one was named that this service has the registry of.
    pub(in crate::http) image: Option<ExplainedImage>,
}

/// The way in which an image is pulled through a group.
pub(in crate::http) struct ExplainedImage {
    /// Its registry, account there, and repository.
    pub(in crate::http) origin: Origin,
    /// Its name with the tag or digest.
    pub(in crate::http) name: String,
    /// The path of the group that has the account; `None`: it is one of the service, or none.
    pub(in crate::http) account_group: Option<String>,
    /// The path of the group that has chosen how long tags are fresh; `None`: the settings of the service decide.
    pub(in crate::http) fresh_group: Option<String>,
    /// The time of its next revalidation at its registry.
    pub(in crate::http) revalidation: Revalidation,
    /// The image as the group has cached it with this account; for a digest that was pulled only by tags, one of these.
    pub(in crate::http) cached: Option<ShownImage>,
}

impl ExplainedImage {
    /// Returns the tag by which a digest is cached.
    pub(in crate::http) fn tag_of_digest(&self) -> Option<&str> {
        match &self.cached.as_ref()?.image.key.reference {
            Reference::Tag(tag) if self.revalidation == Revalidation::Needless => Some(tag.as_str()),
            Reference::Tag(_) | Reference::Digest(_) => None,
        }
    }
}

/// The time at which a cached image is revalidated at its registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Revalidation {
    /// By the first pull this number of seconds after the last response.
    After(u64),
    /// Never, because a digest stands for the same content for ever.
    Needless,
    /// Never, because the service is offline.
    Offline,
}

/// An explanation of a pull.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Explanation")]
pub(super) struct ExplanationView {
    /// True if the pull is allowed.
    allowed: bool,
    /// The finding of each rule, in the order in which a pull meets them.
    steps: Vec<StepView>,
    /// The image; `null` if none was named, or if its registry is not an upstream of this service.
    image: Option<ExplainedImageView>,
}

/// A rule and its finding.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ExplanationStep")]
struct StepView {
    /// The rule as a word.
    rule: &'static str,
    /// True if it allows the pull.
    holds: bool,
    /// Its finding as a sentence.
    sentence: String,
}

/// The way in which an image is pulled through a group.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ExplainedImage")]
struct ExplainedImageView {
    /// The image with its tag or digest.
    name: String,
    /// The host of its registry.
    upstream: String,
    /// The user name at the registry; `null`: without an account.
    account: Option<String>,
    /// The path of the group that has the account; `null`: it is one of the service, or none.
    account_group: Option<String>,
    /// The seconds for which the tag is served after the registry has confirmed it, until a pull has it confirmed
    /// again. `null`: it is never confirmed again, because it is a digest, which never changes, or because the service
    /// is offline.
    fresh_seconds: Option<u64>,
    /// The path of the group that has chosen how long tags are fresh; `null`: the settings of the service decide.
    fresh_group: Option<String>,
    /// The image as the group has cached it with this account; for a digest that was pulled only by tags, the image of
    /// one of these. `null`: it is not cached.
    cached: Option<ImageView>,
}

/// Handles `GET /groups/:id/dependency_proxy/explain`. Owners ask about members and tokens of their group,
/// administrators about anybody.
pub(super) async fn show(
    caller: Caller,
    path: web::Path<String>,
    params: Params,
) -> Result<Found<ExplanationView>, ApiError> {
    let group = caller.authority().group(&path, Right::Own)?.id;
    let (username, image) = (params.required_text("user")?, params.text("image")?);
    let explanation = of(&caller, group, &username, image.as_deref()).await?;
    Ok(Body(shown(&caller, group, explanation)))
}

/// Explains whether this user, or the token with this user name, may pull from a group, and how an image is pulled.
///
/// # Errors
/// The caller is no owner of the group; there is no such user or token that the caller may ask about; or the image is
/// malformed.
pub(in crate::http) async fn of(
    caller: &Caller,
    group: GroupId,
    username: &str,
    image: Option<&str>,
) -> Result<Explanation, ApiError> {
    let (directory, now) = (&caller.directory, caller.now);
    let group = caller.authority().group_with(group, Right::Own)?;
    let mut named = Puller::named(directory, username, group.id).into_iter().filter(|one| may_ask(caller, &group, one));
    let puller = named.next().ok_or(ApiError::NotFound("User"))?;
    let others: Vec<Puller> = named.collect();
    let proxy_enabled = caller.state.is_switched_on(directory);
    let rules = ServiceRules { proxy_enabled, public_groups: caller.state.public_groups };
    let mut steps = explain(directory, &puller, &group, rules, now);
    steps.splice(0..0, one_of_several(directory, &puller, &others));
    let image = match image.filter(|image| !image.is_empty()) {
        Some(image) => of_image(caller, &group, image, &mut steps).await?,
        None => None,
    };
    Ok(Explanation { allowed: steps.iter().all(|step| step.holds), steps, image })
}

/// Returns true for administrators; for an owner of the group, about its members and about tokens of groups that the
/// caller owns.
fn may_ask(caller: &Caller, group: &Group, puller: &Puller) -> bool {
    let of_owned = |group| caller.authority().level(group) >= Some(AccessLevel::Owner);
    caller.user.admin
        || match puller {
            Puller::Person(user) => policy::access_level(&caller.directory, user.id, group.id, caller.now).is_some(),
            Puller::Token(token) => token.group().is_some_and(of_owned),
        }
}

/// Explains how an image is pulled, and adds what the rules about images find to the steps. Returns `None` if this
/// service does not have its registry.
async fn of_image(
    caller: &Caller,
    group: &Group,
    image: &str,
    steps: &mut Vec<Step>,
) -> Result<Option<ExplainedImage>, ApiError> {
    let upstreams = caller.state.upstreams.load_full();
    let image = ImageName::parse(image, &upstreams)
        .map_err(|error| ApiError::Invalid { field: "image", reason: format!("is not one: {error}") })?;
    let registry = explanation::registry(&upstreams, &image.upstream);
    let is_known = registry.holds;
    steps.push(registry);
    if !is_known {
        return Ok(None);
    }
    let cached = image_changes::find_with_tags(caller, group.id, &image).await?;
    let ImageName { upstream, repository, reference } = image;
    let origin = upstreams.origin(upstream, repository, &group.path);
    let is_tag = matches!(reference, Reference::Tag(_));
    let choices = upstreams.choices();
    let account_group = choices.account(&origin.upstream, &group.path).map(|(holder, _)| holder.to_string());
    let fresh_group = choices.tag_freshness(&group.path).filter(|_| is_tag).map(|(chooser, _)| chooser.to_string());
    let revalidation = if !is_tag {
        Revalidation::Needless
    } else if upstreams.mode() == NetworkMode::Offline {
        Revalidation::Offline
    } else {
        Revalidation::After(upstreams.freshness(&origin, &reference, &group.path).time_to_live.as_secs())
    };
    let name = origin.name_of(&reference);
    let cached = cached.into_iter().find(|one| one.image.key.origin == origin);
    steps.extend(explanation::network(&upstreams, cached.is_some()));
    Ok(Some(ExplainedImage { origin, name, account_group, fresh_group, revalidation, cached }))
}

fn shown(caller: &Caller, group: GroupId, explanation: Explanation) -> ExplanationView {
    let days = policy::unpulled_days(&caller.directory, group, caller.state.unpulled_days);
    let step = |Step { rule, holds, sentence }| StepView { rule, holds, sentence };
    let image = |image: ExplainedImage| ExplainedImageView {
        account: Some(image.origin.account.username()).filter(|name| !name.is_empty()).map(str::to_owned),
        upstream: image.origin.upstream.to_string(),
        name: image.name,
        account_group: image.account_group,
        fresh_seconds: match image.revalidation {
            Revalidation::After(seconds) => Some(seconds),
            Revalidation::Needless | Revalidation::Offline => None,
        },
        fresh_group: image.fresh_group,
        cached: image.cached.map(|one| view::image(&one, days, caller.now)),
    };
    ExplanationView {
        allowed: explanation.allowed,
        steps: explanation.steps.into_iter().map(step).collect(),
        image: explanation.image.map(image),
    }
}
