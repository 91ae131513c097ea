//! All identities of a store, as they move to a store of another kind.

use std::collections::HashMap;

use serde_json::value::RawValue;

use crate::domain::directory::Directory;
use crate::domain::id::{CredentialId, EventId, InstallationId};
use crate::domain::last_use::LastUse;

/// All identities of a store, with what belongs to them.
#[derive(Debug, Default)]
pub struct AllIdentities {
    /// The identities, with tombstones.
    pub directory: Directory,
    /// Number of the last change in them; 0 if it is not known.
    pub number: u64,
    /// The installation that they belong to; `None` if it is not known.
    pub installation: Option<InstallationId>,
    /// The audit events, in the order of their numbers.
    pub events: Vec<KeptEvent>,
    /// Times and addresses of the last uses of credentials.
    pub last_used: HashMap<CredentialId, LastUse>,
}

/// An audit event as it is stored.
#[derive(Debug)]
pub struct KeptEvent {
    /// Its number.
    pub id: EventId,
    /// True for the event of a change, false for a sum of what happened several times.
    pub of_change: bool,
    /// The event as JSON.
    pub event: Box<RawValue>,
}
