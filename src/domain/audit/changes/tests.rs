//! Tests of the events of changes.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::json;

use super::*;
use crate::domain::access::{AccessLevel, Membership};
use crate::domain::audit::Who;
use crate::domain::digest::Digest;
use crate::domain::directory::{RecordKey, Service};
use crate::domain::id::{CredentialId, TokenId};
use crate::domain::scope::Scopes;
use crate::domain::user::{Password, User};

fn user(id: u64) -> User {
    User::new(UserId(id), format!("user{id}").parse().unwrap(), "A user", Timestamp::UNIX_EPOCH)
}

fn token(id: u8) -> Token {
    let owner = TokenOwner::Deploy { group: GroupId(7), username: "ci".to_owned() };
    let secret = (CredentialId::from_random([id; 16]), Digest::from_bytes([id; 32]));
    Token::new(TokenId(id.into()), owner, "deploy", Scopes::pull(), secret, Timestamp::UNIX_EPOCH)
}

fn of(before: &Directory, writes: &[Write]) -> Vec<Event> {
    let mut after = before.clone();
    after.apply(writes);
    let origin = ChangeOrigin { author: Author::local(Who::Service), message: "something done" };
    events((before, &after), writes, &origin, Timestamp::UNIX_EPOCH)
}

fn named(events: &[Event]) -> Vec<(&str, &str, Option<u64>)> {
    events.iter().map(|event| (event.name.as_str(), &*event.target.kind, event.target.id)).collect()
}

#[test]
fn each_record_of_a_change_has_an_event_of_the_group_or_user_that_it_belongs_to() {
    let before = Directory::from_records([Record::User(user(1)), Record::Token(token(3))]);
    let created_at = Timestamp::UNIX_EPOCH;
    let member = Membership {
        group: GroupId(7),
        user: UserId(1),
        level: AccessLevel::Owner,
        expires_at: None,
        made_by: None,
        created_at,
    };
    let bot = User { bot_of: Some(GroupId(7)), ..user(2) };
    let writes = [
        Write::Put(Record::User(bot)),
        Write::Put(Record::Membership(member)),
        Write::Remove(RecordKey::Token(TokenId(3))),
        Write::Put(Record::Service(Service { last_user: 2, ..Service::default() })),
    ];
    let events = of(&before, &writes);
    assert_eq!(named(&events), [("member_created", "User", Some(1)), ("deploy_token_revoked", "DeployToken", Some(3))]);
    assert!(events.iter().all(|event| event.entity.group() == Some(GroupId(7))));
    assert_eq!(events[0].target.name, "user1");
    let level = events[0].changes.iter().find(|change| change.field == "level").unwrap();
    assert_eq!((&level.from, &level.to), (&None, &Some(json!(50))));
}

#[test]
fn changed_fields_have_their_values_before_and_after_and_secrets_none() {
    let password = Password { credential: CredentialId::from_random([9; 16]), hash: "$argon2$x".into(), set_at: None };
    let before = Directory::from_records([Record::User(user(1)), Record::Token(token(3))]);
    let changed = User { name: "Another".to_owned(), password: Some(password), ..user(1) };
    let rotated = Token { secret: Digest::from_bytes([8; 32]), ..token(3) };
    let events = of(&before, &[Write::Put(Record::User(changed)), Write::Put(Record::Token(rotated))]);
    assert_eq!(events[0].name, "user_password_updated");
    assert_eq!(
        events[0].changes,
        [
            FieldChange { field: "name".into(), from: Some(json!("A user")), to: Some(json!("Another")) },
            FieldChange { field: "password".into(), from: None, to: None },
        ]
    );
    assert_eq!((events[1].name.as_str(), events[1].changes.len()), ("deploy_token_rotated", 1));
    let text = serde_json::to_string(&events).unwrap();
    assert!(!text.contains("argon2") && !text.contains("0808") && !text.contains("0909"), "{text}");
}

#[test]
fn numbers_of_tokens_and_users_have_their_names_beside_them() {
    let laptop = Token { owner: TokenOwner::Personal { user: UserId(1) }, name: "laptop".to_owned(), ..token(3) };
    let before = Directory::from_records([Record::User(user(1)), Record::Token(laptop)]);
    let made = Token { made_by: Some(TokenId(3)), created_by: Some(UserId(1)), rests_on: Some(TokenId(9)), ..token(4) };
    let events = of(&before, &[Write::Put(Record::Token(made)), Write::Remove(RecordKey::Token(TokenId(3)))]);
    let to = |name: &str| events[0].changes.iter().find(|change| change.field == name).unwrap().to.clone().unwrap();
    assert_eq!(to("made_by"), json!("personal access token 3 \"laptop\" of user 1 \"user1\""));
    assert_eq!((to("created_by"), to("rests_on")), (json!("user 1 \"user1\""), json!("token 9")));
}

#[test]
fn a_change_of_very_many_records_has_some_events_and_the_number_of_the_others() {
    let writes: Vec<Write> = (1..=MAX_EVENTS as u64 + 5).map(|id| Write::Put(Record::User(user(id)))).collect();
    let events = of(&Directory::default(), &writes);
    assert_eq!((events.len(), events[MAX_EVENTS - 1].left_out), (MAX_EVENTS, 5));
}

#[test]
fn a_group_that_goes_with_very_many_tokens_has_an_event_of_its_own() {
    let group = serde_json::from_value(json!({
        "id": 7, "name": "team", "path": "team", "description": "", "parent": null, "visibility": "private",
        "proxy_enabled": null, "created_at": Timestamp::UNIX_EPOCH,
    }));
    let many = |id: u64| Token { id: TokenId(id), ..token(3) };
    let tokens = (1..=MAX_EVENTS as u64 + 5).map(|id| Record::Token(many(id)));
    let before = Directory::from_records(tokens.chain([Record::Group(group.unwrap())]));
    let tokens = (1..=MAX_EVENTS as u64 + 5).map(|id| Write::Remove(RecordKey::Token(TokenId(id))));
    let writes: Vec<Write> = tokens.chain([Write::Remove(RecordKey::Group(GroupId(7)))]).collect();
    let events = of(&before, &writes);
    assert_eq!((events.len(), events[0].name.as_str()), (MAX_EVENTS, "group_destroyed"));
    assert_eq!(events.iter().map(|event| event.left_out).sum::<usize>(), 6);
}

#[test]
fn texts_that_a_caller_chose_are_cut_and_shown_as_wanted() {
    let before = Directory::default();
    let long = User { name: "x".repeat(1000), ..user(1) };
    let event = of(&before, &[Write::Put(Record::User(long))]).remove(0);
    let event = event.with_texts(|text| text.replace("user1", "hidden"));
    assert_eq!(event.target.name, "hidden");
    let name = event.changes.iter().find(|change| change.field == "name").unwrap();
    assert_eq!(name.to.as_ref().unwrap().as_str().unwrap().len(), 303);
}
