//! Times at which credentials were last used: recorded in memory at every request, written by the janitor
//! every few seconds.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::once_per_second::OncePerSecond;
use crate::domain::directory::{Credential, Directory};
use crate::domain::id::CredentialId;

/// Times of last use by credential. Cheap to clone; clones share their state.
#[derive(Clone)]
pub struct LastUsed(Arc<Inner>);

struct Inner {
    times: Mutex<Times>,
    /// Repeated requests of a credential within one second skip the mutex.
    recorded: OncePerSecond<256>,
}

#[derive(Default)]
struct Times {
    known: HashMap<CredentialId, Timestamp>,
    unwritten: HashMap<CredentialId, Timestamp>,
}

impl Default for LastUsed {
    fn default() -> Self {
        Self::new(HashMap::new())
    }
}

impl LastUsed {
    /// Starts from the times that were read from the store.
    pub fn new(known: HashMap<CredentialId, Timestamp>) -> Self {
        let times = Mutex::new(Times { known, unwritten: HashMap::new() });
        Self(Arc::new(Inner { times, recorded: OncePerSecond::default() }))
    }

    /// Records that a credential is used now. Of several uses within one second the first is recorded.
    pub fn note(&self, credential: CredentialId, now: Timestamp) {
        self.0.recorded.note(credential.half(), now, || {
            self.times().unwritten.insert(credential, now);
        });
    }

    /// Returns the time at which a credential was last used.
    pub fn of(&self, credential: CredentialId) -> Option<Timestamp> {
        let times = self.times();
        times.unwritten.get(&credential).or_else(|| times.known.get(&credential)).copied()
    }

    /// Returns the times that were recorded since the last call.
    pub(super) fn take_unwritten(&self) -> HashMap<CredentialId, Timestamp> {
        let mut times = self.times();
        let unwritten = mem::take(&mut times.unwritten);
        times.known.extend(&unwritten);
        unwritten
    }

    /// Returns the credentials with a recorded time that do not exist any more or are deleted. `directory` is read
    /// after the times: a credential that was used before is then in the directory, unless it was deleted.
    pub(super) fn gone(&self, directory: impl FnOnce() -> Arc<Directory>) -> Vec<CredentialId> {
        let mut credentials: Vec<CredentialId> = {
            let times = self.times();
            times.known.keys().chain(times.unwritten.keys()).copied().collect()
        };
        let directory = directory();
        credentials.retain(|id| matches!(directory.credential(*id), None | Some(Credential::Deleted(_))));
        credentials
    }

    /// Forgets these credentials' times.
    pub(super) fn forget(&self, credentials: &[CredentialId]) {
        let mut times = self.times();
        for credential in credentials {
            times.known.remove(credential);
            times.unwritten.remove(credential);
        }
    }

    fn times(&self) -> std::sync::MutexGuard<'_, Times> {
        // A panic while the lock was held leaves the times usable: each change is a single insertion or removal.
        self.0.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::Digest;
    use crate::domain::directory::{Record, Write};
    use crate::domain::id::{TokenId, UserId};
    use crate::domain::scope::Scopes;
    use crate::domain::token::{Token, TokenOwner, Tombstone};

    fn token(id: u8) -> Token {
        let owner = TokenOwner::Personal { user: UserId(1) };
        let secret = (CredentialId::from_random([id; 16]), Digest::from_bytes([id; 32]));
        Token::new(TokenId(id.into()), owner, "", Scopes::pull(), secret, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn what_is_deleted_is_forgotten_and_what_was_just_made_is_not() {
        let [kept, deleted, forgotten, new] = [1, 2, 3, 4].map(token);
        let tombstone = Tombstone::of(&deleted, Timestamp::UNIX_EPOCH);
        let mut directory = Directory::from_records([Record::Token(kept.clone()), Record::Tombstone(tombstone)]);
        let (written, at) = (kept.credential, Timestamp::UNIX_EPOCH);
        let last_used = LastUsed::new(HashMap::from([(written, at), (forgotten.credential, at)]));
        last_used.note(deleted.credential, at);
        last_used.note(new.credential, at);
        directory.apply(&[Write::Put(Record::Token(new.clone()))]);
        let mut gone = last_used.gone(|| Arc::new(directory));
        gone.sort_unstable();
        assert_eq!(gone, [deleted.credential, forgotten.credential]);
        last_used.forget(&gone);
        let known = [&kept, &deleted, &forgotten, &new].map(|token| last_used.of(token.credential).is_some());
        assert_eq!(known, [true, false, false, true]);
        assert_eq!(last_used.take_unwritten().into_keys().collect::<Vec<_>>(), [new.credential]);
    }
}
