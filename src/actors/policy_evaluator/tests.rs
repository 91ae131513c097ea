//! Tests of changes that come together, are refused, or find the disk full.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use actix::prelude::*;
use futures::future::join_all;

use super::*;
use crate::domain::audit::{Author, Who};
use crate::domain::directory::{Record, Service};
use crate::store::embedded::identity::EmbeddedIdentities;
use crate::store::identities::IdentityStore;

fn count_up(directory: &Directory) -> Result<Edited<u64>, String> {
    let last_user = directory.service().last_user + 1;
    let service = Service { last_user, ..directory.service().clone() };
    let origin = ChangeOrigin { author: Author::local(Who::Service), message: "counted" };
    Ok(Edited { writes: vec![Write::Put(Record::Service(service))], origin, value: last_user })
}

async fn start(data: &Path) -> (PolicyEvaluatorHandle, IdentityStore) {
    start_over(EmbeddedIdentities::open(data).unwrap()).await
}

async fn start_over(store: EmbeddedIdentities) -> (PolicyEvaluatorHandle, IdentityStore) {
    let store = IdentityStore::embedded(store);
    (PolicyEvaluatorHandle::start(store.clone(), &Arbiter::current(), 1000, None).await.unwrap(), store)
}

async fn stored(store: &IdentityStore) -> u64 {
    store.load().await.unwrap().directory.service().last_user
}

#[actix_rt::test]
async fn changes_that_come_together_all_happen_one_after_the_other() {
    let data = tempfile::tempdir().unwrap();
    let (policy, store) = start(data.path()).await;
    let mut numbers: Vec<u64> =
        join_all((0..200).map(|_| policy.change(count_up))).await.into_iter().map(Result::unwrap).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
    assert_eq!(policy.directory().service().last_user, 200);
    assert_eq!(stored(&store).await, 200, "acknowledged means stored");
}

#[actix_rt::test]
async fn a_refused_change_leaves_nothing_behind() {
    let data = tempfile::tempdir().unwrap();
    let (policy, _) = start(data.path()).await;
    let refused = policy.change(|_| Err::<Edited<()>, _>("no")).await;
    assert_eq!(refused, Err(ChangeError::Refused("no")));
    assert_eq!(policy.change(count_up).await, Ok(1));
}

#[actix_rt::test]
async fn on_a_full_disk_a_change_is_refused_and_nothing_of_it_stays() {
    let data = tempfile::tempdir().unwrap();
    let mut store = EmbeddedIdentities::open(data.path()).unwrap();
    store.fill_up();
    let (policy, store) = start_over(store).await;
    for _ in 0..2 {
        assert_eq!(policy.change(count_up).await, Err(ChangeError::Full));
    }
    assert_eq!(policy.directory().service().last_user, 0);
    assert_eq!(stored(&store).await, 0, "what was refused is not stored either");
}
