//! Revalidation of tags, once for all replicas: the first that needs one records it, and the others wait for its
//! result.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_postgres::types::Type;

use super::content::FleetContent;
use super::database::{Value, work};
use super::index::text_of;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::{Reference, Tag};
use crate::store::error::StoreError;
use crate::store::link::TagEntry;

/// Interval at which a replica looks whether another has finished.
const LOOK_INTERVAL: Duration = Duration::from_millis(40);

// A replica that has begun and does not finish within three seconds is replaced.
const BEGIN: &str = "UPDATE tag SET asked_at = now() FROM origin WHERE tag.origin = origin.id AND origin.origin = $1 AND tag.tag = $2 \
    AND (asked_at IS NULL OR checked_at >= asked_at OR denied OR asked_at < now() - interval '3 seconds')";
const IS_BEING_REVALIDATED: &str = "SELECT FROM tag JOIN origin ON tag.origin = origin.id \
    WHERE origin.origin = $1 AND tag.tag = $2 AND checked_at < asked_at AND NOT denied";

impl FleetContent {
    /// Returns true if this replica is the one that has a tag confirmed by upstream now; also if nobody knows.
    pub async fn may_revalidate(&self, origin: &Origin, tag: &Tag) -> bool {
        self.database_pause.is_on() || self.begin_revalidation(origin, tag).await.unwrap_or(true)
    }

    /// Begins the revalidation of a tag. Returns false if another replica has begun it a moment ago.
    async fn begin_revalidation(&self, origin: &Origin, tag: &Tag) -> Result<bool, StoreError> {
        let begun = self.count_of(BEGIN, origin, tag).await? > 0;
        Ok(begun || self.count_of(IS_BEING_REVALIDATED, origin, tag).await? == 0)
    }

    /// Waits until the revalidation by another replica has succeeded, for at most this time. Returns its entry;
    /// `None` if it has not.
    pub async fn revalidated(&self, origin: &Origin, tag: &Tag, limit: Duration) -> Option<TagEntry> {
        let began = Instant::now();
        while began.elapsed() < limit {
            sleep(LOOK_INTERVAL).await;
            if self.count_of(IS_BEING_REVALIDATED, origin, tag).await.ok()? == 0 {
                // No group has this number: only the tag is wanted.
                let found = self.look_up(GroupId(0), origin, &Reference::Tag(tag.clone())).await?;
                return found.tag.filter(|entry| !entry.denied);
            }
        }
        None
    }

    async fn count_of(&self, statement: &'static str, origin: &Origin, tag: &Tag) -> Result<u64, StoreError> {
        let (origin, tag) = (text_of(origin)?, tag.to_string());
        let run = work(move |client| {
            Box::pin(async move {
                let values: [Value<'_>; 2] = [(&origin, Type::TEXT), (&tag, Type::TEXT)];
                client.execute_typed(statement, &values).await
            })
        });
        self.index.database().run(run).await
    }
}
