//! The events that a reader wants.

use jiff::Timestamp;

use super::json::author_id;
use super::names::EventKind;
use super::{Entity, Event};
use crate::domain::id::{EventId, GroupId, UserId};

/// The events that a reader wants. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// At this time or later.
    pub after: Option<Timestamp>,
    /// At this time or earlier.
    pub before: Option<Timestamp>,
    /// Of this entity.
    pub entity: Option<EntityFilter>,
    /// By this author.
    pub author: Option<AuthorFilter>,
    /// With this name.
    pub name: Option<String>,
    /// Of this kind.
    pub kind: Option<EventKind>,
}

/// The entities whose events a reader wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntityFilter {
    /// The whole service.
    Service,
    /// This group, or every group.
    Group(Option<GroupId>),
    /// This user, or every user.
    User(Option<UserId>),
}

/// The author whose events a reader wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorFilter {
    /// The author with this number, as events have it ([`author_id`]).
    Id(i64),
    /// The principal with this user name; the case of letters is ignored.
    Name(String),
}

/// The part of the events that a reader wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventQuery {
    /// The events that are wanted.
    pub filter: EventFilter,
    /// True for the oldest first.
    pub ascending: bool,
    /// The event after which the part begins, in its order; `None`: the part begins with the first event.
    pub from: Option<EventId>,
    /// Number of events that are skipped.
    pub skip: usize,
    /// Maximum number of events.
    pub limit: usize,
    /// True if all events are to be counted that are wanted.
    pub counted: bool,
}

/// A part of the events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventPart {
    /// The events, each with its number.
    pub events: Vec<(EventId, Event)>,
    /// Number of all that are wanted, if they were to be counted.
    pub total: usize,
    /// True if others follow.
    pub more: bool,
}

/// Time for which the clock may have been set back, in microseconds: numbers of events are compared with times.
const CLOCK_TOLERANCE: u64 = 24 * 3600 * 1_000_000;

impl EventQuery {
    /// Returns the first and the last number that the part can have, of events up to the number `last`.
    pub fn numbers(&self, last: EventId) -> (u64, u64) {
        // No event was written before the time that it has.
        let after = self.filter.after.and_then(|after| u64::try_from(after.as_microsecond()).ok());
        let first = after.unwrap_or_default().saturating_sub(CLOCK_TOLERANCE);
        match (self.from, self.ascending) {
            (None, _) => (first, last.0),
            (Some(from), true) => (first.max(from.0.saturating_add(1)), last.0),
            (Some(from), false) => (first, last.0.min(from.0.saturating_sub(1))),
        }
    }
}

impl EventPart {
    /// Adds the next event, in the order of the query, if it belongs to the part. Returns true as long as further
    /// events matter.
    pub fn add(&mut self, id: EventId, event: Event, query: &EventQuery) -> bool {
        if !query.filter.fits(&event) {
            return true;
        }
        self.total += 1;
        if self.total > query.skip && self.events.len() < query.limit {
            self.events.push((id, event));
        } else if self.total > query.skip {
            self.more = true;
            return query.counted;
        }
        true
    }
}

impl EventFilter {
    /// Returns true if an event is wanted.
    pub fn fits(&self, event: &Event) -> bool {
        self.after.is_none_or(|after| event.at >= after)
            && self.before.is_none_or(|before| event.at <= before)
            && self.name.as_ref().is_none_or(|name| *name == event.name)
            && self.kind.is_none_or(|kind| kind.fits(event))
            && self.entity.is_none_or(|entity| entity.fits(&event.entity))
            && self.author.as_ref().is_none_or(|author| author.fits(event))
    }
}

impl EntityFilter {
    fn fits(self, entity: &Entity) -> bool {
        match (self, entity) {
            (Self::Service, Entity::Service) => true,
            (Self::Group(wanted), Entity::Group { id, .. }) => wanted.is_none_or(|wanted| wanted == *id),
            (Self::User(wanted), Entity::User { id, .. }) => wanted.is_none_or(|wanted| wanted == *id),
            (Self::Service | Self::Group(_) | Self::User(_), _) => false,
        }
    }
}

impl AuthorFilter {
    fn fits(&self, event: &Event) -> bool {
        match self {
            Self::Id(id) => author_id(event.author.who) == *id,
            Self::Name(name) => event.author.name.eq_ignore_ascii_case(name),
        }
    }
}
