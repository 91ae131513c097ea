//! Additions to the index of a fleet: what the index of a replica gets, in one transaction for many pulls.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Transaction};

use super::{id_of, text_of};
use crate::domain::digest::Digest;
use crate::domain::id::{GroupId, ReplicaId};
use crate::domain::reference::{Reference, Tag};
use crate::store::fleet::content_events::{self, ContentEvent, Seen};
use crate::store::fleet::database::{IDLE_TIMEOUT, Value, transaction_limits};
use crate::store::images::ImageKey;
use crate::store::link::TagEntry;

/// Additions to the index in one transaction. An addition that is made twice counts once.
#[derive(Clone, Debug, Default)]
pub(in crate::store::fleet) struct Additions {
    /// Granted links, with the length of their content.
    pub(in crate::store::fleet) links: BTreeMap<(Digest, GroupId, String), Option<u64>>,
    /// Tags that upstream has confirmed.
    pub(in crate::store::fleet) tags: BTreeMap<(String, Tag), TagEntry>,
    /// Images that groups have pulled, and when upstream confirmed them.
    pub(in crate::store::fleet) images: BTreeMap<(GroupId, String, String), TagEntry>,
    /// Contents that manifests name: what goes with an image is known before its manifest is in the bucket.
    pub(in crate::store::fleet) names: BTreeSet<(Digest, Digest)>,
    /// The events that this replica had carried out before the first of them was granted.
    pub(in crate::store::fleet) seen: Seen,
}

const ADD_ORIGINS: &str = "INSERT INTO origin (origin) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING";
const ORIGINS: &str = "SELECT origin, id FROM origin WHERE origin = ANY($1)";
const ADD_LINKS: &str = "INSERT INTO link (digest, group_id, origin, size) \
    SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[]) \
    ON CONFLICT (digest, group_id, origin) DO UPDATE SET size = excluded.size WHERE link.size IS NULL AND excluded.size IS NOT NULL";
const ADD_NAMES: &str =
    "INSERT INTO name (manifest, named) SELECT * FROM unnest($1::bytea[], $2::bytea[]) ON CONFLICT DO NOTHING";
const ADD_TAGS: &str = "INSERT INTO tag (origin, tag, digest, checked_at) \
    SELECT origin, tag, digest, now() - make_interval(secs => age) \
    FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::float8[]) AS new (origin, tag, digest, age) \
    ON CONFLICT (origin, tag) DO UPDATE SET digest = excluded.digest, checked_at = excluded.checked_at, denied = false \
    WHERE tag.checked_at <= excluded.checked_at AND (tag.denied_at IS NULL OR excluded.checked_at > tag.denied_at)";
/// Follows [`ADD_TAGS`]. A replica adds what it has again after its start, also what has moved since then: an image
/// moves only to what its tag stands for.
const ADD_IMAGES: &str = "WITH new AS ( \
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bytea[]) AS given (group_id, origin, reference, digest)), \
    moved AS (INSERT INTO earlier (group_id, origin, reference, digest) \
        SELECT image.group_id, image.origin, image.reference, image.digest FROM image JOIN new USING (group_id, origin, reference) \
        JOIN tag ON tag.origin = image.origin AND tag.tag = image.reference AND tag.digest = new.digest \
        WHERE image.digest <> new.digest \
        ON CONFLICT (group_id, origin, reference, digest) DO UPDATE SET moved_at = excluded.moved_at) \
    INSERT INTO image (group_id, origin, reference, digest) SELECT group_id, origin, reference, digest FROM new \
    ON CONFLICT (group_id, origin, reference) DO UPDATE SET digest = excluded.digest, pulled_at = now() \
    WHERE image.digest <> excluded.digest AND EXISTS (SELECT FROM tag \
        WHERE tag.origin = excluded.origin AND tag.tag = excluded.reference AND tag.digest = excluded.digest) \
    RETURNING group_id, origin, reference";

impl Additions {
    /// Adds others, which are noted later. What a tag was before may be noted after what it is now: by a pull that has
    /// read the index meanwhile.
    pub(in crate::store::fleet) fn extend(&mut self, later: Self) {
        self.seen = if self.is_empty() { later.seen } else { self.seen.and(&later.seen) };
        self.links.extend(later.links);
        keep_newer(&mut self.tags, later.tags);
        keep_newer(&mut self.images, later.images);
        self.names.extend(later.names);
    }

    /// Leaves out what was removed since it was granted: it must not come back.
    fn without(mut self, events: Vec<ContentEvent>) -> Self {
        for event in events {
            match event {
                ContentEvent::Removed { group, origin, references } => {
                    let Ok(origin) = text_of(&origin) else { continue };
                    let names: Vec<String> = references.iter().map(Reference::to_string).collect();
                    // It is unknown which of the links are those of the removed images.
                    self.links.retain(|(_, of, from), _| *of != group || *from != origin);
                    self.images.retain(|(of, from, name), _| *of != group || *from != origin || !names.contains(name));
                }
                ContentEvent::Purged(group) => {
                    self.links.retain(|(_, of, _), _| *of != group);
                    self.images.retain(|(of, ..), _| *of != group);
                }
                ContentEvent::Gone { origin, tag } => {
                    let Ok(origin) = text_of(&origin) else { continue };
                    self.images.retain(|(_, from, name), _| *from != origin || *name != tag.as_str());
                    self.tags.remove(&(origin, tag));
                }
                ContentEvent::Image(_) | ContentEvent::Denied { .. } | ContentEvent::Pinned { .. } => {}
            }
        }
        self
    }

    /// Returns true if there is nothing to add.
    pub(in crate::store::fleet) fn is_empty(&self) -> bool {
        self.links.is_empty() && self.tags.is_empty() && self.images.is_empty()
    }
}

/// Adds to the index, with the events of images that are new or have moved.
pub(super) async fn add(
    client: &mut Client,
    replica: ReplicaId,
    additions: Additions,
) -> Result<(), tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(&transaction_limits(IDLE_TIMEOUT)).await?;
    content_events::take_turn(&transaction).await?;
    let removed = content_events::unseen(&transaction, replica, &additions.seen).await?;
    let additions = additions.without(removed);
    let ids = add_links_and_tags(transaction.client(), &additions).await?;
    let id = |origin: &String| ids.get(origin).copied().unwrap_or_default();
    let events = add_images(&transaction, &additions, &id).await?;
    content_events::insert(&transaction, replica, &events).await?;
    transaction.commit().await
}

/// Adds the links, names and tags, and the origins of all additions, within a transaction. Returns the ids of the
/// origins.
pub(in crate::store::fleet) async fn add_links_and_tags(
    client: &Client,
    additions: &Additions,
) -> Result<BTreeMap<String, i64>, tokio_postgres::Error> {
    let ids = origin_ids(client, additions).await?;
    let id = |origin: &String| ids.get(origin).copied().unwrap_or_default();
    let links = &additions.links;
    let digests: Vec<_> = links.keys().map(|(digest, ..)| &digest.as_bytes()[..]).collect();
    let groups: Vec<_> = links.keys().map(|(_, group, _)| id_of(*group)).collect();
    let origins: Vec<_> = links.keys().map(|(.., origin)| id(origin)).collect();
    let sizes: Vec<_> = links.values().map(|size| size.map(u64::cast_signed)).collect();
    let values: [Value<'_>; 4] = [
        (&digests, Type::BYTEA_ARRAY),
        (&groups, Type::INT8_ARRAY),
        (&origins, Type::INT8_ARRAY),
        (&sizes, Type::INT8_ARRAY),
    ];
    client.execute_typed(ADD_LINKS, &values).await?;
    let tags = &additions.tags;
    let origins: Vec<_> = tags.keys().map(|(origin, _)| id(origin)).collect();
    let names: Vec<_> = tags.keys().map(|(_, tag)| tag.as_str()).collect();
    let digests: Vec<_> = tags.values().map(|entry| &entry.digest.as_bytes()[..]).collect();
    let ages: Vec<_> = tags.values().map(|entry| age(entry.checked_at)).collect();
    let values: [Value<'_>; 4] = [
        (&origins, Type::INT8_ARRAY),
        (&names, Type::TEXT_ARRAY),
        (&digests, Type::BYTEA_ARRAY),
        (&ages, Type::FLOAT8_ARRAY),
    ];
    client.execute_typed(ADD_TAGS, &values).await?;
    let (manifests, named): (Vec<_>, Vec<_>) =
        additions.names.iter().map(|(manifest, named)| (&manifest.as_bytes()[..], &named.as_bytes()[..])).unzip();
    let values: [Value<'_>; 2] = [(&manifests, Type::BYTEA_ARRAY), (&named, Type::BYTEA_ARRAY)];
    client.execute_typed(ADD_NAMES, &values).await?;
    Ok(ids)
}

/// Adds the images. Returns the events of those that are new or have moved.
async fn add_images(
    transaction: &Transaction<'_>,
    additions: &Additions,
    id: &(impl Fn(&String) -> i64 + Sync),
) -> Result<Vec<String>, tokio_postgres::Error> {
    let images = &additions.images;
    let groups: Vec<_> = images.keys().map(|(group, ..)| id_of(*group)).collect();
    let origins: Vec<_> = images.keys().map(|(_, origin, _)| id(origin)).collect();
    let references: Vec<_> = images.keys().map(|(.., reference)| reference.as_str()).collect();
    let digests: Vec<_> = images.values().map(|entry| &entry.digest.as_bytes()[..]).collect();
    let values: [Value<'_>; 4] = [
        (&groups, Type::INT8_ARRAY),
        (&origins, Type::INT8_ARRAY),
        (&references, Type::TEXT_ARRAY),
        (&digests, Type::BYTEA_ARRAY),
    ];
    let changed = transaction.query_typed(ADD_IMAGES, &values).await?;
    let is_changed = |(group, origin, reference): &(GroupId, String, String)| {
        let key = (id_of(*group), id(origin), reference.as_str());
        changed.iter().any(|row| (row.get(0), row.get(1), row.get::<_, &str>(2)) == key)
    };
    let changed = images.keys().filter(|key| is_changed(key)).filter_map(|(group, origin, reference)| {
        let (origin, reference) = (serde_json::from_str(origin).ok()?, reference.parse().ok()?);
        Some(ContentEvent::Image(ImageKey { group: *group, origin, reference }))
    });
    Ok(content_events::texts(changed).unwrap_or_default())
}

/// Adds the origins, and returns their ids.
async fn origin_ids(client: &Client, additions: &Additions) -> Result<BTreeMap<String, i64>, tokio_postgres::Error> {
    let of_links = additions.links.keys().map(|(.., origin)| origin);
    let of_tags = additions.tags.keys().map(|(origin, _)| origin);
    let of_images = additions.images.keys().map(|(_, origin, _)| origin);
    let mut origins: Vec<&str> = of_links.chain(of_tags).chain(of_images).map(String::as_str).collect();
    // In one order, so that two replicas do not wait for each other.
    origins.sort_unstable();
    origins.dedup();
    client.execute_typed(ADD_ORIGINS, &[(&origins, Type::TEXT_ARRAY)]).await?;
    let rows = client.query_typed(ORIGINS, &[(&origins, Type::TEXT_ARRAY)]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Adds later entries, except where a newer one is known.
fn keep_newer<K: Ord>(known: &mut BTreeMap<K, TagEntry>, later: BTreeMap<K, TagEntry>) {
    for (key, entry) in later {
        if known.get(&key).is_none_or(|known| !entry.is_before(known)) {
            known.insert(key, entry);
        }
    }
}

/// Returns the time since then in seconds.
pub(in crate::store::fleet) fn age(then: Timestamp) -> f64 {
    Timestamp::now().duration_since(then).as_secs_f64().max(0.0)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::domain::reference::ReferenceError;

    #[test]
    fn what_a_tag_was_before_does_not_replace_what_it_is_now() -> Result<(), ReferenceError> {
        let now = Timestamp::now();
        let tag: Tag = "1".parse()?;
        let additions = |digest: u8, checked_at: Timestamp| {
            let entry = TagEntry { digest: Digest::from_bytes([digest; 32]), checked_at, denied: false };
            let (group, origin) = (GroupId(1), "origin".to_owned());
            Additions {
                tags: BTreeMap::from([((origin.clone(), tag.clone()), entry)]),
                images: BTreeMap::from([((group, origin, "1".to_owned()), entry)]),
                ..Additions::default()
            }
        };
        let digests = |additions: &Additions| {
            let (tags, images) = (additions.tags.values(), additions.images.values());
            tags.chain(images).map(|entry| entry.digest.as_bytes()[0]).collect::<Vec<_>>()
        };
        let mut gathered = additions(2, now);
        gathered.extend(additions(1, now - SignedDuration::from_secs(1)));
        assert_eq!(digests(&gathered), [2, 2]);
        gathered.extend(additions(3, now + SignedDuration::from_secs(1)));
        assert_eq!(digests(&gathered), [3, 3]);
        Ok(())
    }
}
