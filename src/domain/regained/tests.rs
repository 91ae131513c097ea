//! Tests that compare a backup with later identities of the same service.

use jiff::ToSpan;

use super::*;
use crate::domain::digest::Digest;
use crate::domain::directory::{RecordKey, Service};
use crate::domain::id::{CredentialId, GroupId, TokenId, UserId};
use crate::domain::scope::Scopes;
use crate::domain::token::{OldSecret, TokenOwner, Tombstone};
use crate::domain::user::Password;

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn user(id: u64, password: u8) -> User {
    let credential = CredentialId::from_random([password; 16]);
    let password = Some(Password { credential, hash: String::new(), set_at: None });
    User { password, ..User::new(UserId(id), format!("user-{id}").parse().unwrap(), "", now()) }
}

fn token(id: u8) -> Token {
    let owner = TokenOwner::Deploy { group: GroupId(1), username: "ci".to_owned() };
    let secret = (CredentialId::from_random([100 + id; 16]), Digest::from_bytes([id; 32]));
    Token::new(TokenId(id.into()), owner, format!("token-{id}"), Scopes::pull(), secret, now())
}

/// Returns a directory with users 1 to 5 and tokens 1 to 5.
fn backup() -> Directory {
    let service = Record::Service(Service { last_user: 5, last_token: 5, ..Service::default() });
    let users = (1..=5).map(|id| Record::User(user(id.into(), id)));
    let tokens = (1..=5).map(|id| Record::Token(token(id)));
    Directory::from_records(std::iter::once(service).chain(users).chain(tokens))
}

/// Returns the same directory at a later time: user 2 is blocked, 3 is deleted and 4 has another password; token 2 is
/// revoked, 3 is deleted with a tombstone, 4 is deleted without one, and 5 has ended early.
fn present() -> Directory {
    let mut present = backup();
    let ended = now() - 1.hour();
    present.apply(&[
        Write::Put(Record::User(User { blocked: true, ..user(2, 2) })),
        Write::Remove(RecordKey::User(UserId(3))),
        Write::Put(Record::User(user(4, 44))),
        Write::Put(Record::Token(Token { revoked_at: Some(ended), ..token(2) })),
        Write::Put(Record::Tombstone(Tombstone { deleted_at: ended, ..Tombstone::of(&token(3), now()) })),
        Write::Remove(RecordKey::Token(TokenId(3))),
        Write::Remove(RecordKey::Token(TokenId(4))),
        Write::Put(Record::Token(Token { expires_at: Some(ended), ..token(5) })),
    ]);
    present
}

#[test]
fn what_was_taken_away_since_the_backup_is_regained_and_nothing_else() {
    let ended = now() - 1.hour();
    let named = |regained: &Regained| match &regained.subject {
        Subject::User(user) => (format!("user {}", user.id), regained.cause),
        Subject::Password(user) => (format!("password {}", user.id), regained.cause),
        Subject::Token(token) => (format!("token {}", token.id), regained.cause),
    };
    let found: Vec<_> = regained(&backup(), &present(), now()).iter().map(named).collect();
    let expected = [
        ("user 2", Cause::Blocked),
        ("user 3", Cause::Deleted(None)),
        ("password 4", Cause::Changed),
        ("token 2", Cause::Revoked(ended)),
        ("token 3", Cause::Deleted(Some(ended))),
        ("token 4", Cause::Deleted(None)),
        ("token 5", Cause::Expired(ended)),
    ];
    assert_eq!(found, expected.map(|(name, cause)| (name.to_owned(), cause)));
    assert_eq!(regained(&present(), &present(), now()), []);
}

#[test]
fn the_secret_that_a_rotation_replaced_is_regained_however_often_it_was_rotated() {
    let old = |id: u8| OldSecret {
        secret: Digest::from_bytes([id; 32]),
        credential: CredentialId::from_random([100 + id; 16]),
        expires_at: now() + 1.hour(),
    };
    let with_secret = |id: u8, other: u8| Token {
        credential: CredentialId::from_random([200 + other; 16]),
        secret: Digest::from_bytes([200 + other; 32]),
        ..token(id)
    };
    let mut present = backup();
    present.apply(&[
        Write::Put(Record::Token(Token { old_secret: Some(old(1)), ..with_secret(1, 1) })),
        Write::Put(Record::Token(Token { old_secret: Some(old(50)), ..with_secret(2, 2) })),
    ]);
    let found: Vec<_> = regained(&backup(), &present, now()).iter().map(|regained| regained.cause).collect();
    assert_eq!(found, [Cause::Rotated, Cause::Rotated]);
}

#[test]
fn what_the_present_never_knew_was_not_taken_away() {
    let older = Directory::from_records([Record::User(user(1, 1)), Record::Service(Service::default())]);
    assert_eq!(regained(&backup(), &older, now()), []);
    assert!(are_of_one_service(&backup(), &older));
    let other = User { created_at: now() - 1.hour(), ..user(1, 1) };
    assert!(!are_of_one_service(&backup(), &Directory::from_records([Record::User(other)])));
}

/// Returns what a restore of a newer backup over these older identities makes valid again.
fn regained_by_newer(older: &Directory, changes: &[Write]) -> Vec<Cause> {
    let mut newer = older.clone();
    newer.apply(changes);
    regained(&newer, older, now()).iter().map(|regained| regained.cause).collect()
}

#[test]
fn what_is_newer_in_the_backup_is_not_regained() {
    let mut older = present();
    let skipping = older.service().skipping(1000);
    older.apply(&[Write::Put(Record::Service(skipping))]);
    let later = Some(now() + 1.hour());
    let user_4 = older.user(UserId(4)).unwrap();
    let set_later = user_4.password.clone().map(|password| Password {
        credential: CredentialId::from_random([45; 16]),
        set_at: later,
        ..password
    });
    let rotated = Token { credential: CredentialId::from_random([201; 16]), created_at: now() + 1.hour(), ..token(1) };
    let changes = [
        Record::Token(token(6)),
        Record::User(user(6, 6)),
        Record::User(User { blocked: false, block_changed_at: later, ..user(2, 2) }),
        Record::User(User { password: set_later, ..User::clone(user_4) }),
        Record::Token(rotated),
        Record::Token(Token { expires_at: later, end_changed_at: later, ..token(5) }),
    ];
    assert_eq!(regained_by_newer(&older, &changes.map(Write::Put)), []);
}

#[test]
fn a_number_that_both_sides_assigned_to_different_tokens_and_users_takes_nothing_away() {
    let mut older = backup();
    older.apply(&[
        Write::Put(Record::Service(Service { last_user: 6, last_token: 6, ..Service::default() })),
        Write::Put(Record::User(User { blocked: true, created_at: now() + 1.hour(), ..user(6, 6) })),
        Write::Put(Record::Token(Token { name: "made-here".to_owned(), ..token(6) })),
    ]);
    let late = Token { credential: CredentialId::from_random([200; 16]), ..token(6) };
    let changes = [Write::Put(Record::User(user(6, 66))), Write::Put(Record::Token(late))];
    assert_eq!(regained_by_newer(&older, &changes), []);
}

#[test]
fn what_was_taken_away_after_numbers_were_skipped_is_regained() {
    let mut present = backup();
    let skipping = present.service().skipping(1000);
    present.apply(&[Write::Put(Record::Service(skipping.clone()))]);
    let mut backup = present.clone();
    backup.apply(&[
        Write::Put(Record::Token(Token { id: TokenId(1006), ..token(6) })),
        Write::Put(Record::User(user(1006, 6))),
    ]);
    present.apply(&[
        Write::Put(Record::Service(Service { last_user: 1006, last_token: 1006, ..skipping })),
        Write::Remove(RecordKey::Token(TokenId(4))),
    ]);
    let found: Vec<_> = regained(&backup, &present, now()).iter().map(|regained| regained.cause).collect();
    assert_eq!(found, [Cause::Deleted(None); 3]);
}

#[test]
fn what_counts_no_longer_in_the_backup_itself_is_not_regained() {
    let mut backup = backup();
    backup.apply(&[
        Write::Put(Record::User(User { blocked: true, ..user(2, 2) })),
        Write::Put(Record::Token(Token { expires_at: Some(now()), ..token(4) })),
        Write::Put(Record::Token(Token { owner: TokenOwner::Personal { user: UserId(2) }, ..token(3) })),
    ]);
    let found = regained(&backup, &present(), now());
    assert!(found.iter().all(|regained| match &regained.subject {
        Subject::User(user) | Subject::Password(user) => user.id != UserId(2),
        Subject::Token(token) => ![3, 4].contains(&token.id.0),
    }));
}

#[test]
fn revoking_them_leaves_nothing_to_regain() {
    let (mut backup, present) = (backup(), present());
    let all = regained(&backup, &present, now());
    revoke(&mut backup, &present, &all, now());
    assert_eq!(regained(&backup, &present, now()), []);
    assert!(backup.user(UserId(3)).unwrap().blocked && !backup.user(UserId(4)).unwrap().blocked);
    assert_eq!(backup.user(UserId(4)).unwrap().password, present.user(UserId(4)).unwrap().password);
    assert!(backup.token(TokenId(1)).unwrap().is_active(now()), "what counts now goes on");
    assert!([2, 3, 4, 5].iter().all(|id| !backup.token(TokenId(*id)).unwrap().is_active(now())));
}
