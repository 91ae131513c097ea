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
pub(super) struct Sums(Mutex<Pending>);

#[derive(Debug, Default)]
struct Pending {
    events: HashMap<Key, Event>,
    /// Number of sums of each source.
    of_source: HashMap<Source, usize>,
    /// Number of those without a known credential.
    unknown: usize,
}

/// The client whose occurrences these are: by its credential, or else by its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    Credential(CredentialId),
    Address(IpAddr),
}

/// Time over which occurrences are summed up.
const WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// Maximum number of sums, which take up to 2 kB each. All further occurrences of one name and reason share one.
const MAX_SUMS: usize = 1000;

/// Maximum number of sums without a known credential, so that nobody hides those that have one.
const MAX_UNKNOWN_SUMS: usize = 500;

/// Maximum number of sums of one source. All its further occurrences of one name and reason share one.
const MAX_SUMS_PER_SOURCE: usize = 50;

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

    /// Returns the occurrence without its object, for the sum of those of one source beyond its maximum.
    fn without_object(self) -> Self {
        let target = Target { kind: "Other".into(), id: None, name: "many objects".to_owned() };
        Self { entity: Entity::Service, target, ..self }
    }

    /// Returns the occurrence without its principal and object, for the sum of those beyond the maximum.
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
        let mut pending = self.lock();
        let occurrence = pending.admitted(occurrence);
        let key = occurrence.key();
        if !pending.events.contains_key(&key) {
            pending.count(key.source());
        }
        let event = pending.events.entry(key).or_insert_with(|| occurrence.event(now));
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
        let mut pending = self.lock();
        let taken: Vec<(Key, Event)> = pending.events.extract_if(|_, event| has_ended(event)).collect();
        (pending.of_source, pending.unknown) = Default::default();
        let left: Vec<Source> = pending.events.keys().map(Key::source).collect();
        left.into_iter().for_each(|source| pending.count(source));
        drop(pending);
        let mut ended: Vec<Event> = taken.into_iter().map(|(_, event)| event).collect();
        ended.sort_by_key(|event| event.at);
        ended
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// Returns the occurrence in the form in which there is space for it.
    fn admitted(&self, occurrence: Occurrence) -> Occurrence {
        let key = occurrence.key();
        if self.events.contains_key(&key) {
            return occurrence;
        }
        let of_source = self.of_source.get(&key.source()).copied().unwrap_or_default();
        let occurrence = if of_source >= MAX_SUMS_PER_SOURCE { occurrence.without_object() } else { occurrence };
        if self.has_space(&occurrence.key()) { occurrence } else { occurrence.unnamed() }
    }

    fn has_space(&self, key: &Key) -> bool {
        let has_share = || !key.source().is_unknown() || self.unknown < MAX_UNKNOWN_SUMS;
        self.events.contains_key(key) || (self.events.len() < MAX_SUMS && has_share())
    }

    fn count(&mut self, source: Source) {
        *self.of_source.entry(source).or_default() += 1;
        self.unknown += usize::from(source.is_unknown());
    }
}

impl Source {
    fn is_unknown(self) -> bool {
        matches!(self, Self::Address(_))
    }
}

impl Key {
    fn source(&self) -> Source {
        self.credential.map_or(Source::Address(self.address), Source::Credential)
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
        assert!(ended.len() <= MAX_UNKNOWN_SUMS + 1, "{}", ended.len());
        assert_eq!(ended.iter().map(|event| event.sum.unwrap().count).sum::<u64>(), 3_000);
        assert!(ended.iter().all(|event| event.target.name.len() < 400));
    }

    #[test]
    fn a_client_without_a_credential_hides_neither_others_nor_known_ones() {
        let sums = Sums::default();
        let of_group = |address, id| Occurrence {
            entity: Entity::Group { id: GroupId(id), path: format!("group{id}") },
            ..refusal(address, "no_member")
        };
        for id in 0..2_000 {
            sums.note(of_group(1, id), at(0));
        }
        for address in 10..3_000 {
            sums.note(of_group(address, 1), at(0));
        }
        let known = Occurrence { credential: Some(CredentialId::from_random([7; 16])), ..of_group(2, 3) };
        sums.note(known, at(1));
        sums.note(of_group(10, 1), at(2));
        let ended = sums.take(at(3), true);
        let of = |address| {
            let address: IpAddr = Ipv4Addr::from_bits(address).into();
            ended
                .iter()
                .filter(|event| event.author.address == Some(address))
                .map(|event| event.sum.unwrap().count)
                .collect::<Vec<_>>()
        };
        assert_eq!((of(1).len(), of(1).iter().sum::<u64>()), (MAX_SUMS_PER_SOURCE + 1, 2_000));
        assert_eq!((of(2), of(10)), (vec![1], vec![2]));
        assert_eq!(ended.iter().map(|event| event.sum.unwrap().count).sum::<u64>(), 4_992);
    }
}
