//! Tests of audit events in the store: their order, what survives, and what is removed.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::domain::audit::query::EventFilter;
use crate::domain::audit::{Author, Entity, Target, Who};
use crate::domain::directory::{Record, Service, Write};
use crate::domain::id::GroupId;
use crate::store::embedded::export;

fn event(name: &str) -> Event {
    let target = Target { kind: "ApplicationSetting".into(), id: None, name: "settings".to_owned() };
    Event::new(Timestamp::now(), Author::local(Who::Service), (name, ""), Entity::Service, target)
}

fn change(last_user: u64) -> Write {
    Write::Put(Record::Service(Service { last_user, ..Service::default() }))
}

fn query() -> EventQuery {
    let filter = EventFilter::default();
    EventQuery { filter, ascending: true, from: None, skip: 0, limit: 100, counted: false }
}

fn names(store: &EmbeddedIdentities, query: &EventQuery) -> Vec<String> {
    store.events(query).unwrap().events.into_iter().map(|(_, event)| event.name).collect()
}

/// Returns the sizes of the events of changes and of sums.
fn sizes_of(store: &EmbeddedIdentities) -> (u64, u64) {
    let state = store.events.writing();
    (state.change_bytes, state.sum_bytes)
}

/// Returns a store with the events `a` and `c` of changes, and the sum `b`.
fn store(data: &std::path::Path) -> EmbeddedIdentities {
    let store = EmbeddedIdentities::open(data).unwrap();
    store.commit(&[change(1)], &[event("a")]).unwrap();
    store.note_events(&[event("b")]).unwrap();
    store.commit(&[], &[event("c")]).unwrap();
    store
}

#[test]
fn events_of_both_kinds_are_read_in_their_order_part_by_part() {
    let data = tempfile::tempdir().unwrap();
    let store = store(data.path());
    assert_eq!(names(&store, &query()), ["a", "b", "c"]);
    assert_eq!(names(&store, &EventQuery { ascending: false, ..query() }), ["c", "b", "a"]);
    let first = store.events(&EventQuery { limit: 1, ascending: false, counted: true, ..query() }).unwrap();
    assert_eq!((first.total, first.more), (3, true));
    let from = Some(first.events[0].0);
    assert_eq!(names(&store, &EventQuery { from, ascending: false, ..query() }), ["b", "a"]);
    assert_eq!(names(&store, &EventQuery { from, ..query() }), Vec::<String>::new());
    assert_eq!(names(&store, &EventQuery { skip: 2, ..query() }), ["c"]);
    assert_eq!(store.event(first.events[0].0).unwrap().unwrap().name, "c");
    let late = EventFilter { after: Some(Timestamp::now() + SignedDuration::from_hours(1)), ..EventFilter::default() };
    assert_eq!(names(&store, &EventQuery { filter: late, ..query() }), Vec::<String>::new());
}

#[test]
fn events_of_changes_are_in_the_journal_and_the_export_and_a_lost_database_gets_them_again() {
    let data = tempfile::tempdir().unwrap();
    let store = store(data.path());
    store.write_export().unwrap();
    drop(store);
    for file in ["identity.journal", "identity.jsonl"] {
        let backup = export::read(&data.path().join(file)).unwrap();
        assert_eq!(backup.directory.service().last_user, 1);
        let target = tempfile::tempdir().unwrap();
        let identities = (&backup.directory, &backup.events);
        EmbeddedIdentities::restore(target.path(), identities, backup.number, || Ok(())).unwrap();
        let restored = EmbeddedIdentities::open(target.path()).unwrap();
        assert_eq!(names(&restored, &query()), ["a", "c"], "{file}");
    }
    let store = EmbeddedIdentities::open(data.path()).unwrap();
    assert_eq!(names(&store, &query()), ["a", "b", "c"]);
    store.commit(&[], &[event("d")]).unwrap();
    drop(store);
    std::fs::remove_dir_all(data.path().join("identity")).unwrap();
    let store = EmbeddedIdentities::open(data.path()).unwrap();
    assert_eq!(names(&store, &query()), ["a", "c", "d"], "sums are only in the database");
    assert_eq!(store.load().unwrap().service().last_user, 1);
}

#[test]
fn old_events_go_first_for_their_age_and_for_the_size_of_all() {
    let data = tempfile::tempdir().unwrap();
    let store = EmbeddedIdentities::open(data.path()).unwrap();
    for round in 0..40 {
        let events: Vec<Event> = (0..20).map(|number| event(&format!("change-{round}-{number}"))).collect();
        store.commit(&[change(round)], &events).unwrap();
        store.note_events(&events).unwrap();
    }
    let all = EventQuery { limit: 10_000, ..query() };
    let sizes = || sizes_of(&store);
    let (whole, sums) = sizes();
    let keep = EventRetention { before: None, max_change_bytes: whole, max_sum_bytes: sums };
    assert_eq!(store.prune_events(&keep).unwrap(), PrunedEvents::default());
    assert_eq!(names(&store, &all).len(), 1600);
    let half = EventRetention { max_change_bytes: whole / 4, ..keep };
    let pruned = store.prune_events(&half).unwrap();
    assert!(pruned.surplus_changes > EVENTS_PER_STEP && pruned == PrunedEvents { old: 0, surplus_sums: 0, ..pruned });
    assert_eq!(names(&store, &all).len(), 1600 - pruned.surplus_changes);
    assert!(sizes().0 <= whole / 4 && sizes().0 > whole / 5 && sizes().1 == sums);
    assert!(names(&store, &all).contains(&"change-39-19".to_owned()));
    assert_eq!(store.load().unwrap().service().last_user, 39);
    let kept = sizes();
    drop(store);
    let store = EmbeddedIdentities::open(data.path()).unwrap();
    let sizes = || sizes_of(&store);
    assert_eq!(sizes(), kept, "what is counted is what is stored");
    let none = EventRetention { before: Some(Timestamp::now() + SignedDuration::from_secs(1)), ..keep };
    while store.prune_events(&none).unwrap().old > 0 {}
    assert_eq!((names(&store, &all).len(), sizes()), (0, (0, 0)));
}

#[test]
fn a_group_with_many_events_removes_none_of_others() {
    let data = tempfile::tempdir().unwrap();
    let store = EmbeddedIdentities::open(data.path()).unwrap();
    let of_group = |path: &str, name: &str| {
        let entity = Entity::Group { id: GroupId(1), path: path.to_owned() };
        Event { entity, ..event(name) }
    };
    store.commit(&[], &[event("service"), of_group("quiet", "quiet"), of_group("loud/other", "below")]).unwrap();
    for round in 0..30 {
        let events: Vec<Event> = (0..20).map(|sub| of_group(&format!("loud/sub/{sub}"), &format!("{round}"))).collect();
        store.commit(&[], &events).unwrap();
    }
    let keep = EventRetention { before: None, max_change_bytes: sizes_of(&store).0 / 10, max_sum_bytes: 0 };
    let pruned = store.prune_events(&keep).unwrap();
    let left = names(&store, &EventQuery { limit: 10_000, ..query() });
    assert_eq!(left.len(), 603 - pruned.surplus_changes);
    assert_eq!(left[..3], ["service", "quiet", "below"]);
    assert!(left[3..].iter().all(|round| round.parse::<u32>().unwrap() > 20), "the oldest go: {left:?}");
}
