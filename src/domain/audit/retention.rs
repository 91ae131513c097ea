//! The events that are kept: how long, and whose oldest ones go first where there are too many.
//!
//! Space is shared by the holders of events, so that nobody can remove the events of others by making many of their
//! own: the service, all users and all groups are parts, each user is one, and each group at the top with those below
//! it; within these, each author is a part, and within that each group. Where there is no space, the largest part loses
//! its oldest event; but where none has more than a sixteenth, the oldest event of all goes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;

use super::{Entity, Event, Who};
use crate::domain::id::EventId;

/// The events that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRetention {
    /// Time before which events are removed; `None`: none is removed for its age.
    pub before: Option<Timestamp>,
    /// Maximum size of the events of changes, in bytes.
    pub max_change_bytes: u64,
    /// Maximum size of the sums, in bytes.
    pub max_sum_bytes: u64,
}

/// Numbers of events that were removed in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrunedEvents {
    /// Number of those that were too old.
    pub old: usize,
    /// Number of events of changes for which there was no space.
    pub surplus_changes: usize,
    /// Number of sums for which there was no space.
    pub surplus_sums: usize,
}

/// The holder of an event: parts separated by slashes, the widest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder(String);

/// An event, as far as it matters for the space that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldEvent {
    /// The number of the event.
    pub id: EventId,
    /// Its holder.
    pub holder: Holder,
    /// The space that it takes, in bytes.
    pub bytes: u64,
}

/// Divisor for the share of all events, in bytes, up to which a part is small. Where all parts are small, the oldest
/// event of all is removed.
const SMALL_PARTS: u64 = 16;

impl Holder {
    /// Returns the holder of an event of a change: the group at the top, the user or the service to which it belongs,
    /// and its author. The rest of the path of a group comes after its author, because owners can change it.
    pub fn of_change(event: &Event) -> Self {
        let author = match event.author.who {
            Who::User(id) => id.to_string(),
            Who::DeployToken => "deploy_tokens".to_owned(),
            Who::Nobody => "nobody".to_owned(),
            Who::Service | Who::Operator => "service".to_owned(),
        };
        Self(match &event.entity {
            Entity::Service => format!("service/{author}"),
            Entity::User { id, .. } => format!("users/{id}/{author}"),
            Entity::Group { path, .. } => {
                let top = path.split('/').next().unwrap_or_default();
                format!("groups/{top}/{author}/{path}")
            }
        })
    }

    /// Returns the holder of an event that cannot be read.
    pub fn unknown() -> Self {
        Self(String::new())
    }

    /// Returns the holder of a sum: the address of the client.
    pub fn of_sum(event: &Event) -> Self {
        Self(event.author.address.map_or_else(String::new, |address| address.to_string()))
    }
}

/// Returns the events to remove, so that at most `max_bytes` remain. `events` are in the order of their numbers.
pub fn surplus(events: Vec<HeldEvent>, max_bytes: u64) -> Vec<HeldEvent> {
    let mut all = Part::default();
    for event in events {
        let holder = event.holder.0.clone();
        all.add(event, &mut holder.split('/'));
    }
    all.index();
    let mut removed = Vec::new();
    while all.bytes > max_bytes
        && let Some(event) = all.remove_one()
    {
        removed.push(event);
    }
    removed.sort_by_key(|event| event.id);
    removed
}

/// The events of a holder and of those within it.
#[derive(Default)]
struct Part {
    bytes: u64,
    /// The events of the holder alone.
    own: VecDeque<HeldEvent>,
    own_bytes: u64,
    within: BTreeMap<String, Part>,
    /// The parts of this one that have events, by size, then by the age of their oldest event. `None` names the events
    /// of the holder alone.
    by_size: BTreeSet<(u64, Reverse<EventId>, Option<String>)>,
    /// The same parts by the age of their oldest event.
    by_age: BTreeSet<(EventId, Option<String>)>,
}

impl Part {
    fn add<'a>(&mut self, event: HeldEvent, holder: &mut impl Iterator<Item = &'a str>) {
        self.bytes += event.bytes;
        match holder.next() {
            Some(name) => self.within.entry(name.to_owned()).or_default().add(event, holder),
            None => {
                self.own_bytes += event.bytes;
                self.own.push_back(event);
            }
        }
    }

    /// Enters all parts into the indexes, once all events are there.
    fn index(&mut self) {
        self.within.values_mut().for_each(Self::index);
        let names: Vec<_> = self.within.keys().cloned().map(Some).chain([None]).collect();
        names.into_iter().for_each(|name| self.enter(name));
    }

    /// Removes the oldest event of the largest part, or of all where no part is large.
    fn remove_one(&mut self) -> Option<HeldEvent> {
        let (size, first, name) = self.by_size.pop_last()?;
        let chosen = if size > self.bytes / SMALL_PARTS {
            self.by_age.remove(&(first.0, name.clone()));
            name
        } else {
            self.by_size.insert((size, first, name));
            let (first, name) = self.by_age.pop_first()?;
            self.by_size.remove(&(self.size(name.as_deref()), Reverse(first), name.clone()));
            name
        };
        let removed = match &chosen {
            Some(name) => self.within.get_mut(name)?.remove_one()?,
            None => self.own.pop_front()?,
        };
        self.bytes -= removed.bytes;
        if chosen.is_none() {
            self.own_bytes -= removed.bytes;
        }
        self.enter(chosen);
        Some(removed)
    }

    fn enter(&mut self, name: Option<String>) {
        let first = match &name {
            Some(name) => self.within.get(name).and_then(|part| part.by_age.first()).map(|(first, _)| *first),
            None => self.own.front().map(|event| event.id),
        };
        if let Some(first) = first {
            self.by_size.insert((self.size(name.as_deref()), Reverse(first), name.clone()));
            self.by_age.insert((first, name));
        }
    }

    /// Returns the size of a part of this one.
    fn size(&self, name: Option<&str>) -> u64 {
        match name {
            Some(name) => self.within.get(name).map_or(0, |part| part.bytes),
            None => self.own_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::audit::{Author, Target};
    use crate::domain::id::{GroupId, UserId};

    /// Returns events of 10 bytes, each of one of these holders, in this order.
    fn events(holders: &[&str]) -> Vec<HeldEvent> {
        let event = |(number, holder): (u64, &&str)| HeldEvent {
            id: EventId(number),
            holder: Holder((*holder).to_owned()),
            bytes: 10,
        };
        (0..).zip(holders).map(event).collect()
    }

    fn removed(holders: &[&str], max_bytes: u64) -> Vec<u64> {
        surplus(events(holders), max_bytes).iter().map(|event| event.id.0).collect()
    }

    #[test]
    fn the_oldest_events_of_the_holder_of_most_go() {
        let holders = ["users/1", "service", "groups/a", "groups/b", "groups/b", "groups/b", "groups/b"];
        assert_eq!(removed(&holders, 70), [0; 0]);
        assert_eq!(removed(&holders, 50), [3, 4]);
    }

    #[test]
    fn of_many_holders_with_few_events_the_oldest_event_goes() {
        let group = |number: usize| format!("groups/{}", number % 20);
        let holders: Vec<String> = (0..30).map(group).collect();
        let holders: Vec<&str> = holders.iter().map(String::as_str).collect();
        assert_eq!(removed(&holders, 270), [0, 1, 2], "though the first ten groups have two events");
    }

    #[test]
    fn an_owner_who_renames_groups_removes_no_event_of_another() {
        let event = |number: u64, path: String, user| {
            let author = Author { name: String::new(), ..Author::local(Who::User(UserId(user))) };
            let target = Target { kind: "Group".into(), id: Some(number), name: String::new() };
            let entity = Entity::Group { id: GroupId(number), path };
            let event = Event::new(Timestamp::UNIX_EPOCH, author, ("group_updated", "group changed"), entity, target);
            HeldEvent { id: EventId(number), holder: Holder::of_change(&event), bytes: 10 }
        };
        let first = event(0, "blue".to_owned(), 1);
        let renamed = (1..500).map(|number| event(number, format!("blue/n{number}/sub"), 2));
        let removed = surplus(std::iter::once(first).chain(renamed).collect(), 1_000);
        assert_eq!((removed.len(), removed[0].id), (400, EventId(1)));
    }

    #[test]
    fn many_groups_below_one_are_one_part() {
        let flood = ["groups/b/1", "groups/b/2", "groups/b/3", "groups/b/4", "groups/b/5", "groups/b/6"];
        let holders = [["users/1", "groups/a", "groups/b"].as_slice(), &flood].concat();
        assert_eq!(removed(&holders, 60), [2, 3, 4]);
        assert_eq!(surplus(events(&holders), 0).len(), holders.len());
    }

    proptest! {
        #[test]
        fn what_remains_fits_and_nobody_within_half_an_equal_part_loses_an_event(
            holders in prop::collection::vec(prop::sample::select(vec!["a", "b", "b/1", "b/1/2", "c/1", "c/2", ""]), 0..60),
            max_bytes in 0_u64..700,
        ) {
            let gone = surplus(events(&holders), max_bytes);
            let size = |events: &[HeldEvent]| events.iter().map(|event| event.bytes).sum::<u64>();
            let left = holders.len() as u64 * 10 - size(&gone);
            prop_assert!(left <= max_bytes && (gone.is_empty() || left + 10 > max_bytes));
            let first = |holder: &str| holder.split('/').next().map(str::to_owned);
            for part in ["a", "b", "c", ""] {
                let part = Some(part.to_owned());
                let held = holders.iter().filter(|holder| first(holder) == part).count() as u64 * 10;
                if held <= max_bytes / 8 {
                    prop_assert!(gone.iter().all(|event| first(&event.holder.0) != part));
                }
            }
        }
    }
}
