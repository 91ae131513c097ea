//! Refusals in the audit trail: failed logins, and requests that a caller has no right to. They are summed up, so that
//! a refusal writes nothing.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::USER_AGENT;
use jiff::Timestamp;

use crate::actors::audit::Occurrence;
use crate::auth::login_limit::network_of;
use crate::domain::audit::{Author, Entity, Target, Who};
use crate::domain::directory::Directory;
use crate::domain::id::GroupId;
use crate::http::refusals::{Place, Reason, Refused, Subject, shown};
use crate::http::registry::state::RegistryState;

/// Counts a refusal, if it belongs into the audit trail.
pub(super) fn note(
    state: &RegistryState,
    request: &HttpRequest,
    address: IpAddr,
    (subject, refused): (&Subject, &Refused),
) {
    if !refused.reason.is_audited() {
        return;
    }
    let directory = state.policy.directory();
    let place = Place::of(request, &state.upstreams.load(), &directory);
    let is_login = refused.reason == Reason::WrongSecret || ["/jwt/auth", "/-/sign-in"].contains(&request.path());
    let (name, message) =
        if is_login { ("login_failed", "a login failed") } else { ("request_refused", "a request was refused") };
    let user_agent = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok());
    let author = Author {
        address: Some(network_of(address)),
        user_agent: user_agent.map(|agent| shown(agent).into_owned()),
        ..author(subject)
    };
    let target = match (place.image.as_ref(), subject.who()) {
        (Some(image), _) => Target { kind: "Image".into(), id: None, name: image.clone() },
        (None, Who::User(id)) if is_login => {
            let name = subject.principal_name.clone().unwrap_or_default();
            Target { kind: "User".into(), id: Some(id.0), name }
        }
        (None, _) => {
            let name = format!("{} {}", request.method(), shown(request.path()));
            Target { kind: "Request".into(), id: None, name }
        }
    };
    let (credential, entity) = (subject.credential, entity(&directory, &place, subject));
    let failure = Some((refused.reason.label(), refused.sentence.clone()));
    state.audit.note(Occurrence { name, message, author, credential, entity, target, failure }, Timestamp::now());
}

/// Returns the author of a refusal. A user name without a valid secret proves nothing.
fn author(subject: &Subject) -> Author {
    if subject.credential.is_none() {
        return Author::local(Who::Nobody);
    }
    Author {
        name: subject.principal_name.clone().unwrap_or_default(),
        token: subject.token,
        token_name: subject.token.and(subject.credential_name.clone()),
        ..Author::local(subject.who())
    }
}

/// Returns the group that was requested, if it exists; else the group of the token or the user.
fn entity(directory: &Directory, place: &Place, subject: &Subject) -> Entity {
    let requested = place.group.as_ref().and_then(|path| directory.group_at(&path.parse().ok()?)).map(|group| group.id);
    let of_token = || directory.token(subject.token?)?.group();
    if let Some(group) = requested.or_else(of_token).and_then(|id: GroupId| directory.group(id)) {
        return Entity::Group { id: group.id, path: group.path.to_string() };
    }
    match subject.who() {
        // A failed login belongs to the user, so that administrators find all of them there.
        Who::User(id) => Entity::User { id, name: subject.principal_name.clone().unwrap_or_default() },
        Who::DeployToken | Who::Nobody | Who::Service | Who::Operator => Entity::Service,
    }
}
