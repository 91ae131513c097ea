//! `/groups/:id/dependency_proxy/explain`: who may pull an image through a group, by which rule, with which account at the
//! registry, and how fresh it is.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::caller::{Caller, Right};
use super::error::ApiError;
use super::image_changes;
use super::image_view as view;
use super::params::Params;
use crate::actors::images::ShownImage;
use crate::domain::access::AccessLevel;
use crate::domain::explanation::{Puller, ServiceRules, Step, explain, one_of_several};
use crate::domain::group::Group;
use crate::domain::id::GroupId;
use crate::domain::image_path::ImageName;
use crate::domain::origin::Origin;
use crate::domain::policy;
use crate::domain::reference::Reference;

/// An explanation of a pull.
pub(in crate::http) struct Explanation {
    /// True if the pull is allowed.
    pub(in crate::http) allowed: bool,
    /// The finding of each rule, in the order in which a pull meets them.
    pub(in crate::http) steps: Vec<Step>,
    /// The image, if one was named.
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
    /// The path of the group that has chosen how long tags are fresh; `None`: the settings of the service say so.
    pub(in crate::http) fresh_group: Option<String>,
    /// Time for which it is served without asking the registry, in seconds; `None` for a digest, which never changes.
    pub(in crate::http) fresh_seconds: Option<u64>,
    /// The image as the group has cached it with this account.
    pub(in crate::http) cached: Option<ShownImage>,
}

/// Handles `GET /groups/:id/dependency_proxy/explain`. Owners ask about members and tokens of their group,
/// administrators about anybody.
pub(super) async fn show(caller: Caller, path: web::Path<String>, params: Params) -> Result<HttpResponse, ApiError> {
    let group = caller.authority().group(&path, Right::Own)?.id;
    let (username, image) = (params.required_text("user")?, params.text("image")?);
    let explanation = of(&caller, group, &username, image.as_deref()).await?;
    Ok(HttpResponse::Ok().json(shown(&caller, group, &explanation)))
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
        Some(image) => Some(of_image(caller, &group, image).await?),
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

async fn of_image(caller: &Caller, group: &Group, image: &str) -> Result<ExplainedImage, ApiError> {
    let upstreams = caller.state.upstreams.load_full();
    let ImageName { upstream, repository, reference } = ImageName::parse(image, &upstreams)
        .map_err(|error| ApiError::Invalid { field: "image", reason: format!("is not one: {error}") })?;
    let origin = upstreams.origin(upstream, repository, &group.path);
    let is_tag = matches!(reference, Reference::Tag(_));
    let choices = upstreams.choices();
    let account_group = choices.account(&origin.upstream, &group.path).map(|(holder, _)| holder.to_string());
    let fresh_group = choices.tag_freshness(&group.path).filter(|_| is_tag).map(|(chooser, _)| chooser.to_string());
    let fresh_seconds = is_tag.then(|| upstreams.freshness(&origin, &reference, &group.path).time_to_live.as_secs());
    let name = origin.name_of(&reference);
    let cached = match image_changes::find(caller, group.id, &name).await {
        Ok(found) => found.into_iter().find(|one| one.image.key.origin == origin),
        Err(error) if image_changes::is_missing(&error) => None,
        Err(error) => return Err(error),
    };
    Ok(ExplainedImage { origin, name, account_group, fresh_group, fresh_seconds, cached })
}

fn shown(caller: &Caller, group: GroupId, explanation: &Explanation) -> Value {
    let step = |step: &Step| json!({"rule": step.rule, "holds": step.holds, "sentence": step.sentence});
    let days = policy::unpulled_days(&caller.directory, group, caller.state.unpulled_days);
    let image = explanation.image.as_ref().map(|image| {
        let account = Some(image.origin.account.username()).filter(|name| !name.is_empty());
        json!({
            "name": image.name,
            "upstream": image.origin.upstream,
            "account": account,
            "account_group": image.account_group,
            "fresh_seconds": image.fresh_seconds,
            "fresh_group": image.fresh_group,
            "cached": image.cached.as_ref().map(|one| view::image(one, days, caller.now)),
        })
    });
    json!({
        "allowed": explanation.allowed,
        "steps": explanation.steps.iter().map(step).collect::<Vec<_>>(),
        "image": image,
    })
}
