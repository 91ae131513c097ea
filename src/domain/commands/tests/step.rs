//! Arbitrary changes, described by small numbers, and how they are made.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use crate::domain::access::AccessLevel;
use crate::domain::commands::maker::{Ending, Maker};
use crate::domain::commands::rotation::{self, Rotation};
use crate::domain::commands::token::{NewCredential, NewToken};
use crate::domain::commands::{CommandError, CommandResult, Terms, group, member, retention, service, token, user};
use crate::domain::digest::Digest;
use crate::domain::directory::{Directory, Write};
use crate::domain::group::Visibility;
use crate::domain::id::{CredentialId, GroupId, TokenId, UserId};
use crate::domain::limits::Limits;
use crate::domain::scope::Scopes;
use crate::domain::upstream::Upstreams;

/// A change, described by small numbers that are taken modulo the number of existing objects.
#[derive(Clone, Debug)]
pub(super) enum Step {
    NewUser { name: u8, admin: bool },
    RenameUser { user: u64, name: u8 },
    Admin { user: u64, admin: bool },
    Block { user: u64, blocked: bool },
    DeleteUser { user: u64, force: bool },
    NewGroup { part: u8, parent: Option<u64>, creator: u64, visibility: u8 },
    RenameGroup { group: u64, part: u8 },
    Show { group: u64, visibility: u8 },
    DeleteGroup { group: u64 },
    Join { group: u64, user: u64, level: u8, by: Option<u64> },
    Level { group: u64, user: u64, level: u8, by: Option<u64> },
    Leave { group: u64, user: u64 },
    Personal { user: u64, by: Option<u64> },
    GroupToken { group: u64, by: Option<u64> },
    Deploy { group: u64, secret: Option<u8>, by: Option<u64> },
    Rotate { token: u64, overlap: u8, days: i64, by: Option<u64> },
    Extend { token: u64, days: Option<i64>, by: Option<u64> },
    Revoke { token: u64 },
    Forget { days: u8 },
    Switch { enabled: Option<bool> },
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let (id, part) = (1..12_u64, 0..6_u8);
    let by = prop::option::of(id.clone());
    prop_oneof![
        (part.clone(), any::<bool>()).prop_map(|(name, admin)| Step::NewUser { name, admin }),
        (id.clone(), part.clone()).prop_map(|(user, name)| Step::RenameUser { user, name }),
        (id.clone(), any::<bool>()).prop_map(|(user, admin)| Step::Admin { user, admin }),
        (id.clone(), any::<bool>()).prop_map(|(user, blocked)| Step::Block { user, blocked }),
        (id.clone(), any::<bool>()).prop_map(|(user, force)| Step::DeleteUser { user, force }),
        (part.clone(), prop::option::of(id.clone()), id.clone(), 0..3_u8)
            .prop_map(|(part, parent, creator, visibility)| Step::NewGroup { part, parent, creator, visibility }),
        (id.clone(), part).prop_map(|(group, part)| Step::RenameGroup { group, part }),
        (id.clone(), 0..3_u8).prop_map(|(group, visibility)| Step::Show { group, visibility }),
        id.clone().prop_map(|group| Step::DeleteGroup { group }),
        (id.clone(), id.clone(), 1..6_u8, by.clone()).prop_map(|(group, user, level, by)| Step::Join {
            group,
            user,
            level,
            by
        }),
        (id.clone(), id.clone(), 1..6_u8, by.clone()).prop_map(|(group, user, level, by)| Step::Level {
            group,
            user,
            level,
            by
        }),
        (id.clone(), id.clone()).prop_map(|(group, user)| Step::Leave { group, user }),
        (id.clone(), by.clone()).prop_map(|(user, by)| Step::Personal { user, by }),
        (id.clone(), by.clone()).prop_map(|(group, by)| Step::GroupToken { group, by }),
        (id.clone(), prop::option::of(0..3_u8), by.clone()).prop_map(|(group, secret, by)| Step::Deploy {
            group,
            secret,
            by
        }),
        (id.clone(), 0..3_u8, 1..30_i64, by.clone()).prop_map(|(token, overlap, days, by)| Step::Rotate {
            token,
            overlap,
            days,
            by
        }),
        (id.clone(), prop::option::weighted(0.8, 1..60_i64), by).prop_map(|(token, days, by)| Step::Extend {
            token,
            days,
            by
        }),
        id.prop_map(|token| Step::Revoke { token }),
        (0..100_u8).prop_map(|days| Step::Forget { days }),
        any::<Option<bool>>().prop_map(|enabled| Step::Switch { enabled }),
    ]
}

pub(super) fn change(
    directory: &Directory,
    step: &Step,
    index: usize,
    now: &mut Timestamp,
) -> Result<Vec<Write>, CommandError> {
    let at = *now;
    let made_by = |by: Option<u64>| match by.and_then(|id| directory.token(TokenId(id))) {
        Some(token) if token.is_active(at) => {
            Maker::Token { id: token.id, end: token.expires_at, of_group: token.group().is_some() }
        }
        Some(_) | None => Maker::Unbound,
    };
    let under = |by: Option<u64>| Terms { maker: made_by(by), by: None, limits: &Limits::NONE, now: at };
    let world = Upstreams::default();
    match step.clone() {
        Step::NewUser { name, admin } => writes(user::create(directory, new_user(name, admin), at)),
        Step::RenameUser { user, name } => {
            let username = Some(format!("User{name}").parse().unwrap());
            writes(user::update(directory, UserId(user), user::UserChange { username, ..Default::default() }))
        }
        Step::Admin { user, admin } => {
            let change = user::UserChange { admin: Some(admin), ..Default::default() };
            writes(user::update(directory, UserId(user), change))
        }
        Step::Block { user, blocked: true } => writes(user::block(directory, UserId(user), at)),
        Step::Block { user, blocked: false } => writes(user::unblock(directory, UserId(user), at)),
        Step::DeleteUser { user, force } => writes(user::delete(directory, UserId(user), force, at)),
        Step::NewGroup { part, parent, creator, visibility } => {
            let (parent, creator) = (parent.map(GroupId), UserId(creator));
            let (name, path) = ("A group".to_owned(), format!("Part{part}"));
            let visibility = Some(self::visibility(visibility));
            let new = group::NewGroup { name, path, description: String::new(), parent, visibility, creator };
            writes(group::create(directory, &world, new, &under(None)))
        }
        Step::RenameGroup { group, part } => {
            let change = group::GroupChange { path: Some(format!("part{part}")), ..Default::default() };
            writes(group::update(directory, &world, GroupId(group), change, UserId(1)))
        }
        Step::Show { group, visibility } => {
            let change = group::GroupChange { visibility: Some(self::visibility(visibility)), ..Default::default() };
            writes(group::update(directory, &world, GroupId(group), change, UserId(1)))
        }
        Step::DeleteGroup { group } => writes(group::delete(directory, GroupId(group), at)),
        Step::Join { group, user, level, by } => {
            let (group, user, level) = (GroupId(group), UserId(user), level_of(level));
            writes(member::add(directory, member::NewMember { group, user, level, expires_at: None }, &under(by)))
        }
        Step::Level { group, user, level, by } => {
            let change = member::MemberChange { level: Some(level_of(level)), expires_at: None };
            writes(member::update(directory, GroupId(group), UserId(user), change, &under(by)))
        }
        Step::Leave { group, user } => writes(member::remove(directory, GroupId(group), UserId(user), at)),
        Step::Personal { user, by } => {
            writes(token::create_personal(directory, UserId(user), new_token(index, None), &under(by)))
        }
        Step::GroupToken { group, by } => {
            let level = AccessLevel::Maintainer;
            writes(token::create_group(directory, GroupId(group), level, new_token(index, None), &under(by)))
        }
        Step::Deploy { group, secret, by } => {
            writes(token::create_deploy(directory, GroupId(group), None, new_token(index, secret), &under(by)))
        }
        Step::Rotate { token, overlap, days, by } => {
            let new_credential = new_token(index, None).new_credential;
            let overlap = format!("{}h", 24 * u16::from(overlap)).parse().unwrap();
            let rotation = Rotation { ending: Some(Ending::InDays(days)), new_credential, overlap };
            writes(rotation::rotate(directory, TokenId(token), rotation, &under(by)))
        }
        Step::Extend { token, days, by } => {
            let end = days.map(|days| at + SignedDuration::from_hours(24 * days));
            writes(rotation::extend(directory, TokenId(token), end, &under(by)))
        }
        Step::Revoke { token } => writes(token::revoke(directory, TokenId(token), at)),
        Step::Forget { days } => {
            *now += SignedDuration::from_hours(24 * i64::from(days));
            writes(retention::expire(directory, 5, *now))
        }
        Step::Switch { enabled } => writes(service::switch_proxy(directory, enabled)),
    }
}

fn writes<T>(edit: CommandResult<T>) -> Result<Vec<Write>, CommandError> {
    edit.map(|(writes, _)| writes)
}

fn new_user(name: u8, admin: bool) -> user::NewUser {
    let username = format!("user{name}").parse().unwrap();
    user::NewUser { username, name: "A user".to_owned(), email: String::new(), admin, password: None }
}

fn new_token(index: usize, secret: Option<u8>) -> NewToken {
    let mut bits = [0; 16];
    bits[..8].copy_from_slice(&index.to_be_bytes());
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&index.to_be_bytes());
    let secret = Digest::from_bytes(secret.map_or(digest, |byte| [byte + 100; 32]));
    let new_credential = NewCredential { credential: CredentialId::from_random(bits), secret, brought: false };
    let name = "A token".to_owned();
    NewToken {
        name,
        description: String::new(),
        scopes: Scopes::pull(),
        ending: Ending::InDays(index as i64 % 40 + 1),
        new_credential,
    }
}

fn level_of(number: u8) -> AccessLevel {
    AccessLevel::try_from(number * 10).unwrap()
}

fn visibility(number: u8) -> Visibility {
    [Visibility::Private, Visibility::Internal, Visibility::Public][usize::from(number)]
}
