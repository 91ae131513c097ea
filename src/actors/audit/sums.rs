//! Sums of what happens without a change: refusals, failed logins, and sessions of the console. What is alike within a
//! minute is one event, so that a client that fails in a loop writes one line a minute.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::domain::audit::{Author, Entity, Event, Sum, Target, Who};
use crate::domain::id::{CredentialId, GroupId, UserId};

/// Something that happened without a change.
#[derive(Clone, Debug)]
pub struct Occurrence {
    /// The name of the event.
    pub name: &'static str,
    /// The event in words.
    pub message: &'static str,
    /// The principal, with the address that stands for the client: that of its network, for IPv6.
    pub author: Author,
    /// The credential that was presented, if it is known.
    pub credential: Option<CredentialId>,
    /// The object to which it belongs.
    pub entity: Entity,
    /// The object that it is about.
    pub target: Target,
    /// The reason, by which it is counted, and as a sentence.
    pub failure: Option<(&'static str, String)>,
}

/// Common properties of occurrences that are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    name: &'static str,
    who: Who,
    credential: Option<CredentialId>,
    address: IpAddr,
    reason: &'static str,
    belongs_to: (Option<GroupId>, Option<UserId>),
}

/// The sums that are not written yet.
#[derive(Debug, Default)]
pub(super) struct Sums(Mutex<HashMap<Key, Event>>);

/// Time over which occurrences are summed up.
const WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// Maximum number of sums, which take up to 2 kB each. All further occurrences of one name and reason share one.
const MAX_SUMS: usize = 1000;

impl Occurrence {
    fn key(&self) -> Key {
        let user = if let Entity::User { id, .. } = &self.entity { Some(*id) } else { None };
        Key {
            name: self.name,
            who: self.author.who,
            credential: self.credential,
            address: self.author.address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
            reason: self.failure.as_ref().map_or("", |(reason, _)| reason),
            belongs_to: (self.entity.group(), user),
        }
    }

    /// Returns the occurrence without its principal, for the sum of those beyond the maximum.
    fn unnamed(self) -> Self {
        let target = Target { kind: "Other".into(), id: None, name: "many clients".to_owned() };
        Self { author: Author::local(Who::Nobody), credential: None, entity: Entity::Service, target, ..self }
    }

    fn event(self, at: Timestamp) -> Event {
        let Self { name, message, author, entity, target, failure, .. } = self;
        let event = Event::new(at, author, (name, message), entity, target);
        let failure = failure.map(|(reason, sentence)| format!("{reason}: {sentence}"));
        // Cut here, because texts of callers wait in memory.
        Event { failure, sum: Some(Sum { count: 0, last: at }), ..event }.with_texts(str::to_owned)
    }
}

impl Sums {
    /// Counts an occurrence.
    pub(super) fn note(&self, occurrence: Occurrence, now: Timestamp) {
        let mut sums = self.lock();
        let is_full = sums.len() >= MAX_SUMS && !sums.contains_key(&occurrence.key());
        let occurrence = if is_full { occurrence.unnamed() } else { occurrence };
        let event = sums.entry(occurrence.key()).or_insert_with(|| occurrence.event(now));
        if let Some(sum) = &mut event.sum {
            sum.count += 1;
            sum.last = sum.last.max(now);
        }
    }

    /// Removes and returns the sums that began a minute ago or earlier, or with `all` every sum, in the order of their
    /// times.
    pub(super) fn take(&self, now: Timestamp, all: bool) -> Vec<Event> {
        // The clock may have been set back.
        let has_ended = |event: &Event| all || now.duration_since(event.at).abs() >= WINDOW;
        let mut ended: Vec<Event> =
            self.lock().extract_if(|_, event| has_ended(event)).map(|(_, event)| event).collect();
        ended.sort_by_key(|event| event.at);
        ended
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Event>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn refusal(address: u32, reason: &'static str) -> Occurrence {
        let address = Some(IpAddr::V4(Ipv4Addr::from_bits(address)));
        Occurrence {
            name: "request_refused",
            message: "a request was refused",
            author: Author { address, ..Author::local(Who::Nobody) },
            credential: None,
            entity: Entity::Service,
            target: Target { kind: "Other".into(), id: None, name: "x".repeat(1000) },
            failure: Some((reason, "no".to_owned())),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_is_alike_within_a_minute_is_one_event_and_what_differs_is_not() {
        let sums = Sums::default();
        for second in 0..50 {
            sums.note(refusal(1, "revoked"), at(second));
        }
        sums.note(refusal(1, "blocked"), at(30));
        sums.note(refusal(2, "revoked"), at(40));
        assert_eq!(sums.take(at(59), false), []);
        let ended = sums.take(at(60), false);
        assert_eq!(ended.len(), 1);
        assert_eq!(ended[0].sum, Some(Sum { count: 50, last: at(49) }));
        assert_eq!((ended[0].at, ended[0].failure.as_deref()), (at(0), Some("revoked: no")));
        assert_eq!(sums.take(at(61), true).len(), 2);
        assert_eq!(sums.take(at(1000), true), []);
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_room_and_all_of_it_is_counted() {
        let sums = Sums::default();
        for address in 0..3_000 {
            sums.note(refusal(address + 1, "revoked"), at(0));
        }
        let ended = sums.take(at(0), true);
        assert!(ended.len() <= MAX_SUMS + 1, "{}", ended.len());
        assert_eq!(ended.iter().map(|event| event.sum.unwrap().count).sum::<u64>(), 3_000);
        assert!(ended.iter().all(|event| event.target.name.len() < 400));
    }
}
