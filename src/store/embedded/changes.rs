//! Format of `identity.journal` and `identity.jsonl`: a snapshot of all identities, followed by the changes made
//! since. The format is stable, so that tools for backups, replication and audits may read it.
//!
//! # Version 2
//!
//! The file is UTF-8 text. Each line is one JSON document and ends with one `\n`. There is no whitespace between
//! tokens, and members have the order shown here:
//!
//! ```text
//! {"format":"dependency-proxy identities","version":2,"number":41,"digest":"<digest>","installation":"<hex>"}
//! {"key":"service","value":{"record":"service",...}}
//! {"key":"user/1","value":{"record":"user",...}}
//! {"records":2,"sha256":"<digest>"}
//! {"number":42,"previous":"<digest>","at":"<time>","writes":[{"key":"token/7","value":null}],"digest":"<digest>"}
//! ```
//!
//! `<digest>` is `sha256:` with 64 hexadecimal digits; the installation has 32 hexadecimal digits.
//!
//! - The *header* names the format and the [`Position`] of the snapshot: the number of the last change in it, and
//!   the running digest after that change. A new history (an empty store, a store without a journal from an earlier
//!   version, a restore) begins with a random digest, so that two histories never agree by chance.
//! - The *snapshot* has one line per record. `key` is the [`RecordKey`](crate::domain::directory::RecordKey) as
//!   text, `value` is the [`Record`](crate::domain::directory::Record) as stored in the database, byte for byte. The
//!   key `event/<number>` is that of an audit [event](crate::domain::audit::Event), which the change that it is about
//!   has written.
//! - The *end of the snapshot* states the number of records; `sha256` is the SHA-256 of all bytes of the file
//!   before this line.
//! - A *change* is one line and one commit; several changes that were acknowledged together may share it. `number`
//!   is the number of the preceding change plus one, `previous` is the running digest before the change, `at` is
//!   the time of the commit (RFC 3339). `writes` are applied in order, all or none: a `value` replaces the record
//!   of that `key`, `null` removes it. `digest`, always the last member, is the SHA-256 of all bytes of the line
//!   before `,"digest":`. Because these include `previous`, it is both the running digest after this change and the
//!   checksum of the line.
//!
//! An export contains no changes. A reader rejects another `version`, unknown members, and everything that does not
//! match its digest. Only the end of a file may be incomplete, see [`Rest::Torn`]: a process or machine can stop in
//! the middle of an append.
//!
//! Version 1, used for exports only, had no positions: a header, bare records, and a last line with the SHA-256 of
//! the lines before it.

mod history;
mod snapshot;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::BufRead;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

pub(super) use self::history::{History, Rest, read, read_up_to};
pub(super) use self::snapshot::{
    Digesting, end_of_snapshot, is_of, position_of_snapshot, version_of, write_records, write_snapshot,
};
use super::event_key::is_key;
use crate::auth::{random, sha256};
use crate::domain::digest::Digest;
use crate::domain::directory::Directory;
use crate::domain::id::InstallationId;
pub(super) use crate::store::entry::{Entry, parse};
use crate::store::error::StoreError;

/// A position in the history of changes. The digest distinguishes histories that have the same number of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Position {
    /// Number of changes so far.
    pub(super) number: u64,
    /// The running digest after the last of them.
    pub(super) digest: Digest,
    /// The installation that the history belongs to; `None` in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) installation: Option<InstallationId>,
}

impl Position {
    /// Returns the start of a new history of a new installation, whose changes are numbered from `number` on.
    pub(super) fn of_new_history(number: u64) -> Self {
        let installation = Some(InstallationId::from_random(random::bytes()));
        Self { number, digest: Digest::from_bytes(random::bytes()), installation }
    }

    /// Returns the same position with this installation, if one is given.
    pub(super) fn of_installation(self, installation: Option<InstallationId>) -> Self {
        Self { installation: installation.or(self.installation), ..self }
    }

    /// Returns true if both positions follow the same change. Installations are not compared.
    pub(super) fn is_at(&self, other: &Self) -> bool {
        (self.number, self.digest) == (other.number, other.digest)
    }
}

/// Records by key, as JSON text.
pub(super) type Records = BTreeMap<String, Box<RawValue>>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change<'a> {
    number: u64,
    previous: Digest,
    at: Timestamp,
    writes: Cow<'a, [Entry]>,
}

/// Returns the records of a directory as they are written. Fails if one cannot be serialised.
pub(super) fn records_of(directory: &Directory) -> Result<Records, StoreError> {
    directory.records().map(|record| Ok((record.key().to_string(), to_raw_value(&record)?))).collect()
}

/// Returns the directory of these records, without events. Fails if a record is damaged.
pub(super) fn directory_of(records: &Records) -> Result<Directory, StoreError> {
    let records = records.iter().filter(|(key, _)| !is_key(key));
    let records = records.map(|(key, value)| parse(key, value.get().as_bytes()));
    Ok(Directory::from_records(records.collect::<Result<Vec<_>, _>>()?))
}

/// Returns the events among these records.
pub(super) fn events_in(mut records: Records) -> Records {
    records.retain(|key, _| is_key(key));
    records
}

/// Returns the line of the change that follows `position`, and the position after the change. Fails if the change
/// cannot be serialised.
pub(super) fn line_of(position: Position, at: Timestamp, writes: &[Entry]) -> Result<(String, Position), StoreError> {
    let number = position.number + 1;
    let mut line = serde_json::to_string(&Change { number, previous: position.digest, at, writes: writes.into() })?;
    line.truncate(line.len() - 1);
    let digest = sha256::digest(line.as_bytes());
    line.push_str(&end_of_change(digest));
    Ok((line, Position { number, digest, ..position }))
}

fn end_of_change(digest: Digest) -> String {
    format!(",\"digest\":\"{digest}\"}}\n")
}

/// Reader of lines, including their line ends.
pub(super) struct Lines<R> {
    from: R,
    pub(super) line: Vec<u8>,
    /// Number of the line, from 1.
    pub(super) number: u64,
}

impl<R: BufRead> Lines<R> {
    /// Creates a reader before the first line.
    pub(super) fn new(from: R) -> Self {
        Self { from, line: Vec::new(), number: 0 }
    }

    /// Reads the next line. Returns false at the end of the file. Fails if the file cannot be read.
    pub(super) fn next(&mut self) -> Result<bool, StoreError> {
        self.line.clear();
        self.number += 1;
        Ok(self.from.read_until(b'\n', &mut self.line)? > 0)
    }
}

/// Returns the error for content that is not what was written.
pub(super) fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(what.to_owned())
}

#[cfg(test)]
mod tests;
