//! Changes of the index of a fleet that are carried out in the background, in the order in which this replica makes
//! them. While the database is away they wait.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::content_events::Seen;
use super::index::additions::Additions;
use super::index::{FleetIndex, text_of};
use super::run_on;
use crate::domain::origin::Origin;
use crate::domain::reference::Tag;
use crate::store::error::{FleetError, StoreError};
use crate::store::grant::{Grant, Pulled};

/// The queue of changes. Cheap to clone; clones share it.
#[derive(Clone)]
pub(super) struct IndexChanges {
    queue: mpsc::Sender<Change>,
    index: FleetIndex,
}

/// A change of the index that is carried out in the background, in order.
enum Change {
    Add(Box<Additions>),
    Deny(Origin, Tag),
    Drop(Origin, Tag),
    /// Sends its signal once all changes before it are carried out.
    Flush(oneshot::Sender<()>),
}

/// Maximum number of changes that wait while the database is away. Further ones are lost for the other replicas, which
/// then send requests to upstream.
const MAX_CHANGES: usize = 10_000;
/// Maximum number of changes that are carried out in one transaction.
const CHANGES_AT_ONCE: usize = 500;
/// Pauses between attempts to change the index: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Maximum time to wait until the changes before a removal are carried out.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

impl IndexChanges {
    /// Starts to carry out changes of this index.
    pub(super) fn start(index: FleetIndex) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_CHANGES);
        index.database().runtime().spawn(carry_out(index.clone(), waiting));
        Self { queue, index }
    }

    /// Adds what a group was granted, after these events were carried out. `is_image`: a digest counts as an image of its
    /// own.
    pub(super) fn add(&self, grant: &Grant, is_image: bool, seen: Seen) {
        match additions(grant, is_image, seen) {
            Ok(additions) => self.queue(Change::Add(Box::new(additions))),
            Err(error) => tracing::warn!(%error, "a link cannot be shared"),
        }
    }

    /// Records that upstream refuses a tag.
    pub(super) fn deny(&self, origin: Origin, tag: Tag) {
        self.queue(Change::Deny(origin, tag));
    }

    /// Records that upstream does not have a tag any more.
    pub(super) fn drop_tag(&self, origin: Origin, tag: Tag) {
        self.queue(Change::Drop(origin, tag));
    }

    /// Waits until the changes so far are carried out.
    ///
    /// # Errors
    ///
    /// Fails if they are not within three seconds.
    pub(super) async fn flush(&self) -> Result<(), StoreError> {
        let (done, flushed) = oneshot::channel();
        let queue = self.queue.clone();
        run_on(self.index.database().runtime(), async move {
            let wait = async {
                queue.send(Change::Flush(done)).await.ok()?;
                flushed.await.ok()
            };
            let late = || FleetError::Unreachable("changes of cached content wait for it".to_owned()).into();
            timeout(FLUSH_TIMEOUT, wait).await.ok().flatten().ok_or_else(late)
        })
        .await
    }

    fn queue(&self, change: Change) {
        if self.queue.try_send(change).is_err() {
            metrics::counter!("dependency_proxy_fleet_lost_changes_total").increment(1);
        }
    }
}

/// Carries out changes, the first first. While the database cannot be reached it tries again.
async fn carry_out(index: FleetIndex, mut changes: mpsc::Receiver<Change>) {
    let mut next = Vec::with_capacity(CHANGES_AT_ONCE);
    while changes.recv_many(&mut next, CHANGES_AT_ONCE).await > 0 {
        let mut gathered = Additions::default();
        for change in next.drain(..) {
            if let Change::Add(additions) = change {
                gathered.extend(*additions);
                continue;
            }
            until_reached(&index, Change::Add(Box::new(std::mem::take(&mut gathered)))).await;
            until_reached(&index, change).await;
        }
        until_reached(&index, Change::Add(Box::new(gathered))).await;
    }
}

/// Carries out a change, and repeats it while the database cannot be reached.
async fn until_reached(index: &FleetIndex, change: Change) {
    let mut pause = PAUSES.0;
    loop {
        let changed = match &change {
            Change::Add(additions) if additions.is_empty() => return,
            Change::Add(additions) => index.add(Additions::clone(additions)).await,
            Change::Deny(origin, tag) => index.deny_tag(origin, tag).await,
            Change::Drop(origin, tag) => index.drop_tag(origin, tag).await,
            Change::Flush(_) => break,
        };
        match changed {
            Ok(()) => return,
            Err(StoreError::Fleet(FleetError::Unreachable(_) | FleetError::Late(_))) => {
                sleep(pause).await;
                pause = (2 * pause).min(PAUSES.1);
            }
            Err(error) => {
                tracing::warn!(%error, "a change of cached content could not be shared");
                return;
            }
        }
    }
    if let Change::Flush(done) = change {
        let _ = done.send(());
    }
}

/// Returns what a grant adds to the index of the fleet.
fn additions(grant: &Grant, is_image: bool, seen: Seen) -> Result<Additions, StoreError> {
    let (group, origin) = (grant.group, text_of(&grant.origin)?);
    let mut additions = Additions { seen, ..Additions::default() };
    // A reference is a manifest's claim: it gives no right, and the manifest says it again.
    for (digest, link) in grant.links.iter().filter(|(_, link)| link.is_granted()) {
        additions.links.insert((*digest, group, origin.clone()), link.size);
    }
    if let Pulled::Tag(_, entry) | Pulled::Digest(entry) = &grant.pulled {
        let named = grant.links.iter().filter(|(_, link)| !link.is_granted());
        additions.names.extend(named.map(|(named, _)| (entry.digest, *named)));
    }
    match &grant.pulled {
        Pulled::Tag(tag, entry) => {
            additions.tags.insert((origin.clone(), tag.clone()), *entry);
            additions.images.insert((group, origin, tag.to_string()), *entry);
        }
        Pulled::Digest(entry) if is_image => {
            additions.images.insert((group, origin, entry.digest.to_string()), *entry);
        }
        Pulled::Digest(_) | Pulled::Blob => {}
    }
    Ok(additions)
}
