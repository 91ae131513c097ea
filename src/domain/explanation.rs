//! Explanations of pulls, for owners and administrators: each rule that decides whether somebody may pull from a group,
//! with a sentence about what it finds. It restates the rules of [`policy`], which decides: `belongs` and `is_open`
//! must be changed in both.

use std::sync::Arc;

use jiff::Timestamp;

use super::access::AccessLevel;
use super::directory::{Credential, Directory};
use super::group::{Group, Visibility};
use super::id::GroupId;
use super::image_path::check_upstream;
use super::policy::{self, PublicGroups};
use super::repository::UpstreamName;
use super::token::{Token, TokenOwner};
use super::upstream::{NetworkMode, Upstreams};
use super::user::User;

/// Somebody who pulls.
#[derive(Clone, Debug)]
pub enum Puller {
    /// A person, with the password or a personal access token.
    Person(Arc<User>),
    /// A deploy token, or a group access token with its bot.
    Token(Arc<Token>),
}

/// A rule, and what it finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The rule, as a word.
    pub rule: &'static str,
    /// True if it allows the pull.
    pub holds: bool,
    /// Its finding, as a sentence.
    pub sentence: String,
}

/// The settings of the service about pulls.
#[derive(Clone, Copy, Debug)]
pub struct ServiceRules {
    /// True if the whole proxy is switched on.
    pub proxy_enabled: bool,
    /// The users who may pull from public groups.
    pub public_groups: PublicGroups,
}

impl Puller {
    /// Returns the persons and tokens with this user name: of a deploy token its own, of a group access token that of
    /// its bot. Several groups may have given one name to their tokens, and it may be that of a person. First are the
    /// tokens of this group and those above it, then the person, then the tokens of other groups.
    pub fn named(directory: &Directory, username: &str, group: GroupId) -> Vec<Self> {
        let is_named = |token: &&Arc<Token>| token.owner.username() == Some(username);
        let tokens = directory.tokens().filter(is_named).cloned();
        let (own, others): (Vec<_>, Vec<_>) = tokens.partition(|token| policy::is_of(directory, token, group));
        let user = directory.user_named(username).and_then(|user| Self::of_user(directory, user));
        let tokens = |all: Vec<Arc<Token>>| all.into_iter().map(Self::Token);
        tokens(own).chain(user).chain(tokens(others)).collect()
    }

    fn of_user(directory: &Directory, user: &Arc<User>) -> Option<Self> {
        let is_of = |token: &&Arc<Token>| matches!(token.owner, TokenOwner::Group { bot, .. } if bot == user.id);
        match user.bot_of {
            Some(_) => directory.tokens().find(is_of).cloned().map(Self::Token),
            None => Some(Self::Person(user.clone())),
        }
    }

    /// Returns a description that distinguishes this one from others with the same user name.
    pub fn described(&self, directory: &Directory) -> String {
        match self {
            Self::Person(user) => format!("the user {}", user.username),
            Self::Token(token) => {
                let group = token.group().and_then(|id| directory.group(id));
                let of = group.map_or_else(|| "a deleted group".to_owned(), |group| group.path.to_string());
                format!("token '{}' of {of}", token.name)
            }
        }
    }
}

/// Returns the remark that a user name stands for one of several, if there are others.
pub fn one_of_several(directory: &Directory, puller: &Puller, others: &[Puller]) -> Option<Step> {
    let names: Vec<String> = others.iter().map(|other| other.described(directory)).collect();
    let sentence =
        || format!("This is about {}. The user name is also that of {}", puller.described(directory), names.join(", "));
    (!names.is_empty()).then(|| Step { rule: "name", holds: true, sentence: sentence() })
}

/// Returns what each rule finds, in the order in which a pull meets them.
pub fn explain(
    directory: &Directory,
    puller: &Puller,
    group: &Group,
    rules: ServiceRules,
    now: Timestamp,
) -> Vec<Step> {
    let right = match puller {
        Puller::Person(user) => vec![active_person(user), right_of_person(directory, user, group, rules, now)],
        Puller::Token(token) => {
            vec![active_token(directory, token, now), scopes(token), right_of_token(directory, token, group, now)]
        }
    };
    [right, vec![switch(directory, group.id, rules.proxy_enabled)]].concat()
}

/// Returns whether this service has the registry of an image.
pub fn registry(upstreams: &Upstreams, registry: &UpstreamName) -> Step {
    let (holds, sentence) = match check_upstream(registry, upstreams) {
        Ok(()) => (true, format!("{registry} is an upstream of this service")),
        Err(error) => (false, error.to_string()),
    };
    Step { rule: "registry", holds, sentence }
}

/// Returns the finding that an image cannot be fetched, if this service is offline and has not cached it.
pub fn network(upstreams: &Upstreams, is_cached: bool) -> Option<Step> {
    let sentence = "This service is offline (proxy.network_mode), and the group has not cached the image";
    let is_out_of_reach = upstreams.mode() == NetworkMode::Offline && !is_cached;
    is_out_of_reach.then(|| Step { rule: "network", holds: false, sentence: sentence.to_owned() })
}

fn active_person(user: &User) -> Step {
    let name = &user.username;
    let sentence = if user.blocked {
        format!("{name} is blocked, and so are the tokens of {name}. An administrator can unblock the user")
    } else {
        format!("{name} is an active user")
    };
    Step { rule: "credential", holds: !user.blocked, sentence }
}

fn active_token(directory: &Directory, token: &Arc<Token>, now: Timestamp) -> Step {
    let name = &token.name;
    let (holds, sentence) = match policy::identify(directory, Credential::Token(token.clone()), now) {
        Ok(_) => (true, format!("Token '{name}' is valid")),
        Err(refusal) => (false, refusal.to_string()),
    };
    Step { rule: "credential", holds, sentence }
}

fn scopes(token: &Token) -> Step {
    let (name, scopes) = (&token.name, &token.scopes);
    let sentence = if token.may_pull() {
        format!("Token '{name}' may pull, with the scopes {scopes}")
    } else {
        format!("Token '{name}' has the scopes {scopes}; pulling needs read_registry and write_registry, or api")
    };
    Step { rule: "scopes", holds: token.may_pull(), sentence }
}

fn right_of_person(directory: &Directory, user: &User, group: &Group, rules: ServiceRules, now: Timestamp) -> Step {
    let (name, path) = (&user.username, &group.path);
    let holds = |sentence| Step { rule: "membership", holds: true, sentence };
    let memberships = directory.lineage(group.id).filter_map(|above| directory.membership(above.id, user.id));
    let best = memberships.filter(|one| one.is_active(now)).max_by_key(|one| one.level);
    if let Some(best) = best {
        let of = directory.group(best.group).map_or_else(String::new, |group| group.path.to_string());
        let above = if best.group == group.id { "" } else { ", above this group" };
        return holds(format!("{name} is {} of {of}{above}", with_article(best.level)));
    }
    if user.admin {
        return holds(format!("{name} is an administrator, who may pull from every group"));
    }
    if group.visibility == Visibility::Public && rules.public_groups != PublicGroups::Members {
        return holds(format!("{path} is public, and the service admits others to public groups (auth.public_groups)"));
    }
    let sentence = format!(
        "{name} is a member neither of {path} nor of a group above it, or not any more. An owner of the group can add the user"
    );
    Step { rule: "membership", holds: false, sentence }
}

fn right_of_token(directory: &Directory, token: &Arc<Token>, group: &Group, now: Timestamp) -> Step {
    let (name, path) = (&token.name, &group.path);
    let of = token.group().and_then(|id| directory.group(id));
    let is_within = policy::is_of(directory, token, group.id);
    let of = of.map_or_else(|| "a deleted group".to_owned(), |group| group.path.to_string());
    let bot_is_member = token.user().is_none_or(|bot| policy::is_member(directory, token, bot, now));
    let sentence = match (is_within, bot_is_member) {
        (true, true) => format!("Token '{name}' is one of {of}, and pulls from it and from the groups below it"),
        (true, false) => {
            format!("The bot of token '{name}' is not a member of {of} any more. An owner of the group can add it")
        }
        (false, _) => format!("Token '{name}' is one of {of}, and does not pull from {path}"),
    };
    Step { rule: "membership", holds: is_within && bot_is_member, sentence }
}

/// Returns whether pulls from a group are switched on, in the service and in the group that decides for it.
pub fn switch(directory: &Directory, group: GroupId, proxy_enabled: bool) -> Step {
    let decides = directory.lineage(group).find(|above| above.proxy_enabled.is_some());
    let (holds, sentence) = match (proxy_enabled, decides) {
        (false, _) => {
            (false, "Pulls are switched off in the whole service. An administrator can switch them on".to_owned())
        }
        (true, Some(group)) if group.proxy_enabled == Some(false) => {
            (false, format!("Pulls are switched off in {}. An owner of that group can switch them on", group.path))
        }
        (true, Some(group)) => (true, format!("Pulls are switched on in {}", group.path)),
        (true, None) => (true, "Pulls are switched on".to_owned()),
    };
    Step { rule: "switch", holds, sentence }
}

fn with_article(level: AccessLevel) -> String {
    let article = if level == AccessLevel::Owner { "an" } else { "a" };
    format!("{article} {}", level.name())
}
