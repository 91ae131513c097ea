//! Images of a store of another kind, as rows of the index of a fleet.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use super::database::Value;
use super::index::additions::age;
use super::index::id_of;
use crate::store::embedded::index::ImageToMove;

const ADD_IMAGES: &str = "INSERT INTO image (group_id, origin, reference, digest, pulled_at, pinned) \
    SELECT group_id, origin, reference, digest, now() - make_interval(secs => age), pinned \
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bytea[], $5::float8[], $6::boolean[]) \
    AS new (group_id, origin, reference, digest, age, pinned) ON CONFLICT DO NOTHING";

/// The columns of images.
#[derive(Default)]
pub(super) struct ImageRows {
    groups: Vec<i64>,
    origins: Vec<String>,
    references: Vec<String>,
    digests: Vec<Vec<u8>>,
    ages: Vec<f64>,
    pinned: Vec<bool>,
}

impl ImageRows {
    pub(super) fn add(&mut self, image: &ImageToMove, origin: String, reference: String) {
        self.groups.push(id_of(image.key.group));
        self.origins.push(origin);
        self.references.push(reference);
        self.digests.push(image.entry.digest.as_bytes().to_vec());
        self.ages.push(age(image.last_pulled_at));
        self.pinned.push(image.pinned);
    }

    pub(super) async fn write(&self, client: &Client, ids: &BTreeMap<String, i64>) -> Result<u64, Error> {
        let origins: Vec<i64> =
            self.origins.iter().map(|origin| ids.get(origin).copied().unwrap_or_default()).collect();
        let values: [Value<'_>; 6] = [
            (&self.groups, Type::INT8_ARRAY),
            (&origins, Type::INT8_ARRAY),
            (&self.references, Type::TEXT_ARRAY),
            (&self.digests, Type::BYTEA_ARRAY),
            (&self.ages, Type::FLOAT8_ARRAY),
            (&self.pinned, Type::BOOL_ARRAY),
        ];
        client.execute_typed(ADD_IMAGES, &values).await
    }
}
