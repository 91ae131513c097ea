//! Tests that the directory stays consistent after any sequence of changes: nothing belongs to something that does
//! not exist, and no number is assigned twice.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::maker::{Ending, Maker};
use super::rotation::{self, Rotation};
use super::token::{NewCredential, NewToken};
use super::{CommandError, CommandResult, Terms, group, member, retention, service, token, user};
use crate::domain::access::AccessLevel;
use crate::domain::digest::Digest;
use crate::domain::directory::{Credential, Directory, Record, RecordKey, Write};
use crate::domain::group::Visibility;
use crate::domain::id::{CredentialId, GroupId, TokenId, UserId};
use crate::domain::limits::Limits;
use crate::domain::scope::Scopes;
use crate::domain::token::Token;
use crate::domain::upstream::Upstreams;

/// A change, described by small numbers that are taken modulo the number of existing objects.
#[derive(Clone, Debug)]
enum Step {
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

fn step() -> impl Strategy<Value = Step> {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn the_directory_stays_whole(steps in prop::collection::vec(step(), 1..60)) {
        let mut directory = Directory::default();
        let mut now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut assigned = HashSet::new();
        for (index, step) in steps.into_iter().enumerate() {
            now += SignedDuration::from_hours(1);
            let before = directory.clone();
            let Ok(writes) = change(&directory, &step, index, &mut now) else { continue };
            directory.apply(&writes);
            check_whole(&directory)?;
            prop_assert!(!has_administrator(&before) || has_administrator(&directory), "nobody is in charge");
            check_numbers(&before, &directory, &mut assigned)?;
            let again = Directory::from_records(directory.records());
            let records = |directory: &Directory| directory.records().map(|r| format!("{r:?}")).collect::<HashSet<_>>();
            prop_assert_eq!(records(&again), records(&directory));
        }
    }
}

fn change(directory: &Directory, step: &Step, index: usize, now: &mut Timestamp) -> Result<Vec<Write>, CommandError> {
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

fn check_whole(directory: &Directory) -> Result<(), TestCaseError> {
    for member in directory.memberships() {
        prop_assert!(directory.group(member.group).is_some(), "{member:?} of no group");
        prop_assert!(directory.user(member.user).is_some(), "{member:?} of no user");
    }
    for token in directory.tokens() {
        prop_assert!(token.user().is_none_or(|user| directory.user(user).is_some()), "{token:?} of no user");
        prop_assert!(token.group().is_none_or(|group| directory.group(group).is_some()), "{token:?} of no group");
        prop_assert!(directory.secret(&token.secret).is_some(), "{token:?} cannot be found");
        prop_assert!(directory.credential(token.credential).is_some(), "{token:?} cannot be found");
        let old = token.old_secret.map(|old| directory.secret(&old.secret));
        let is_old = |by: &Token| by.id == token.id && by.expires_at.is_some();
        let found =
            |credential: &Option<Credential>| matches!(credential, Some(Credential::OldSecret(by)) if is_old(by));
        prop_assert!(old.as_ref().is_none_or(found), "the old secret of {token:?} cannot be found");
    }
    check_makers(directory)?;
    for stone in directory.tombstones() {
        prop_assert!(directory.secret(&stone.secret).is_some(), "{stone:?} cannot be found");
    }
    for user in directory.users() {
        prop_assert_eq!(directory.user_named(user.username.as_str()).map(|found| found.id), Some(user.id));
        if let Some(group) = user.bot_of {
            prop_assert!(directory.tokens().any(|token| token.user() == Some(user.id)), "a bot without a token");
            prop_assert!(directory.membership(group, user.id).is_some(), "a bot that is no member");
        }
    }
    for group in directory.groups() {
        prop_assert_eq!(directory.group_at(&group.path).map(|found| found.id), Some(group.id));
        let parent = group.parent.map(|parent| directory.group(parent).unwrap());
        let above = parent.map(|parent| parent.path.as_str());
        prop_assert_eq!(group.path.lineage().nth(1), above);
        prop_assert!(parent.is_none_or(|parent| group.visibility <= parent.visibility));
    }
    Ok(())
}

/// Checks that nothing outlives the token that made it, and that no token made itself, directly or indirectly.
fn check_makers(directory: &Directory) -> Result<(), TestCaseError> {
    let maker = |id: TokenId| directory.token(id).and_then(|token| token.made_by);
    for token in directory.tokens().filter(|token| token.revoked_at.is_none()) {
        let above = std::iter::successors(maker(token.id), |id| maker(*id)).take(1000);
        prop_assert!(above.into_iter().all(|above| above != token.id), "{token:?} made itself");
        let maker = token.made_by.map(|maker| directory.token(maker));
        let lasts = |maker: &Option<&std::sync::Arc<Token>>| maker.is_some_and(|maker| maker.revoked_at.is_none());
        let ends_first = |maker: &Option<&std::sync::Arc<Token>>| {
            let end = maker.and_then(|maker| maker.expires_at);
            end.is_none_or(|end| token.expires_at.is_some_and(|own| own <= end))
        };
        prop_assert!(maker.is_none_or(|maker| ends_first(&maker)), "{token:?} ends after its maker {maker:?}");
        prop_assert!(maker.as_ref().is_none_or(lasts), "{token:?} outlives its maker");
        let basis = token.rests_on.map(|basis| directory.token(basis));
        prop_assert!(basis.as_ref().is_none_or(lasts), "{token:?} outlives what its maker's right rested on");
        prop_assert!(basis.is_none_or(|basis| ends_first(&basis)), "{token:?} ends after its basis {basis:?}");
    }
    for member in directory.memberships().filter(|member| member.made_by.is_some()) {
        let maker = member.made_by.and_then(|maker| directory.token(maker));
        prop_assert!(maker.is_some_and(|maker| maker.revoked_at.is_none()), "{member:?} outlives its maker");
        let end = maker.and_then(|maker| maker.expires_at);
        let ends_first = end.is_none_or(|end| member.expires_at.is_some_and(|own| own <= end));
        prop_assert!(ends_first, "{member:?} ends after its maker {maker:?}");
    }
    Ok(())
}

fn has_administrator(directory: &Directory) -> bool {
    directory.users().any(|user| user.admin && !user.blocked)
}

/// Checks that every new record has a number that was never assigned before.
fn check_numbers(
    before: &Directory,
    after: &Directory,
    assigned: &mut HashSet<RecordKey>,
) -> Result<(), TestCaseError> {
    let numbered = |record: &Record| match record {
        Record::User(_) | Record::Group(_) | Record::Token(_) => Some(record.key()),
        Record::Membership(_) | Record::Tombstone(_) | Record::Service(_) => None,
    };
    let old: HashSet<RecordKey> = before.records().filter_map(|record| numbered(&record)).collect();
    for key in after.records().filter_map(|record| numbered(&record)).filter(|key| !old.contains(key)) {
        prop_assert!(assigned.insert(key), "{key} was assigned twice");
    }
    Ok(())
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
