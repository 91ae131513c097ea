//! Sessions of the console. Each belongs to the password with which it was started, so that it ends when the user is
//! blocked or deleted or the password changes, which [`ui`](super::ui) decides at each request. They are kept in
//! memory: a restart ends all of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::auth::{form_token, random, sha256};
use crate::domain::digest::Digest;
use crate::domain::id::CredentialId;

/// All sessions. Cheap to clone; clones share them.
#[derive(Clone)]
pub(crate) struct Sessions {
    by_secret: Arc<Mutex<HashMap<Digest, Session>>>,
    times: SessionTimes,
}

/// Times after which sessions end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionTimes {
    /// The time without a request.
    pub(crate) idle: Duration,
    /// The time since the start.
    pub(crate) longest: Duration,
}

/// A session.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Its name in lists, which opens nothing.
    pub(super) id: String,
    /// The password with which it was started.
    pub(super) credential: CredentialId,
    from: StartedFrom,
    /// Proof that a form comes from a page of this session.
    pub(super) form_secret: [u8; form_token::SECRET_BYTES],
    started: Instant,
    used: Instant,
    /// The result of a form, as a sentence for the next page.
    done: Option<String>,
}

/// The client that started a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StartedFrom {
    /// The address.
    pub(super) address: Option<IpAddr>,
    /// The browser, as it names itself.
    pub(super) user_agent: Option<String>,
}

/// A session as its user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListedSession {
    /// Its name.
    pub(super) id: String,
    /// The client that started it.
    pub(super) from: StartedFrom,
    /// Time since the start.
    pub(super) age: Duration,
    /// Time since the last request.
    pub(super) idle: Duration,
}

/// Length of the name of a session, in bytes.
const ID_BYTES: usize = 8;

/// Length of the secret in a cookie, in bytes.
const SECRET_BYTES: usize = 32;

/// Maximum number of sessions: further ones end the one that was not used for the longest time.
const MAX_SESSIONS: usize = 10_000;

/// Maximum number of sessions of one password, in the same way.
const MAX_OF_ONE: usize = 50;

impl Sessions {
    /// Returns no sessions yet, with these times.
    pub(crate) fn new(times: SessionTimes) -> Self {
        Self { by_secret: Arc::default(), times }
    }

    /// Starts a session, and returns its secret for the cookie. Only the digest of the secret is kept.
    pub(super) fn start(&self, credential: CredentialId, from: StartedFrom, now: Instant) -> String {
        let secret = hex::encode(random::bytes::<SECRET_BYTES>());
        let (id, form_secret) = (hex::encode(random::bytes::<ID_BYTES>()), random::bytes());
        let session = Session { id, credential, from, form_secret, started: now, used: now, done: None };
        let mut sessions = self.lock();
        sessions.retain(|_, session| self.is_valid(session, now));
        let of_same = |(_, other): &(&Digest, &Session)| other.credential == credential;
        if sessions.iter().filter(of_same).count() >= MAX_OF_ONE {
            remove_least_used(&mut sessions, |other| other.credential == credential);
        } else if sessions.len() >= MAX_SESSIONS {
            remove_least_used(&mut sessions, |_| true);
        }
        sessions.insert(sha256::digest(secret.as_bytes()), session);
        secret
    }

    /// Returns the session with this secret. If `by_person`, it is used now.
    pub(super) fn find(&self, secret: &str, now: Instant, by_person: bool) -> Option<Session> {
        let mut sessions = self.lock();
        let session = sessions.get_mut(&sha256::digest(secret.as_bytes()))?;
        if !self.is_valid(session, now) {
            return None;
        }
        if by_person {
            session.used = now;
        }
        Some(session.clone())
    }

    /// Returns the password of the session with this secret. That does not count as a use of the session.
    pub(super) fn credential(&self, secret: &str, now: Instant) -> Option<CredentialId> {
        let sessions = self.lock();
        let session = sessions.get(&sha256::digest(secret.as_bytes()))?;
        self.is_valid(session, now).then_some(session.credential)
    }

    /// Keeps a sentence with the result of a form for the next page of the session.
    pub(super) fn note_done(&self, secret: &str, sentence: String) {
        if let Some(session) = self.lock().get_mut(&sha256::digest(secret.as_bytes())) {
            session.done = Some(sentence);
        }
    }

    /// Returns that sentence, once.
    pub(super) fn take_done(&self, secret: &str) -> Option<String> {
        self.lock().get_mut(&sha256::digest(secret.as_bytes()))?.done.take()
    }

    /// Ends the session with this secret.
    pub(super) fn end(&self, secret: &str) {
        self.lock().remove(&sha256::digest(secret.as_bytes()));
    }

    /// Returns the sessions of a password; the one used last comes first.
    pub(super) fn of(&self, credential: CredentialId, now: Instant) -> Vec<ListedSession> {
        let sessions = self.lock();
        let of_it = sessions.values().filter(|one| one.credential == credential && self.is_valid(one, now));
        let mut listed: Vec<ListedSession> = of_it.map(|session| session.listed(now)).collect();
        listed.sort_by(|one, other| (one.idle, &one.id).cmp(&(other.idle, &other.id)));
        listed
    }

    /// Ends this session.
    pub(super) fn end_listed(&self, listed: &ListedSession) {
        self.lock().retain(|_, session| session.id != listed.id);
    }

    /// Ends all sessions of a password.
    pub(in crate::http) fn end_all_of(&self, credential: CredentialId) {
        self.lock().retain(|_, session| session.credential != credential);
    }

    fn is_valid(&self, session: &Session, now: Instant) -> bool {
        now.duration_since(session.used) < self.times.idle && now.duration_since(session.started) < self.times.longest
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Session>> {
        self.by_secret.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn listed(&self, now: Instant) -> ListedSession {
        let (age, idle) = (now.duration_since(self.started), now.duration_since(self.used));
        ListedSession { id: self.id.clone(), from: self.from.clone(), age, idle }
    }
}

fn remove_least_used(sessions: &mut HashMap<Digest, Session>, fits: impl Fn(&Session) -> bool) {
    let least = sessions.iter().filter(|(_, session)| fits(session)).min_by_key(|(_, session)| session.used);
    if let Some(digest) = least.map(|(digest, _)| *digest) {
        sessions.remove(&digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions() -> (Sessions, CredentialId, Instant) {
        let times = SessionTimes { idle: Duration::from_secs(10), longest: Duration::from_secs(25) };
        (Sessions::new(times), random::credential_id(), Instant::now())
    }

    #[test]
    fn a_session_ends_without_requests_and_after_the_longest_time() {
        let (sessions, credential, start) = sessions();
        let at = |seconds| start + Duration::from_secs(seconds);
        let begin = || sessions.start(credential, StartedFrom::default(), start);
        let (idle, used) = (begin(), begin());
        assert_eq!(sessions.find(&used, at(9), true).map(|session| session.credential), Some(credential));
        assert!(sessions.find(&idle, at(10), true).is_none());
        assert!(sessions.find(&used, at(18), true).is_some() && sessions.find(&used, at(24), true).is_some());
        assert!(sessions.find(&used, at(25), true).is_none());
        assert!(sessions.find("", start, true).is_none());
    }

    #[test]
    fn a_request_that_no_person_makes_does_not_keep_a_session() {
        let (sessions, credential, start) = sessions();
        let secret = sessions.start(credential, StartedFrom::default(), start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(sessions.find(&secret, at(9), false).is_some());
        assert!(sessions.credential(&secret, at(9)).is_some());
        assert!(sessions.find(&secret, at(10), false).is_none() && sessions.credential(&secret, at(10)).is_none());
    }

    #[test]
    fn a_session_that_was_ended_and_those_above_the_limit_are_gone() {
        let (sessions, credential, start) = sessions();
        let begin = |seconds| sessions.start(credential, StartedFrom::default(), start + Duration::from_secs(seconds));
        let first = begin(0);
        let rest: Vec<_> = (1..=MAX_OF_ONE).map(|_| begin(1)).collect();
        assert!(sessions.find(&first, start + Duration::from_secs(2), true).is_none());
        sessions.end(&rest[7]);
        let left = rest.iter().filter(|secret| sessions.find(secret, start + Duration::from_secs(2), true).is_some());
        assert_eq!(left.count(), MAX_OF_ONE - 1);
    }

    #[test]
    fn a_user_sees_the_own_sessions_and_ends_one_of_them() {
        let (sessions, credential, start) = sessions();
        let at = |seconds| start + Duration::from_secs(seconds);
        let from = StartedFrom { address: Some([10, 0, 9, 14].into()), user_agent: Some("curl/8".to_owned()) };
        let first = sessions.start(credential, from.clone(), start);
        let second = sessions.start(credential, StartedFrom::default(), at(1));
        sessions.start(random::credential_id(), StartedFrom::default(), at(1));
        sessions.find(&first, at(3), true);
        let listed = sessions.of(credential, at(5));
        assert_eq!(listed.iter().map(|one| one.idle.as_secs()).collect::<Vec<_>>(), [2, 4]);
        assert_eq!((&listed[0].from, listed[0].age.as_secs()), (&from, 5));
        sessions.end_listed(&listed[0]);
        assert!(sessions.find(&first, at(5), true).is_none() && sessions.find(&second, at(5), true).is_some());
        assert!(sessions.of(credential, at(20)).is_empty(), "it has ended without a request");
    }
}
