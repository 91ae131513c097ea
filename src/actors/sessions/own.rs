//! Sessions of a service without other replicas. They are kept in memory: a restart ends all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::auth::sha256;
use crate::domain::digest::Digest;
use crate::domain::id::CredentialId;
use crate::domain::session::{
    ListedSession, MAX_SESSIONS, MAX_SESSIONS_OF_ONE, Session, SessionTimes, SessionUse, StartedFrom,
};

/// All sessions. Cheap to clone; clones share them.
#[derive(Clone)]
pub(super) struct OwnSessions {
    by_secret: Arc<Mutex<HashMap<Digest, Kept>>>,
    times: SessionTimes,
}

/// A session in memory.
struct Kept {
    session: Session,
    from: StartedFrom,
    started: Instant,
    used: Instant,
}

impl OwnSessions {
    /// Creates an empty set of sessions, with these times.
    pub(super) fn new(times: SessionTimes) -> Self {
        Self { by_secret: Arc::default(), times }
    }

    /// Starts a session with this name and the secret of its cookie, of which only the digest is kept.
    pub(super) fn start(
        &self,
        (id, secret): (String, &str),
        credential: CredentialId,
        from: StartedFrom,
        now: Instant,
    ) {
        let session = Session { id, credential, done: None };
        let mut sessions = self.lock();
        sessions.retain(|_, kept| self.is_valid(kept, now));
        let is_of_same = |other: &Kept| other.session.credential == credential;
        if sessions.values().filter(|other| is_of_same(other)).count() >= MAX_SESSIONS_OF_ONE {
            remove_least_used(&mut sessions, is_of_same);
        } else if sessions.len() >= MAX_SESSIONS {
            remove_least_used(&mut sessions, |_| true);
        }
        sessions.insert(sha256::digest(secret.as_bytes()), Kept { session, from, started: now, used: now });
    }

    /// Returns the session with this secret.
    pub(super) fn find(&self, secret: &str, by: SessionUse, now: Instant) -> Option<Session> {
        let mut sessions = self.lock();
        let kept = sessions.get_mut(&sha256::digest(secret.as_bytes())).filter(|kept| self.is_valid(kept, now))?;
        if by != SessionUse::Unattended {
            kept.used = now;
        }
        let done = if by == SessionUse::Page { kept.session.done.take() } else { None };
        Some(Session { done, ..kept.session.clone() })
    }

    /// Returns the password of the session with this secret. That does not count as a use of the session.
    pub(super) fn credential(&self, secret: &str, now: Instant) -> Option<CredentialId> {
        let sessions = self.lock();
        let kept = sessions.get(&sha256::digest(secret.as_bytes()))?;
        self.is_valid(kept, now).then_some(kept.session.credential)
    }

    /// Keeps a sentence with the result of a form for the next page of the session.
    pub(super) fn note_done(&self, secret: &str, sentence: String) {
        if let Some(kept) = self.lock().get_mut(&sha256::digest(secret.as_bytes())) {
            kept.session.done = Some(sentence);
        }
    }

    /// Ends the session with this secret.
    pub(super) fn end(&self, secret: &str) {
        self.lock().remove(&sha256::digest(secret.as_bytes()));
    }

    /// Returns the sessions of a password; the one used last comes first.
    pub(super) fn of(&self, credential: CredentialId, now: Instant) -> Vec<ListedSession> {
        let sessions = self.lock();
        let of_it = sessions.values().filter(|one| one.session.credential == credential && self.is_valid(one, now));
        let mut listed: Vec<ListedSession> = of_it.map(|kept| kept.listed(now)).collect();
        listed.sort_by(|one, other| (one.idle, &one.id).cmp(&(other.idle, &other.id)));
        listed
    }

    /// Ends the session with this name.
    pub(super) fn end_named(&self, id: &str) {
        self.lock().retain(|_, kept| kept.session.id != id);
    }

    /// Ends all sessions of a password.
    pub(super) fn end_all_of(&self, credential: CredentialId) {
        self.lock().retain(|_, kept| kept.session.credential != credential);
    }

    fn is_valid(&self, kept: &Kept, now: Instant) -> bool {
        now.duration_since(kept.used) < self.times.idle && now.duration_since(kept.started) < self.times.longest
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Kept>> {
        self.by_secret.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn listed(&self, now: Instant) -> ListedSession {
        let (age, idle) = (now.duration_since(self.started), now.duration_since(self.used));
        ListedSession { id: self.session.id.clone(), from: self.from.clone(), age, idle }
    }
}

fn remove_least_used(sessions: &mut HashMap<Digest, Kept>, fits: impl Fn(&Kept) -> bool) {
    let least = sessions.iter().filter(|(_, kept)| fits(kept)).min_by_key(|(_, kept)| kept.used);
    if let Some(digest) = least.map(|(digest, _)| *digest) {
        sessions.remove(&digest);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::auth::random;

    /// Sessions, and the name of the next one.
    struct Scene(OwnSessions, std::cell::Cell<usize>);

    impl Scene {
        fn start(&self, credential: CredentialId, from: StartedFrom, now: Instant) -> String {
            self.1.set(self.1.get() + 1);
            let secret = format!("secret-{}", self.1.get());
            self.0.start((format!("{}", self.1.get()), &secret), credential, from, now);
            secret
        }
    }

    impl std::ops::Deref for Scene {
        type Target = OwnSessions;

        fn deref(&self) -> &OwnSessions {
            &self.0
        }
    }

    fn sessions() -> (Scene, CredentialId, Instant) {
        let times = SessionTimes { idle: Duration::from_secs(10), longest: Duration::from_secs(25) };
        (Scene(OwnSessions::new(times), std::cell::Cell::default()), random::credential_id(), Instant::now())
    }

    #[test]
    fn a_session_ends_without_requests_and_after_the_longest_time() {
        let (sessions, credential, start) = sessions();
        let at = |seconds| start + Duration::from_secs(seconds);
        let begin = || sessions.start(credential, StartedFrom::default(), start);
        let (idle, used) = (begin(), begin());
        assert_eq!(sessions.find(&used, SessionUse::Page, at(9)).map(|session| session.credential), Some(credential));
        assert!(sessions.find(&idle, SessionUse::Page, at(10)).is_none());
        assert!(
            sessions.find(&used, SessionUse::Page, at(18)).is_some()
                && sessions.find(&used, SessionUse::Page, at(24)).is_some()
        );
        assert!(sessions.find(&used, SessionUse::Page, at(25)).is_none());
        assert!(sessions.find("", SessionUse::Page, start).is_none());
    }

    #[test]
    fn a_request_that_no_person_makes_does_not_keep_a_session() {
        let (sessions, credential, start) = sessions();
        let secret = sessions.start(credential, StartedFrom::default(), start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(sessions.find(&secret, SessionUse::Unattended, at(9)).is_some());
        assert!(sessions.credential(&secret, at(9)).is_some());
        assert!(
            sessions.find(&secret, SessionUse::Unattended, at(10)).is_none()
                && sessions.credential(&secret, at(10)).is_none()
        );
    }

    #[test]
    fn the_result_of_a_form_is_on_the_next_page_and_on_no_other() {
        let (sessions, credential, now) = sessions();
        let secret = sessions.start(credential, StartedFrom::default(), now);
        sessions.note_done(&secret, "The token was revoked.".to_owned());
        let done = |by| sessions.find(&secret, by, now).and_then(|session| session.done);
        assert_eq!(done(SessionUse::Form).or(done(SessionUse::Unattended)), None);
        assert_eq!(done(SessionUse::Page).as_deref(), Some("The token was revoked."));
        assert_eq!(done(SessionUse::Page), None);
    }

    #[test]
    fn a_session_that_was_ended_and_those_above_the_limit_are_gone() {
        let (sessions, credential, start) = sessions();
        let begin = |seconds| sessions.start(credential, StartedFrom::default(), start + Duration::from_secs(seconds));
        let first = begin(0);
        let rest: Vec<_> = (1..=MAX_SESSIONS_OF_ONE).map(|_| begin(1)).collect();
        assert!(sessions.find(&first, SessionUse::Page, start + Duration::from_secs(2)).is_none());
        sessions.end(&rest[7]);
        let left = rest
            .iter()
            .filter(|secret| sessions.find(secret, SessionUse::Page, start + Duration::from_secs(2)).is_some());
        assert_eq!(left.count(), MAX_SESSIONS_OF_ONE - 1);
    }

    #[test]
    fn a_user_sees_the_own_sessions_and_ends_one_of_them() {
        let (sessions, credential, start) = sessions();
        let at = |seconds| start + Duration::from_secs(seconds);
        let from = StartedFrom { address: Some([10, 0, 9, 14].into()), user_agent: Some("curl/8".to_owned()) };
        let first = sessions.start(credential, from.clone(), start);
        let second = sessions.start(credential, StartedFrom::default(), at(1));
        sessions.start(random::credential_id(), StartedFrom::default(), at(1));
        sessions.find(&first, SessionUse::Page, at(3));
        let listed = sessions.of(credential, at(5));
        assert_eq!(listed.iter().map(|one| one.idle.as_secs()).collect::<Vec<_>>(), [2, 4]);
        assert_eq!((&listed[0].from, listed[0].age.as_secs()), (&from, 5));
        sessions.end_named(&listed[0].id);
        assert!(
            sessions.find(&first, SessionUse::Page, at(5)).is_none()
                && sessions.find(&second, SessionUse::Page, at(5)).is_some()
        );
        assert!(sessions.of(credential, at(20)).is_empty(), "it has ended without a request");
    }
}
