//! A batch of changes: computed one after the other on the newest directory, and stored together.

use jiff::Timestamp;

use super::{Acknowledge, Audit, Edit, Prepared};
use crate::actors::abort_on_panic::abort_on_panic;
use crate::auth::secret;
use crate::domain::audit::Event;
use crate::domain::audit::changes;
use crate::domain::directory::{Directory, Write};
use crate::store::error::StoreError;
use crate::store::identities::{IdentityStore, Snapshot, Stored};

/// Changes that are stored together.
pub(super) struct Batch {
    /// The directory that is known, as it was when the batch was made.
    pub(super) known: Snapshot,
    /// The changes, in their order.
    pub(super) edits: Vec<Edit>,
}

/// A batch that is stored, or is not. Its callers have no result yet.
pub(super) struct Computed {
    /// The directory with all changes of the batch, if they are stored.
    pub(super) outcome: Result<Stored, StoreError>,
    /// Tell the callers of the changes, those that were refused included.
    pub(super) acknowledgements: Vec<Acknowledge>,
}

/// Ends the process if it is dropped by a panic.
struct Guard;

impl Batch {
    /// Computes and stores the changes.
    pub(super) async fn store(self, store: &IdentityStore) -> Computed {
        // A change that panics would never be acknowledged, and no later one would be made.
        let _guard = Guard;
        let mut turn = match store.begin(self.known).await {
            Ok(turn) => turn,
            Err(error) => {
                let acknowledgements = self.edits.into_iter().map(|edit| edit(Err(&error)).acknowledge).collect();
                return Computed { outcome: Err(error), acknowledgements };
            }
        };
        let (mut writes, mut events, mut acknowledgements) = (Vec::new(), Vec::new(), Vec::new());
        for edit in self.edits {
            let directory = &mut turn.directory;
            let Prepared { change, acknowledge } = edit(Ok(directory));
            acknowledgements.push(acknowledge);
            let Some((mut own, audit)) = change else { continue };
            let before = directory.clone();
            directory.apply(&own);
            events.append(&mut audit.events((&before, directory), &own));
            writes.append(&mut own);
        }
        Computed { outcome: turn.commit(writes, events).await, acknowledgements }
    }
}

impl Audit {
    /// Returns the events, in which nothing has the form of a secret.
    fn events(self, directories: (&Directory, &Directory), writes: &[Write]) -> Vec<Event> {
        let events = match self {
            Self::Origin(origin) => changes::events(directories, writes, &origin, Timestamp::now()),
            Self::Given(events) => events,
        };
        events.into_iter().map(|event| event.with_texts(|text| secret::redacted(text).into_owned())).collect()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        abort_on_panic("PolicyEvaluator");
    }
}
