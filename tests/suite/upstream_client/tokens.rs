//! Challenges, tokens, and the servers that receive credentials.

use std::time::Duration;

use dependency_proxy::upstream::{ConnectionFailure, RealmError, UpstreamError};
use fake_registry::{Authorization, Kind};
use futures::future::join_all;

use super::*;

#[tokio::test]
async fn one_challenge_one_token_then_only_the_question() {
    let setup = Setup::new(10);
    let client = setup.client();
    for _ in 0..3 {
        let head = confirmed(client.head_manifest(&anonymous(), &latest()).await);
        assert_eq!(head.digest.unwrap().to_string(), setup.image.digest());
        assert_eq!(head.media_type.as_deref(), Some(setup.image.media_type()));
        assert_eq!(head.length, Some(setup.image.bytes().len() as u64));
    }
    let content = client.manifest(&anonymous(), &latest()).await.unwrap();
    assert_eq!(bytes(content).await.unwrap(), setup.image.bytes().as_ref());
    let requests = setup.hub.requests();
    assert_eq!((requests.token_requests(), requests.refusals(), requests.total()), (1, 1, 6));
    assert_eq!(requests.manifest_heads(REPOSITORY, "latest"), 3);
    assert!(requests.iter().all(|request| request.header("accept-encoding") == Some("identity")));
    let agent = concat!("dependency-proxy/", env!("CARGO_PKG_VERSION"));
    assert!(requests.iter().all(|request| request.header("user-agent") == Some(agent)));
}

#[tokio::test]
async fn fifty_at_once_need_one_token() {
    let setup = Setup::new(10);
    let client = setup.client();
    setup.hub.on(Kind::Token).delay(Duration::from_millis(100));
    let (origin, reference) = (anonymous(), latest());
    let heads = join_all((0..50).map(|_| client.head_manifest(&origin, &reference))).await;
    assert!(heads.iter().all(Result::is_ok));
    assert_eq!(setup.hub.requests().token_requests(), 1);
}

#[tokio::test]
async fn an_account_opens_its_private_repository_and_tokens_are_not_mixed() {
    let setup = Setup::new(10);
    setup.hub.add_account("robot", "hunter2", &[REPOSITORY]);
    let client = setup.client();
    assert!(client.head_manifest(&robot(), &latest()).await.is_ok());
    assert_eq!(error(client.manifest(&anonymous(), &latest()).await), DENIED);
    assert!(client.head_manifest(&robot(), &latest()).await.is_ok());
    let basic = Authorization::Basic { username: "robot".into(), password: "hunter2".into() };
    let requests = setup.hub.requests();
    let shown: Vec<_> = requests.iter().filter(|request| request.authorization == Some(basic.clone())).collect();
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].listener, Listener::Realm);
    assert_eq!(requests.token_requests(), 2);
}

#[tokio::test]
async fn a_token_that_ended_is_replaced_once() {
    let setup = Setup::new(10);
    let client = setup.client();
    client.head_manifest(&anonymous(), &latest()).await.unwrap();
    setup.hub.expire_tokens();
    client.head_manifest(&anonymous(), &latest()).await.unwrap();
    assert_eq!(setup.hub.requests().token_requests(), 2);
    assert_eq!(setup.hub.requests().refusals(), 2);
}

#[tokio::test]
async fn a_token_that_is_refused_at_once_is_not_tried_again() {
    let setup = Setup::new(10);
    let client = setup.client();
    setup.hub.token_lifetime(Duration::ZERO);
    assert_eq!(error(client.manifest(&anonymous(), &latest()).await), DENIED);
    assert_eq!(setup.hub.requests().token_requests(), 1);
    assert_eq!(setup.hub.requests().total(), 3);
}

#[tokio::test]
async fn wrong_credentials_are_the_realms_refusal() {
    let setup = Setup::new(10);
    setup.hub.add_account("robot", "another", &[REPOSITORY]);
    let message = Some("incorrect username or password".to_owned());
    let refused = UpstreamError::TokenRealm(RealmError::Refused { status: 401, message });
    assert_eq!(error(setup.client().manifest(&robot(), &latest()).await), refused);
    let stranger = origin(Account::Username("stranger".into()));
    assert_eq!(error(setup.client().manifest(&stranger, &latest()).await), UpstreamError::NotConfigured);
}

#[tokio::test]
async fn a_realm_at_another_site_gets_no_credentials() {
    let setup = Setup::new(10);
    setup.hub.add_account("robot", "hunter2", &[]);
    let elsewhere = setup.hub.host(Listener::Realm).replace("127.0.0.1", "localhost");
    setup.hub.realm_at(&format!("http://{elsewhere}/token"));
    let options = UpstreamOptions { auth_hosts: Vec::new(), redirect_hosts: hosts(&[&elsewhere]), ..setup.options() };
    let client = client(options);
    let untrusted = UpstreamError::TokenRealm(RealmError::Untrusted { host: "localhost".into() });
    assert_eq!(error(client.manifest(&robot(), &latest()).await), untrusted);
    assert_eq!(setup.hub.requests().at(Listener::Realm), 0);
    assert!(client.manifest(&anonymous(), &latest()).await.is_ok());
    assert!(
        setup.hub.requests().iter().filter(|it| it.listener == Listener::Realm).all(|it| it.authorization.is_none())
    );
}

#[tokio::test]
async fn what_a_broken_realm_says_is_told_apart() {
    let setup = Setup::new(10);
    let ask = async || error(setup.client().manifest(&anonymous(), &latest()).await);
    setup.hub.on(Kind::Token).times(1).status(503);
    assert!(matches!(ask().await, UpstreamError::TokenRealm(RealmError::Failed(said)) if said.status == 503));
    setup.hub.on(Kind::Token).times(1).html();
    setup.hub.on(Kind::Token).times(1).json(serde_json::json!({"expires_in": 300}));
    setup.hub.on(Kind::Token).times(1).json(serde_json::json!({"token": "a\nb"}));
    setup.hub.on(Kind::Token).times(1).endless_body();
    for _ in 0..4 {
        assert!(matches!(ask().await, UpstreamError::TokenRealm(RealmError::InvalidResponse { .. })));
    }
    setup.hub.on(Kind::Token).times(1).status(403);
    assert_eq!(ask().await, UpstreamError::TokenRealm(RealmError::Denied { status: 403 }));
    setup.hub.on(Kind::Token).times(1).hang();
    let timed_out = ask().await;
    let UpstreamError::TokenRealm(RealmError::Unreachable { failure, .. }) = timed_out else { panic!("{timed_out}") };
    assert_eq!(failure, ConnectionFailure::TimedOut);
    setup.hub.down(Listener::Realm);
    let down = ask().await;
    assert!(matches!(down, UpstreamError::TokenRealm(RealmError::Unreachable { .. })) && down.is_retryable());
    setup.hub.up(Listener::Realm);
    assert!(setup.client().manifest(&anonymous(), &latest()).await.is_ok());
}
