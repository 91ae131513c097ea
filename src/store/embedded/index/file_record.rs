//! The format of the records of stored files. A record of another length counts as none; one of the same length is read
//! as it is, so that a change of the format needs another length.

use jiff::Timestamp;

use crate::domain::digest::Digest;
use crate::domain::eviction::Use;
use crate::store::usage::{FileKind, StoredFile};

/// Length of a record in bytes: kind, size, reads, priority, and time of the last read.
const RECORD_BYTES: usize = 1 + 8 + 4 + 8 + 8;

/// The record of a file.
#[derive(Clone, Copy)]
pub(super) struct FileRecord {
    pub(super) kind: FileKind,
    pub(super) usage: Use,
    /// Time of the last read.
    pub(super) read_at: Timestamp,
}

/// Returns the bytes of a record.
pub(super) fn encoded(FileRecord { kind, usage, read_at }: FileRecord) -> Vec<u8> {
    let kind = match kind {
        FileKind::Manifest => 0,
        FileKind::Blob => 1,
    };
    let mut record = Vec::with_capacity(RECORD_BYTES);
    record.push(kind);
    record.extend(usage.size.to_be_bytes());
    record.extend(usage.reads.to_be_bytes());
    record.extend(usage.priority.to_be_bytes());
    record.extend(read_at.as_second().to_be_bytes());
    record
}

/// Returns `None` for a record of another format, which is replaced when the file is found.
pub(super) fn decoded(record: &[u8]) -> Option<FileRecord> {
    let record: &[u8; RECORD_BYTES] = record.try_into().ok()?;
    let kind = if record[0] == 0 { FileKind::Manifest } else { FileKind::Blob };
    let size = u64::from_be_bytes(record[1..9].try_into().ok()?);
    let reads = u32::from_be_bytes(record[9..13].try_into().ok()?);
    let priority = f64::from_be_bytes(record[13..21].try_into().ok()?);
    let read_at = Timestamp::from_second(i64::from_be_bytes(record[21..].try_into().ok()?)).ok()?;
    Some(FileRecord { kind, usage: Use { size, reads, priority }, read_at })
}

/// Returns the use in a record.
pub(super) fn usage(record: &[u8]) -> Option<Use> {
    decoded(record).map(|record| record.usage)
}

/// Returns the time of the last read in a record.
pub(super) fn read_at(record: &[u8]) -> Option<Timestamp> {
    decoded(record).map(|record| record.read_at)
}

/// Returns the kind and length in a record.
pub(super) fn stored(record: &[u8]) -> Option<StoredFile> {
    decoded(record).map(|FileRecord { kind, usage, .. }| StoredFile { kind, size: usage.size })
}

/// Returns the digest in the key of a record.
pub(super) fn digest_of(key: &[u8]) -> Option<Digest> {
    Some(Digest::from_bytes(key.try_into().ok()?))
}
