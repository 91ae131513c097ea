//! Admission limits of the console: how many requests are made into pages at a time, of which one person gets no more
//! than a share. What may wait for passwords to be hashed or for a registry has limits of its own, so that it keeps
//! nobody from seeing a page.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use actix_web::HttpRequest;

use super::visitor::secrets_of;
use crate::actors::admission::{AdmissionLimit, Permit, refused};
use crate::auth::login_limit::network_of;
use crate::domain::id::CredentialId;
use crate::http::api::ApiState;

/// The limits of all kinds of requests. Cheap to clone; clones share their permits.
#[derive(Clone)]
pub(super) struct Limits {
    pages: SharedLimit,
    files: SharedLimit,
    changes: SharedLimit,
    logins: SharedLimit,
}

/// A request that is being worked on; released when it is dropped.
pub(super) struct Admitted {
    _permit: Permit,
    _share: Share,
}

/// A person, as far as known before the request is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Person {
    /// The user with this password, in any session.
    SignedIn(CredentialId),
    /// Whoever is at this address.
    Stranger(IpAddr),
}

/// A number of permits, of which each person gets at most some.
#[derive(Clone)]
struct SharedLimit {
    all: AdmissionLimit,
    each: usize,
    queue: &'static str,
    held: Arc<Mutex<HashMap<Person, usize>>>,
}

/// The part of a person in a limit.
struct Share {
    person: Person,
    limit: SharedLimit,
}

/// Maximum numbers of pages that are being made, or wait for it: in all, and for one person.
const PAGES: (usize, usize) = (64, 16);

/// Maximum numbers of forms of users that are being carried out, which may wait for a registry or a password.
const CHANGES: (usize, usize) = (16, 4);

/// Maximum numbers of logins, which wait for a password: in all, and for one address.
const LOGINS: (usize, usize) = (16, 4);

impl Limits {
    /// Returns the limits, with no permit in use.
    pub(super) fn new() -> Self {
        let limit = |queue, (all, each)| SharedLimit::new(queue, all, each);
        Self {
            pages: limit("console", PAGES),
            files: limit("console_files", PAGES),
            changes: limit("console_changes", CHANGES),
            logins: limit("console_logins", LOGINS),
        }
    }

    /// Admits a request. Returns `None`, and counts a refusal, if there are too many of its kind, or of its sender.
    pub(super) fn admit(&self, request: &HttpRequest, state: &ApiState) -> Option<Admitted> {
        let person = Person::of(request, state);
        let limit = match (request.method().is_safe(), person) {
            (true, _) if request.path().starts_with("/-/assets/") => &self.files,
            (true, _) => &self.pages,
            (false, Person::SignedIn(_)) => &self.changes,
            (false, Person::Stranger(_)) => &self.logins,
        };
        limit.try_acquire(person)
    }
}

impl Person {
    fn of(request: &HttpRequest, state: &ApiState) -> Self {
        let now = Instant::now();
        let session = secrets_of(request, state).into_iter().find_map(|secret| state.sessions.credential(&secret, now));
        session.map_or_else(|| Self::Stranger(network_of(state.public_url.client(request))), Self::SignedIn)
    }
}

impl SharedLimit {
    fn new(queue: &'static str, all: usize, each: usize) -> Self {
        Self { all: AdmissionLimit::new(queue, all), each, queue, held: Arc::default() }
    }

    fn try_acquire(&self, person: Person) -> Option<Admitted> {
        let share = self.share(person);
        if share.is_none() {
            refused(self.queue);
        }
        Some(Admitted { _share: share?, _permit: self.all.try_acquire()? })
    }

    fn share(&self, person: Person) -> Option<Share> {
        let mut held = self.lock();
        let count = held.entry(person).or_default();
        if *count >= self.each {
            return None;
        }
        *count += 1;
        Some(Share { person, limit: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Person, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.limit.lock();
        if let Some(count) = held.get_mut(&self.person) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.person);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn at(last: u8) -> Person {
        Person::Stranger(Ipv4Addr::new(192, 0, 2, last).into())
    }

    #[test]
    fn one_person_leaves_permits_to_others_and_nothing_is_kept_of_who_has_left() {
        let limit = SharedLimit::new("test", 3, 2);
        let held: Vec<_> = [1, 1, 1, 2, 3].map(|last| limit.try_acquire(at(last))).into_iter().collect();
        assert_eq!(held.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false, true, false]);
        drop(held);
        assert!(limit.lock().is_empty());
        assert!(limit.try_acquire(at(1)).is_some());
    }
}
