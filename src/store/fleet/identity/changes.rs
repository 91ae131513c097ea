//! Changes and records as rows and texts.

use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, Error, IsolationLevel, Row};

use super::Change;
use crate::domain::directory::{Directory, Version};
use crate::store::entry::{Entry, parse};
use crate::store::error::StoreError;
use crate::store::snapshot::Snapshot;

/// A change as the change log and the table `change` have it.
#[derive(Serialize, Deserialize)]
pub(super) struct ChangeText {
    pub(super) version: Version,
    pub(super) writes: Vec<Entry>,
}

pub(super) const RECORDS: &str = "SELECT key, value::text FROM record";

/// Reads the last change, its history, and all records.
pub(super) async fn all(client: &mut Client) -> Result<(Version, String, Vec<Row>), Error> {
    // One snapshot for both statements.
    let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
    let transaction = transaction.read_only(true).start().await?;
    let fence = transaction.query_typed("SELECT version, history FROM fence", &[]).await?;
    let rows = transaction.query_typed(RECORDS, &[]).await?;
    transaction.commit().await?;
    let (version, history) = fence.first().map_or_else(Default::default, |row| (unsigned(row.get(0)), row.get(1)));
    Ok((version, history, rows))
}

/// Returns the directory of these records.
pub(super) fn directory_of(rows: &[Row]) -> Result<Directory, StoreError> {
    let records = rows.iter().map(|row| parse(row.get(0), row.get::<_, &str>(1).as_bytes()));
    Ok(Directory::from_records(records.collect::<Result<Vec<_>, _>>()?))
}

/// Parses a change of the change log or of the table `change`.
///
/// # Errors
///
/// Fails if the text is not one.
pub(in crate::store::fleet) fn change_of(text: &str) -> Result<Change, StoreError> {
    let ChangeText { version, writes } = serde_json::from_str(text)?;
    Ok(Change { version, writes: writes.iter().map(Entry::write).collect::<Result<_, _>>()? })
}

/// Returns the changes if they lead from the known one to the newest without a gap.
pub(super) fn complete(known: Version, newest: Version, changes: Vec<Change>) -> Option<Vec<Change>> {
    let mut last = known;
    for change in &changes {
        if change.version != last.next() {
            return None;
        }
        last = change.version;
    }
    // A statement that ran after the one for the newest may have seen a later one.
    (known <= newest && newest <= last).then_some(changes)
}

/// Returns a number as the database has it.
pub(in crate::store::fleet) fn signed(version: Version) -> i64 {
    version.0.cast_signed()
}

/// Returns the version of a number in the database.
pub(super) fn unsigned(number: i64) -> Version {
    Version(number.cast_unsigned())
}

impl Snapshot {
    /// Applies changes that follow the last one.
    pub fn follow(&mut self, changes: &[Change]) {
        for change in changes {
            self.directory.apply(&change.writes);
            self.version = change.version;
        }
    }
}
