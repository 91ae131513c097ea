//! Tests that the directory stays consistent after any sequence of changes: nothing belongs to something that does
//! not exist, and no number is assigned twice.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod step;

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use self::step::{change, step};
use crate::domain::directory::{Credential, Directory, Record, RecordKey};
use crate::domain::id::TokenId;
use crate::domain::token::Token;

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
