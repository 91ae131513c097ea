//! Admission limits of the console: the number of pages that are made at a time, of which one person gets no more than
//! a share. Requests that may wait for passwords to be hashed or for a registry have limits of their own, so that they
//! do not prevent others from seeing a page.

use std::net::IpAddr;

use actix_web::HttpRequest;

use super::visitor::secrets_of;
use crate::actors::admission::{SharedLimit, SharedPermit};
use crate::auth::login_limit::network_of;
use crate::domain::id::CredentialId;
use crate::http::api::ApiState;

/// The limits of all kinds of requests. Cheap to clone; clones share their permits.
#[derive(Clone)]
pub(super) struct Limits {
    pages: SharedLimit<Person>,
    files: SharedLimit<Person>,
    changes: SharedLimit<Person>,
    logins: SharedLimit<Person>,
}

/// A request that is being worked on; released when it is dropped.
pub(super) type Admitted = SharedPermit<Person>;

/// A person, as far as known before the request is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Person {
    /// The user with this password, in any session.
    SignedIn(CredentialId),
    /// Whoever is at this address.
    Stranger(IpAddr),
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
        let presumed = |secret: String| state.sessions.presumed_credential(&secret);
        let session = secrets_of(request, state).into_iter().find_map(presumed);
        session.map_or_else(|| Self::Stranger(network_of(state.public_url.client(request))), Self::SignedIn)
    }
}
