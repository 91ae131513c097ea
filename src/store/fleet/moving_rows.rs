//! Images of a store of another kind, as rows of the index of a fleet.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use super::database::Value;
use super::index::additions::age;
use super::index::id_of;
use crate::store::embedded::index::ImageToMove;

const ADD_IMAGES: &str = "INSERT INTO image (group_id, origin, reference, digest, pulled_at, pinned, pulls, counted_at) \
    SELECT group_id, origin, reference, digest, now() - make_interval(secs => age), pinned, pulls, now() \
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bytea[], $5::float8[], $6::boolean[], $7::bigint[]) \
    AS new (group_id, origin, reference, digest, age, pinned, pulls) ON CONFLICT DO NOTHING";

// When it moved is not known exactly: it counts from the move of the store.
const ADD_EARLIER: &str = "INSERT INTO earlier (group_id, origin, reference, digest) \
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bytea[]) ON CONFLICT DO NOTHING";

/// The columns of images, and of what their tags stood for before.
#[derive(Default)]
pub(super) struct ImageRows {
    earlier: EarlierRows,
    groups: Vec<i64>,
    origins: Vec<String>,
    references: Vec<String>,
    digests: Vec<Vec<u8>>,
    ages: Vec<f64>,
    pinned: Vec<bool>,
    pulls: Vec<i64>,
}

/// The columns of what tags stood for before.
#[derive(Default)]
struct EarlierRows {
    groups: Vec<i64>,
    origins: Vec<String>,
    references: Vec<String>,
    digests: Vec<Vec<u8>>,
}

impl ImageRows {
    pub(super) fn add(&mut self, image: &ImageToMove, origin: String, reference: String) {
        self.earlier.add(image, &origin, &reference);
        self.groups.push(id_of(image.key.group));
        self.origins.push(origin);
        self.references.push(reference);
        self.digests.push(image.entry.digest.as_bytes().to_vec());
        self.ages.push(age(image.last_pulled_at));
        self.pinned.push(image.pinned);
        self.pulls.push(i64::try_from(image.pulls).unwrap_or(i64::MAX));
    }

    pub(super) async fn write(&self, client: &Client, ids: &BTreeMap<String, i64>) -> Result<(), Error> {
        let origins = ids_of(&self.origins, ids);
        let values: [Value<'_>; 7] = [
            (&self.groups, Type::INT8_ARRAY),
            (&origins, Type::INT8_ARRAY),
            (&self.references, Type::TEXT_ARRAY),
            (&self.digests, Type::BYTEA_ARRAY),
            (&self.ages, Type::FLOAT8_ARRAY),
            (&self.pinned, Type::BOOL_ARRAY),
            (&self.pulls, Type::INT8_ARRAY),
        ];
        client.execute_typed(ADD_IMAGES, &values).await?;
        self.earlier.write(client, ids).await
    }
}

impl EarlierRows {
    fn add(&mut self, image: &ImageToMove, origin: &str, reference: &str) {
        for digest in &image.earlier {
            self.groups.push(id_of(image.key.group));
            self.origins.push(origin.to_owned());
            self.references.push(reference.to_owned());
            self.digests.push(digest.as_bytes().to_vec());
        }
    }

    async fn write(&self, client: &Client, ids: &BTreeMap<String, i64>) -> Result<(), Error> {
        let origins = ids_of(&self.origins, ids);
        let values: [Value<'_>; 4] = [
            (&self.groups, Type::INT8_ARRAY),
            (&origins, Type::INT8_ARRAY),
            (&self.references, Type::TEXT_ARRAY),
            (&self.digests, Type::BYTEA_ARRAY),
        ];
        client.execute_typed(ADD_EARLIER, &values).await.map(drop)
    }
}

fn ids_of(origins: &[String], ids: &BTreeMap<String, i64>) -> Vec<i64> {
    origins.iter().map(|origin| ids.get(origin).copied().unwrap_or_default()).collect()
}
