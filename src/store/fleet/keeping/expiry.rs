//! What goes from the index because of its age: images that nobody pulls, and what groups have left that are gone.

use std::collections::HashMap;

use tokio_postgres::types::Type;

use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::store::error::StoreError;
use crate::store::fleet::content::FleetContent;
use crate::store::fleet::database::{Value, work};
use crate::store::fleet::index::{FleetIndex, id_of, text_of};
use crate::store::fleet::jobs::Lease;
use crate::store::images::{ImageKey, Pulls};

const LINKS_OF_GONE: &str =
    "DELETE FROM link WHERE ctid = ANY(ARRAY(SELECT ctid FROM link WHERE group_id <> ALL($1) LIMIT 5000))";
const IMAGES_OF_GONE: &str =
    "DELETE FROM image WHERE ctid = ANY(ARRAY(SELECT ctid FROM image WHERE group_id <> ALL($1) LIMIT 5000))";
const UNPULLED: &str = "SELECT origin.origin, image.reference FROM image JOIN origin ON image.origin = origin.id \
    WHERE image.group_id = $1 AND NOT image.pinned AND image.pulled_at < now() - make_interval(days => $2) \
    ORDER BY image.origin LIMIT 1000";
// Once an hour is enough to know what is in use.
const NOTE_PULLS: &str = "UPDATE image SET pulled_at = now() FROM origin, \
    unnest($1::bigint[], $2::text[], $3::text[]) AS pulled (group_id, origin, reference) \
    WHERE origin.origin = pulled.origin AND image.origin = origin.id AND image.group_id = pulled.group_id \
    AND image.reference = pulled.reference AND image.pulled_at < now() - interval '1 hour'";

impl FleetContent {
    /// Removes links and images of groups that are none of these.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached. The next run goes on.
    pub async fn forget_groups_but(&self, lease: &Lease, groups: &[GroupId]) -> Result<(), StoreError> {
        for statement in [LINKS_OF_GONE, IMAGES_OF_GONE] {
            let groups: Vec<i64> = groups.iter().copied().map(id_of).collect();
            self.step(lease, statement, vec![(Box::new(groups), Type::INT8_ARRAY)]).await?;
        }
        Ok(())
    }

    /// Returns images of a group that nobody has pulled at any replica for this number of days, by origin.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or a row is damaged.
    pub async fn unpulled(&self, group: GroupId, days: u32) -> Result<Vec<(Origin, Vec<Reference>)>, StoreError> {
        let (group, days) = (id_of(group), i32::try_from(days).unwrap_or(i32::MAX));
        let read = work(move |client| {
            Box::pin(async move { client.query_typed(UNPULLED, &[(&group, Type::INT8), (&days, Type::INT4)]).await })
        });
        let mut found: Vec<(Origin, Vec<Reference>)> = Vec::new();
        for row in self.index.database().run(read).await? {
            let origin: Origin = serde_json::from_str(row.get(0))?;
            let reference: &str = row.get(1);
            let reference = reference.parse().map_err(|_| StoreError::Damaged(format!("'{reference}' is no tag")))?;
            match found.last_mut().filter(|(last, _)| *last == origin) {
                Some((_, references)) => references.push(reference),
                None => found.push((origin, vec![reference])),
            }
        }
        Ok(found)
    }

    /// Records that images were pulled, in the background.
    pub(in crate::store) fn note_pulls(&self, pulls: HashMap<ImageKey, Pulls>) {
        if pulls.is_empty() || self.database_pause.is_on() {
            return;
        }
        let index = self.index.clone();
        self.index.database().runtime().spawn(async move { note_pulls(&index, pulls).await.ok() });
    }
}

async fn note_pulls(index: &FleetIndex, pulls: HashMap<ImageKey, Pulls>) -> Result<(), StoreError> {
    let (mut groups, mut origins, mut references) = (Vec::new(), Vec::new(), Vec::new());
    for image in pulls.keys() {
        groups.push(id_of(image.group));
        origins.push(text_of(&image.origin)?);
        references.push(image.reference.to_string());
    }
    let note = work(move |client| {
        Box::pin(async move {
            let values: [Value<'_>; 3] =
                [(&groups, Type::INT8_ARRAY), (&origins, Type::TEXT_ARRAY), (&references, Type::TEXT_ARRAY)];
            client.execute_typed(NOTE_PULLS, &values).await
        })
    });
    index.database().run(note).await.map(drop)
}
