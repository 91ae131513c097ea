//! The keys of audit events among the records of identities.

use crate::domain::id::EventId;
use crate::store::error::StoreError;

/// Beginning of the keys of events of changes.
pub(super) const KEY_PREFIX: &str = "event/";

/// Number of digits of a number in a key, so that keys are ordered as their numbers.
const DIGITS: usize = 16;

/// Returns the key of an event.
pub(super) fn key(id: EventId) -> String {
    format!("{KEY_PREFIX}{:0DIGITS$}", id.0)
}

/// Returns the number in a key. Fails if the key is not one of an event.
pub(super) fn id_in(key: &[u8]) -> Result<EventId, StoreError> {
    let digits = key.strip_prefix(KEY_PREFIX.as_bytes()).and_then(|digits| std::str::from_utf8(digits).ok());
    let number = digits.and_then(|digits| digits.parse().ok()).map(EventId);
    number.ok_or_else(|| StoreError::Damaged("an audit event has another key".to_owned()))
}

/// Returns true if this is the key of an event.
pub(super) fn is_key(key: &str) -> bool {
    key.starts_with(KEY_PREFIX)
}
