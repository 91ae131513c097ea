//! Tests of reservations and of the shares of groups.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use futures::{StreamExt, stream};

use super::*;
use crate::upstream::{Content, ContentHead};

const MIB: u64 = 1 << 20;
const GROUP: GroupId = GroupId(1);
const OTHER: GroupId = GroupId(2);

fn content(length: u64, announced: Option<u64>) -> Content {
    let chunks = (0..length / 1024).map(|_| Ok(Bytes::from_static(&[b'x'; 1024])));
    Content {
        head: ContentHead { length: announced, ..ContentHead::default() },
        stream: stream::iter(chunks).boxed(),
        mirror: None,
    }
}

fn free(budget: &MemoryBudget) -> u64 {
    u64::from(budget.ledger().free()) * 1024
}

fn impatient(bytes: u64) -> MemoryBudget {
    MemoryBudget::with_timeout(bytes, Duration::from_millis(10))
}

#[tokio::test]
async fn what_is_held_is_reserved_until_its_last_copy_is_dropped() {
    let budget = MemoryBudget::new(4 * MIB);
    for announced in [Some(MIB), None] {
        let (bytes, _lease) = budget.collect(GROUP, content(MIB, announced), 2 * MIB).await.unwrap();
        assert_eq!((bytes.len() as u64, free(&budget)), (MIB, 3 * MIB), "{announced:?}");
        let copy = bytes.slice(5..10);
        drop((bytes, _lease));
        assert_eq!(free(&budget), 3 * MIB);
        drop(copy);
        assert_eq!(free(&budget), 4 * MIB);
    }
}

#[tokio::test]
async fn small_content_never_waits() {
    let budget = MemoryBudget::new(MIB);
    let _all = budget.reserve(GROUP, MIB).await.unwrap();
    for announced in [Some(1024), None] {
        let (bytes, lease) = budget.collect(GROUP, content(1024, announced), 16 * MIB).await.unwrap();
        assert!(bytes.len() == 1024 && lease.is_none());
    }
}

#[tokio::test]
async fn who_waits_too_long_is_refused() {
    let budget = impatient(MIB);
    let taken = budget.reserve(GROUP, MIB).await.unwrap();
    let refused = budget.collect(OTHER, content(MIB, Some(MIB)), MIB).await;
    assert_eq!(refused.unwrap_err(), CollectError::NoMemory(NoMemory));
    drop(taken);
    assert!(budget.collect(OTHER, content(MIB, Some(MIB)), MIB).await.is_ok());
}

#[tokio::test]
async fn what_is_too_long_or_longer_than_announced_ends_early_and_gives_everything_back() {
    let budget = MemoryBudget::new(4 * MIB);
    for (announced, limit) in [(Some(3 * MIB), 2 * MIB), (None, 2 * MIB), (Some(MIB), 16 * MIB)] {
        assert!(budget.collect(GROUP, content(3 * MIB, announced), limit).await.is_err());
    }
    assert_eq!(free(&budget), 4 * MIB);
}

#[tokio::test]
async fn what_is_sent_to_a_group_counts_once_against_its_share_and_what_a_cache_keeps_does_not() {
    let budget = impatient(8 * MIB);
    let mut cached = Vec::new();
    for _ in 0..3 {
        let (bytes, lease) = budget.collect(GROUP, content(2 * MIB, None), 2 * MIB).await.unwrap();
        drop(lease);
        cached.push(bytes);
    }
    let sent: Vec<_> = [0, 1, 0, 1].map(|at| budget.try_lease(GROUP, &cached[at]).unwrap()).into();
    assert!(budget.is_leased(&cached[1]) && !budget.is_leased(&cached[2]));
    assert_eq!(budget.try_lease(GROUP, &cached[2]).unwrap_err(), NoMemory);
    assert_eq!(budget.lease(GROUP, &cached[2]).await.unwrap_err(), NoMemory);
    assert!(budget.lease(OTHER, &cached[0]).await.unwrap().is_some());
    drop(sent);
    assert!(budget.lease(GROUP, &cached[2]).await.unwrap().is_some());
    assert!(budget.leases().is_empty());
}

#[tokio::test]
async fn where_memory_is_short_the_cache_gives_up_what_it_keeps() {
    let budget = impatient(2 * MIB);
    let (bytes, lease) = budget.collect(GROUP, content(2 * MIB, None), 2 * MIB).await.unwrap();
    drop(lease);
    let cached = Arc::new(Mutex::new(Some(bytes)));
    budget.relieve_with(move || drop(cached.lock().unwrap().take()));
    assert!(budget.reserve(OTHER, MIB).await.unwrap().is_some());
}
