//! The snapshot at the beginning of a file: its header, its records and its end.

use std::io::{self, BufRead, Write as _};

use serde::{Deserialize, Serialize};

use super::{Lines, Position, Records, damaged};
use crate::auth::sha256;
use crate::domain::digest::Digest;
use crate::domain::id::InstallationId;
use crate::store::error::StoreError;

const FORMAT: &str = "dependency-proxy identities";
const VERSION: u32 = 2;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    version: u32,
    number: u64,
    digest: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    installation: Option<InstallationId>,
}

/// The members that the headers of all versions have.
#[derive(Deserialize)]
struct AnyHeader {
    format: String,
    version: u32,
}

/// Writes the header and the snapshot. Returns their length in bytes. Fails if the target cannot be written.
pub(in crate::store::embedded) fn write_snapshot(
    to: &mut impl io::Write,
    at: Position,
    records: &Records,
) -> Result<u64, StoreError> {
    let mut to = Digesting { to, digest: sha256::Hasher::default(), bytes: 0 };
    let Position { number, digest, installation } = at;
    let header = Header { format: FORMAT.to_owned(), version: VERSION, number, digest, installation };
    writeln!(to, "{}", serde_json::to_string(&header)?)?;
    write_records(&mut to, records)?;
    let end = end_of_snapshot(records.len(), to.digest.clone().finish());
    to.write_all(end.as_bytes())?;
    Ok(to.bytes)
}

/// Writes a line for each record.
pub(in crate::store::embedded) fn write_records(to: &mut impl io::Write, records: &Records) -> Result<(), StoreError> {
    for (key, value) in records {
        writeln!(to, "{{\"key\":{},\"value\":{}}}", serde_json::to_string(key)?, value.get())?;
    }
    Ok(())
}

/// Returns the last line of a snapshot with this number of records, whose lines before have this digest.
pub(in crate::store::embedded) fn end_of_snapshot(records: usize, digest: Digest) -> String {
    format!("{{\"records\":{records},\"sha256\":\"{digest}\"}}\n")
}

/// A writer that counts and digests the bytes that it passes on.
pub(in crate::store::embedded) struct Digesting<'a, W: ?Sized> {
    pub(in crate::store::embedded) to: &'a mut W,
    pub(in crate::store::embedded) digest: sha256::Hasher,
    pub(in crate::store::embedded) bytes: u64,
}

impl<W: io::Write + ?Sized> io::Write for Digesting<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.digest.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Returns the version of a file of this format, from its first line. Fails if that line is not a header of this
/// format.
pub(in crate::store::embedded) fn version_of(first_line: &[u8]) -> Result<u32, StoreError> {
    let header = serde_json::from_slice::<AnyHeader>(first_line).ok().filter(|header| header.format == FORMAT);
    header.map(|header| header.version).ok_or_else(|| damaged("its first line is not one of this format"))
}

/// Returns true if this is the first line of a file of the format with this name.
pub(in crate::store::embedded) fn is_of(format: &str, first_line: &[u8]) -> bool {
    serde_json::from_slice::<AnyHeader>(first_line).is_ok_and(|header| header.format == format)
}

/// Returns the position of the snapshot in a file of version 2. The snapshot is verified, the changes are not read.
/// Fails if the snapshot is damaged.
pub(in crate::store::embedded) fn position_of_snapshot(from: impl BufRead) -> Result<Position, StoreError> {
    read_records(&mut Lines::new(from), |_, _| Ok(())).map(|(position, _)| position)
}

/// Passes each record of the snapshot and its line number to `take`. This happens before the checksum of the
/// snapshot is verified: discard the records if this fails. Returns the position of the snapshot and its length in
/// bytes.
pub(super) fn read_records(
    lines: &mut Lines<impl BufRead>,
    mut take: impl FnMut(u64, &[u8]) -> Result<(), StoreError>,
) -> Result<(Position, u64), StoreError> {
    let (mut digest, mut bytes, mut records) = (sha256::Hasher::default(), 0, 0);
    lines.next()?;
    let version = version_of(&lines.line)?;
    if version != VERSION {
        return Err(damaged(&format!("it has version {version} of the format, which this program does not know")));
    }
    let header: Header = serde_json::from_slice(&lines.line)?;
    while !lines.line.starts_with(b"{\"records\":") {
        digest.update(&lines.line);
        bytes += lines.line.len() as u64;
        if !lines.next()? {
            return Err(damaged("it ends within its snapshot"));
        }
        if lines.line.starts_with(b"{\"key\":") {
            take(lines.number, &lines.line)?;
            records += 1;
        }
    }
    if lines.line != end_of_snapshot(records, digest.finish()).as_bytes() {
        return Err(damaged("the checksum of its snapshot does not match"));
    }
    let Header { number, digest, installation, .. } = header;
    Ok((Position { number, digest, installation }, bytes + lines.line.len() as u64))
}
