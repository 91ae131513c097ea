//! Times and addresses of the last use of credentials: recorded in memory at every request, written by the janitor
//! every few seconds.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::mem;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::once_per_tick::OncePerTick;
use crate::domain::directory::{Credential, Directory};
use crate::domain::id::CredentialId;
use crate::domain::last_use::{AddressDays, AddressUse, LastUse};

/// Last uses by credential. Cheap to clone; clones share their state.
#[derive(Clone)]
pub struct LastUsed(Arc<Inner>);

struct Inner {
    uses: Mutex<Uses>,
    address_days: AddressDays,
    /// Repeated requests of a credential from one address within one second skip the mutex.
    recorded: OncePerTick<1024>,
}

#[derive(Default)]
struct Uses {
    known: HashMap<CredentialId, LastUse>,
    unwritten: HashSet<CredentialId>,
}

impl LastUsed {
    /// Starts from the uses that were read from the store. Addresses are kept for this number of days.
    pub fn new(known: HashMap<CredentialId, LastUse>, address_days: AddressDays) -> Self {
        let uses = Mutex::new(Uses { known, unwritten: HashSet::new() });
        Self(Arc::new(Inner { uses, address_days, recorded: OncePerTick::default() }))
    }

    /// Records that a credential is used now. Of several uses from one address within one second the first is recorded.
    pub fn note(&self, credential: CredentialId, address: IpAddr, now: Timestamp) {
        self.0.recorded.note(credential.half() ^ spread(address), now.as_second(), || {
            let mut uses = self.uses();
            let last_use = uses.known.entry(credential).or_insert_with(|| now.into());
            last_use.note(address, now, self.0.address_days);
            uses.unwritten.insert(credential);
        });
    }

    /// Returns the time at which a credential was last used.
    pub fn of(&self, credential: CredentialId) -> Option<Timestamp> {
        self.uses().known.get(&credential).map(|last_use| last_use.at)
    }

    /// Returns the last addresses from which a credential was used, the latest at the end.
    pub fn addresses_of(&self, credential: CredentialId, now: Timestamp) -> Vec<AddressUse> {
        let last_use = self.uses().known.get(&credential).cloned();
        last_use.map_or_else(Vec::new, |mut last_use| {
            last_use.forget_before(self.0.address_days.earliest(now));
            last_use.addresses
        })
    }

    /// Adds uses that other replicas have recorded.
    pub(super) fn merge(&self, elsewhere: HashMap<CredentialId, LastUse>) {
        let mut uses = self.uses();
        for (credential, last_use) in elsewhere {
            match uses.known.entry(credential) {
                Entry::Occupied(mut known) => known.get_mut().merge(&last_use),
                Entry::Vacant(unknown) => drop(unknown.insert(last_use)),
            }
        }
    }

    /// Forgets addresses that are too old.
    pub(super) fn forget_old_addresses(&self, now: Timestamp) {
        let (mut uses, earliest) = (self.uses(), self.0.address_days.earliest(now));
        let Uses { known, unwritten } = &mut *uses;
        for (credential, last_use) in known {
            if last_use.forget_before(earliest) {
                unwritten.insert(*credential);
            }
        }
    }

    /// Returns the uses of the credentials that were used since the last call.
    pub(super) fn take_unwritten(&self) -> HashMap<CredentialId, LastUse> {
        let mut uses = self.uses();
        let unwritten = mem::take(&mut uses.unwritten);
        unwritten.into_iter().filter_map(|id| Some((id, uses.known.get(&id)?.clone()))).collect()
    }

    /// Returns the credentials with a recorded use that do not exist any more or are deleted. `directory` is read
    /// after the uses: a credential that was used before is then in the directory, unless it was deleted.
    pub(super) fn gone(&self, directory: impl FnOnce() -> Arc<Directory>) -> Vec<CredentialId> {
        let mut credentials: Vec<CredentialId> = self.uses().known.keys().copied().collect();
        let directory = directory();
        credentials.retain(|id| matches!(directory.credential(*id), None | Some(Credential::Deleted(_))));
        credentials
    }

    /// Forgets these credentials' uses.
    pub(super) fn forget(&self, credentials: &[CredentialId]) {
        let mut uses = self.uses();
        for credential in credentials {
            uses.known.remove(credential);
            uses.unwritten.remove(credential);
        }
    }

    fn uses(&self) -> std::sync::MutexGuard<'_, Uses> {
        // A panic while the lock was held leaves the uses usable: at worst one is not written.
        self.0.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a number in whose upper and lower bits addresses differ.
fn spread(address: IpAddr) -> u64 {
    let bits = match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64 ^ address.to_bits() as u64,
    };
    bits.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::domain::digest::Digest;
    use crate::domain::directory::{Record, Write};
    use crate::domain::id::{TokenId, UserId};
    use crate::domain::scope::Scopes;
    use crate::domain::token::{Token, TokenOwner, Tombstone};

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

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
        let last_used =
            LastUsed::new(HashMap::from([written, forgotten.credential].map(|id| (id, at.into()))), AddressDays(30));
        last_used.note(deleted.credential, HERE, at);
        last_used.note(new.credential, HERE, at);
        directory.apply(&[Write::Put(Record::Token(new.clone()))]);
        let mut gone = last_used.gone(|| Arc::new(directory));
        gone.sort_unstable();
        assert_eq!(gone, [deleted.credential, forgotten.credential]);
        last_used.forget(&gone);
        let known = [&kept, &deleted, &forgotten, &new].map(|token| last_used.of(token.credential).is_some());
        assert_eq!(known, [true, false, false, true]);
        assert_eq!(last_used.take_unwritten().into_keys().collect::<Vec<_>>(), [new.credential]);
    }

    #[test]
    fn addresses_that_are_too_old_are_neither_shown_nor_kept() {
        let (id, at) = (CredentialId::from_random([1; 16]), Timestamp::UNIX_EPOCH);
        let last_used = LastUsed::new(HashMap::new(), AddressDays(2));
        last_used.note(id, HERE, at);
        let later = |hours| at + jiff::SignedDuration::from_hours(hours);
        assert_eq!(last_used.addresses_of(id, later(48)), [AddressUse { address: HERE, at }]);
        assert_eq!(last_used.addresses_of(id, later(49)), []);
        assert_eq!(last_used.take_unwritten()[&id].addresses.len(), 1);
        last_used.forget_old_addresses(later(48));
        assert_eq!(last_used.take_unwritten(), HashMap::new());
        last_used.forget_old_addresses(later(49));
        assert_eq!(last_used.take_unwritten(), HashMap::from([(id, at.into())]));
        assert_eq!(last_used.of(id), Some(at));
    }
}
