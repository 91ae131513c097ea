//! Logins during which something changes.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use actix::Arbiter;
use jiff::Timestamp;

use super::issuer::Checking;
use super::*;
use crate::actors::policy_evaluator::Edited;
use crate::actors::policy_evaluator::PolicyEvaluatorHandle;
use crate::auth::jwt::{KeySet, Signer};
use crate::auth::password;
use crate::domain::audit::changes::ChangeOrigin;
use crate::domain::audit::{Author, Who};
use crate::domain::directory::{Directory, Record, Write};
use crate::domain::id::{CredentialId, UserId};
use crate::domain::policy::PublicGroups;
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
        let checking = async {
            while tokens.actor.send(Checking).await.unwrap() == 0 {
                actix_rt::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), checking).await.unwrap();
        let change = vec![Write::Put(Record::User(changed))];
        let origin = ChangeOrigin { author: Author::local(Who::Service), message: "user changed" };
        policy.change(|_| Ok::<_, Infallible>(Edited { writes: change, origin, value: () })).await.unwrap();
        drop(hashing);
        assert!(matches!(issuing.await.unwrap(), Err(IssueError::Refused(_))));
    }
}

#[actix_rt::test]
async fn after_too_many_failures_a_remembered_password_counts_only_where_it_was_accepted_before() {
    let password = Password {
        credential: CredentialId::from_random([1; 16]),
        hash: password::hash("the password").unwrap(),
        set_at: None,
    };
    let alice = User::new(UserId(1), "alice".parse().unwrap(), "Alice", Timestamp::UNIX_EPOCH);
    let alice = Record::User(User { password: Some(password), ..alice });
    let data = tempfile::tempdir().unwrap();
    let policy = PolicyEvaluatorHandle::over(&Directory::from_records([alice]), data.path()).unwrap();
    let options = PasswordOptions {
        password_threads: NonZeroUsize::MIN,
        password_queue: 100,
        password_queue_per_address: NonZeroUsize::MAX,
        password_remembered: Duration::from_secs(300),
        max_failed_logins: NonZeroU32::new(3).unwrap(),
        max_failed_logins_per_address: NonZeroU32::MAX,
        login_window: Duration::from_secs(300),
    };
    let signer = Signer::new(&KeySet::generate(), "dependency_proxy", 300).unwrap();
    let tokens = TokenIssuerHandle::start((options, None), policy, signer, PublicGroups::Members, &Arbiter::current());
    let login = async |address: u8, password: &str| {
        tokens.identify_by_password("alice", password.into(), Ipv4Addr::new(10, 0, 0, address).into()).await
    };
    assert!(login(1, "the password").await.is_ok());
    for address in [1, 2] {
        for guess in ["one", "two", "three"] {
            assert!(matches!(login(address, guess).await, Err(PasswordError::Wrong)), "{address}");
        }
        assert!(matches!(login(address, "four").await, Err(PasswordError::TooMany(_))), "{address}");
    }
    assert!(matches!(login(2, "the password").await, Err(PasswordError::TooMany(_))), "a guess is not confirmed");
    assert!(login(1, "the password").await.is_ok(), "the owner is not locked out at an address of hers");
    assert!(login(3, "the password").await.is_ok(), "nor where nobody failed");
}
