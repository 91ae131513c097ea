//! The access rules over a small directory at chosen times, which a test against a real server could reach only by
//! waiting.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;

use super::*;
use crate::domain::access::Membership;
use crate::domain::digest::Digest;
use crate::domain::directory::{Record, Write};
use crate::domain::group::{GroupCacheLimits, Visibility};
use crate::domain::id::{CredentialId, TokenId};
use crate::domain::scope::Scopes;
use crate::domain::token::TokenOwner;

const NOON: &str = "2026-11-21T12:00:00Z";

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

fn user(id: u64, name: &str) -> User {
    User::new(UserId(id), name.parse().unwrap(), name, at(NOON))
}

fn group(id: u64, path: &str, parent: Option<u64>) -> Record {
    Record::Group(Group {
        id: GroupId(id),
        name: path.to_owned(),
        path: path.parse().unwrap(),
        description: String::new(),
        parent: parent.map(GroupId),
        visibility: Visibility::Private,
        proxy_enabled: None,
        created_at: at(NOON),
        cache: GroupCacheLimits::default(),
        upstream_accounts: BTreeMap::new(),
    })
}

#[test]
fn the_nearest_group_that_says_so_decides_after_how_many_days_images_go() {
    let mut directory = directory(None);
    let mut set = |id: u64, path: &str, parent: Option<u64>, unpulled_days| {
        let Record::Group(group) = group(id, path, parent) else { unreachable!() };
        let cache = GroupCacheLimits { unpulled_days, ..GroupCacheLimits::default() };
        directory.apply(&[Write::Put(Record::Group(Group { cache, ..group }))]);
        directory.clone()
    };
    let days = |directory: &Directory, id, default| unpulled_days(directory, GroupId(id), default);
    let top = set(1, "team", None, None);
    assert_eq!([days(&top, 1, 0), days(&top, 1, 90)], [None, Some(90)]);
    set(1, "team", None, Some(30));
    let below = set(7, "team/ci", Some(1), None);
    assert_eq!([days(&below, 1, 90), days(&below, 7, 90)], [Some(30), Some(30)]);
    let never = set(7, "team/ci", Some(1), Some(0));
    assert_eq!([days(&never, 1, 90), days(&never, 7, 90)], [Some(30), None]);
}

/// Returns a directory in which Alice is a member of `team` until the given end.
fn directory(until: Option<&str>) -> Directory {
    let membership = Membership {
        group: GroupId(1),
        user: UserId(1),
        level: AccessLevel::Guest,
        expires_at: until.map(at),
        created_at: at(NOON),
        made_by: None,
    };
    let member = Record::Membership(membership);
    Directory::from_records([
        Record::User(user(1, "alice")),
        group(1, "team", None),
        group(2, "team/sub", Some(1)),
        group(3, "other", None),
        member,
    ])
}

fn token(expires_at: Option<&str>, owner: TokenOwner) -> Arc<Token> {
    let secret = (CredentialId::from_random([1; 16]), Digest::from_bytes([1; 32]));
    let token = Token::new(TokenId(1), owner, "t", Scopes::pull(), secret, at(NOON));
    Arc::new(Token { expires_at: expires_at.map(at), ..token })
}

fn may(directory: &Directory, identity: &Identity, group: &str, now: &str) -> bool {
    pull_grant(directory, identity, &group.parse().unwrap(), PublicGroups::Members, at(now)).is_ok()
}

#[test]
fn a_membership_counts_until_its_end_and_for_the_groups_below() {
    let directory = directory(Some("2026-12-01T00:00:00Z"));
    let mine = token(None, TokenOwner::Personal { user: UserId(1) });
    let alice = Identity::UserToken(mine, directory.user(UserId(1)).unwrap().clone());
    for group in ["team", "team/sub"] {
        assert!(may(&directory, &alice, group, "2026-11-30T23:59:59.999Z"));
        assert!(!may(&directory, &alice, group, "2026-12-01T00:00:00Z"));
    }
    assert!(!may(&directory, &alice, "other", NOON));
}

#[test]
fn a_group_token_pulls_until_the_membership_of_its_bot_ends() {
    let directory = directory(Some("2026-12-01T00:00:00Z"));
    let owner = TokenOwner::Group { group: GroupId(1), bot: UserId(1) };
    let bot = Identity::UserToken(token(None, owner), directory.user(UserId(1)).unwrap().clone());
    for group in ["team", "team/sub"] {
        assert!(may(&directory, &bot, group, "2026-11-30T23:59:59.999Z"));
        assert!(!may(&directory, &bot, group, "2026-12-01T00:00:00Z"));
    }
    assert!(!may(&directory, &bot, "other", NOON));
}

#[test]
fn a_token_counts_until_its_end_and_says_who_can_help() {
    let directory = directory(None);
    let identified = |owner: TokenOwner, now: &str| {
        let token = token(Some("2026-12-01T00:00:00Z"), owner);
        identify(&directory, Credential::Token(token), at(now)).map(|_| ())
    };
    for (owner, remedy) in [
        (TokenOwner::Personal { user: UserId(1) }, "Its user can make a new one"),
        (TokenOwner::Group { group: GroupId(1), bot: UserId(1) }, "An owner of 'team' can rotate it"),
        (TokenOwner::Deploy { group: GroupId(2), username: "d".to_owned() }, "An owner of 'team/sub' can rotate it"),
    ] {
        assert_eq!(identified(owner.clone(), "2026-11-30T23:59:59Z"), Ok(()));
        let refused = identified(owner, "2026-12-01T00:00:00Z").unwrap_err().to_string();
        assert_eq!(refused, format!("Token 't' expired on 2026-12-01. {remedy}"));
    }
}

#[test]
fn a_token_of_a_user_who_is_gone_is_gone_with_it() {
    let orphan = token(None, TokenOwner::Personal { user: UserId(9) });
    let refused = identify(&directory(None), Credential::Token(orphan), at(NOON)).map(|_| ());
    assert_eq!(refused, Err(Refusal::Gone));
}

#[test]
fn an_administrator_pulls_from_every_group_that_there_is() {
    let directory = directory(None);
    let root = Arc::new(User { admin: true, ..user(7, "root") });
    let identity = Identity::User(root, CredentialId::from_random([7; 16]));
    assert!(may(&directory, &identity, "other", NOON) && !may(&directory, &identity, "missing", NOON));
}
