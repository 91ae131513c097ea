//! Downloads that replicas share: one replica leads, which means that it receives the blob from upstream, and the
//! others receive it from that one. A lead ends with the replica's lease, or where another has found that it does not
//! respond.

use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::database::{Database, work};
use super::replicas::{Replica, replica_of};
use crate::auth::sha256;
use crate::domain::deadlines;
use crate::domain::digest::Digest;
use crate::domain::id::ReplicaId;
use crate::domain::origin::Origin;
use crate::store::error::StoreError;

/// The shared downloads, as one replica sees them. Cheap to clone.
#[derive(Clone)]
pub struct Claims {
    database: Database,
    replica: ReplicaId,
}

/// The replica that sends a request upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// This replica.
    Lead {
        /// Number of the lead: a later one replaces it.
        epoch: i64,
    },
    /// Another one.
    Follow(Leader),
}

/// A replica that receives a blob, or has received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The replica.
    pub replica: Replica,
    /// Number of its lead.
    pub epoch: i64,
    /// True once it has all of the blob.
    pub complete: bool,
}

// The lease belongs to the replica, not to the download: replicas record every second that they are alive.
const CLAIM: &str = "INSERT INTO claim (key, replica, epoch) VALUES ($1, $2, 1) \
    ON CONFLICT (key) DO UPDATE SET replica = excluded.replica, epoch = claim.epoch + 1, complete = false, at = now() \
    WHERE claim.replica = $2 OR claim.epoch = $3 \
    OR NOT EXISTS (SELECT FROM replica WHERE id = claim.replica AND seen_at > now() - interval '3 seconds') \
    RETURNING epoch";
const LEADER: &str = "SELECT replica.id, replica.address, replica.bound_ms, claim.epoch, claim.complete FROM claim \
    JOIN replica ON replica.id = claim.replica WHERE claim.key = $1";
const COMPLETE: &str = "UPDATE claim SET complete = true, at = now() WHERE key = $1 AND replica = $2 AND epoch = $3";
const RELEASE: &str = "DELETE FROM claim WHERE key = $1 AND replica = $2 AND epoch = $3";
const FORGET: &str = "DELETE FROM claim WHERE at < now() - interval '1 day'";

/// Maximum number of attempts, if a row is deleted between two statements.
const MAX_CLAIM_ATTEMPTS: usize = 3;

impl Claims {
    /// Returns the shared downloads in this database for this replica.
    pub fn new(database: Database, replica: ReplicaId) -> Self {
        Self { database, replica }
    }

    /// Returns the replica that requests the content with this key from upstream: this one, if no other does. `failed`
    /// is the number of a lead whose replica does not respond: this replica takes its place, unless another one has
    /// done so. Returns `None` if the database does not respond within 500 ms: the replica requests it for itself.
    pub async fn claim(&self, key: &Digest, failed: Option<i64>) -> Option<Claim> {
        let (claims, key) = (self.clone(), *key);
        let (sender, receiver) = oneshot::channel();
        self.database.runtime().spawn(async move {
            let claimed = claims.claim_or_error(&key, failed).await.ok();
            // The caller has left: without a release, others would follow a replica that does not lead.
            if let Err(Some(Claim::Lead { epoch })) = sender.send(claimed) {
                claims.release(&key, epoch).await.ok();
            }
        });
        timeout(deadlines::CLAIM, receiver).await.ok()?.ok()?
    }

    async fn claim_or_error(&self, key: &Digest, failed: Option<i64>) -> Result<Claim, StoreError> {
        for _ in 0..MAX_CLAIM_ATTEMPTS {
            if let Some(epoch) = self.lead(key, failed.unwrap_or(-1)).await? {
                return Ok(Claim::Lead { epoch });
            }
            let key = key.to_string();
            let leader = work(move |client| {
                Box::pin(async move { client.query_typed_opt(LEADER, &[(&key, Type::TEXT)]).await })
            });
            if let Some(row) = self.database.run(leader).await? {
                return Ok(Claim::Follow(leader_of(&row)?));
            }
        }
        self.lead(key, failed.unwrap_or(-1)).await?.map_or_else(
            || Err(StoreError::Damaged("a shared download has no leader".to_owned())),
            |epoch| Ok(Claim::Lead { epoch }),
        )
    }

    async fn lead(&self, key: &Digest, failed: i64) -> Result<Option<i64>, StoreError> {
        let (key, replica) = (key.to_string(), self.replica.to_string());
        let claim = work(move |client| {
            Box::pin(async move {
                let values = [(&key as _, Type::TEXT), (&replica as _, Type::TEXT), (&failed as _, Type::INT8)];
                client.query_typed_opt(CLAIM, &values).await
            })
        });
        Ok(self.database.run(claim).await?.map(|row| row.get(0)))
    }

    /// Records that this replica has all of the blob.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn complete(&self, key: &Digest, epoch: i64) -> Result<(), StoreError> {
        self.change(COMPLETE, key, epoch).await
    }

    /// Ends the lead of this replica, which could not receive the blob.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn release(&self, key: &Digest, epoch: i64) -> Result<(), StoreError> {
        self.change(RELEASE, key, epoch).await
    }

    /// Forgets downloads of days before.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn forget_old(&self) -> Result<(), StoreError> {
        let forget = work(|client| Box::pin(async move { client.execute_typed(FORGET, &[]).await }));
        self.database.run(forget).await.map(drop)
    }

    async fn change(&self, statement: &'static str, key: &Digest, epoch: i64) -> Result<(), StoreError> {
        let (key, replica) = (key.to_string(), self.replica.to_string());
        let change = work(move |client| {
            Box::pin(async move {
                let values = [(&key as _, Type::TEXT), (&replica as _, Type::TEXT), (&epoch as _, Type::INT8)];
                client.execute_typed(statement, &values).await
            })
        });
        self.database.run(change).await.map(drop)
    }
}

/// Returns the key of a blob in the table of shared downloads.
pub fn key_of_blob(origin: &Origin, digest: &Digest) -> Digest {
    sha256::digest(format!("{}\n{digest}", text_of(origin)).as_bytes())
}

/// Returns the key of a manifest, which a tag or digest names.
pub fn key_of_manifest(origin: &Origin, name: &str) -> Digest {
    sha256::digest(format!("manifest\n{}\n{name}", text_of(origin)).as_bytes())
}

fn text_of(origin: &Origin) -> String {
    // It can always be written as JSON; the digest of a blob alone would still separate blobs.
    serde_json::to_string(origin).unwrap_or_default()
}

impl Leader {
    /// Returns its id and its address.
    pub fn at(&self) -> (ReplicaId, &str) {
        (self.replica.id, &self.replica.address)
    }
}

fn leader_of(row: &Row) -> Result<Leader, StoreError> {
    Ok(Leader { replica: replica_of(row)?, epoch: row.get(3), complete: row.get(4) })
}
