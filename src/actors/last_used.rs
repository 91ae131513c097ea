//! When credentials were last used: noted in memory at every request, written by the janitor every few seconds.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::domain::id::CredentialId;

/// Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct LastUsed(Arc<Mutex<Times>>);

#[derive(Default)]
struct Times {
    known: HashMap<CredentialId, Timestamp>,
    unwritten: HashMap<CredentialId, Timestamp>,
}

impl LastUsed {
    /// What was written before.
    pub fn new(known: HashMap<CredentialId, Timestamp>) -> Self {
        Self(Arc::new(Mutex::new(Times { known, unwritten: HashMap::new() })))
    }

    /// Notes that a credential is used now.
    pub fn note(&self, credential: CredentialId, now: Timestamp) {
        self.times().unwritten.insert(credential, now);
    }

    /// When a credential was last used.
    pub fn of(&self, credential: CredentialId) -> Option<Timestamp> {
        let times = self.times();
        times.unwritten.get(&credential).or_else(|| times.known.get(&credential)).copied()
    }

    /// What was noted since this was last called.
    pub(super) fn take_unwritten(&self) -> HashMap<CredentialId, Timestamp> {
        let mut times = self.times();
        let unwritten = mem::take(&mut times.unwritten);
        times.known.extend(&unwritten);
        unwritten
    }

    fn times(&self) -> std::sync::MutexGuard<'_, Times> {
        // Times stay meaningful whatever panicked while it held them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
