//! Logins during which something changes.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::convert::Infallible;
use std::net::Ipv4Addr;

use jiff::Timestamp;

use super::issuer::Checking;
use super::*;
use crate::actors::policy_evaluator::PolicyEvaluatorHandle;
use crate::auth::password;
use crate::domain::directory::{Directory, Record, Write};
use crate::domain::id::{CredentialId, UserId};
use crate::domain::user::{Password, User};

#[actix_rt::test]
async fn a_user_who_is_blocked_or_gets_another_password_during_the_check_of_one_is_not_let_in() {
    let password = |byte| Password {
        credential: CredentialId::from_random([byte; 16]),
        hash: password::hash("the password").unwrap(),
        set_at: None,
    };
    let alice = User::new(UserId(1), "alice".parse().unwrap(), "Alice", Timestamp::UNIX_EPOCH);
    let user = User { password: Some(password(1)), ..alice };
    let changed = User { password: Some(password(2)), ..user.clone() };
    for changed in [User { blocked: true, ..user.clone() }, changed] {
        let data = tempfile::tempdir().unwrap();
        let policy =
            PolicyEvaluatorHandle::over(&Directory::from_records([Record::User(user.clone())]), data.path()).unwrap();
        let tokens = TokenIssuerHandle::over(policy.clone()).unwrap();
        let hashing = tokens.hashing.clone().acquire_owned().await.unwrap();
        let credentials = Some(("alice".to_owned(), "the password".into()));
        let issuing = actix_rt::spawn({
            let tokens = tokens.clone();
            async move { tokens.issue(IssueToken { credentials, address: Ipv4Addr::LOCALHOST.into() }).await }
        });
        while tokens.actor.send(Checking).await.unwrap() == 0 {
            actix_rt::task::yield_now().await;
        }
        let change = vec![Write::Put(Record::User(changed))];
        policy.change(|_| Ok::<_, Infallible>((change, ()))).await.unwrap();
        drop(hashing);
        assert!(matches!(issuing.await.unwrap(), Err(IssueError::Refused(_))));
    }
}
