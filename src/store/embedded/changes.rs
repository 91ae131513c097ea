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
//!   text, `value` is the [`Record`] as stored in the database, byte for byte.
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

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, BufRead, Write as _};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::auth::{random, sha256};
use crate::domain::digest::Digest;
use crate::domain::directory::{Directory, Record, Write};
use crate::domain::id::InstallationId;
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

/// Effect of one write: the new value of a key, or its removal (`None`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: Option<Box<RawValue>>,
}

/// Records by key, as JSON text.
pub(super) type Records = BTreeMap<String, Box<RawValue>>;

/// Content of a file of this format.
#[derive(Debug)]
pub(super) struct History {
    /// The position of the snapshot.
    base: Position,
    /// The running digests after each change since then.
    digests: Vec<Digest>,
    /// The records after the last whole change.
    pub(super) records: Records,
    /// The length of the snapshot with its header and end, in bytes.
    pub(super) snapshot_bytes: u64,
    /// The length of everything whole, in bytes.
    pub(super) whole_bytes: u64,
    /// Content of the file after that.
    pub(super) rest: Rest,
}

/// Content of a file after its last complete change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing: the file is complete.
    Nothing,
    /// One incomplete line with this number of bytes. An interrupted write leaves this (bytes are missing, or are
    /// zero), but so does damage to the last line. Only another record of the number of the last change can tell
    /// the two apart.
    Torn(u64),
    /// Damage that an interrupted write cannot have caused.
    Damaged(String),
}

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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change<'a> {
    number: u64,
    previous: Digest,
    at: Timestamp,
    writes: Cow<'a, [Entry]>,
}

impl Entry {
    /// Returns the entry of a write. Fails if the record cannot be serialised.
    pub(super) fn of(write: &Write) -> Result<Self, StoreError> {
        Ok(match write {
            Write::Put(record) => Self { key: record.key().to_string(), value: Some(to_raw_value(record)?) },
            Write::Remove(key) => Self { key: key.to_string(), value: None },
        })
    }
}

/// Returns the records of a directory as they are written. Fails if one cannot be serialised.
pub(super) fn records_of(directory: &Directory) -> Result<Records, StoreError> {
    directory.records().map(|record| Ok((record.key().to_string(), to_raw_value(&record)?))).collect()
}

/// Returns the directory of these records. Fails if a record is damaged.
pub(super) fn directory_of(records: &Records) -> Result<Directory, StoreError> {
    let records = records.iter().map(|(key, value)| parse(key, value.get().as_bytes()));
    Ok(Directory::from_records(records.collect::<Result<Vec<_>, _>>()?))
}

/// Parses the record stored under this key. Fails if the text is no record, or is one with another key.
pub(super) fn parse(key: &str, value: &[u8]) -> Result<Record, StoreError> {
    let record = serde_json::from_slice::<Record>(value)?;
    if record.key().to_string() == key {
        Ok(record)
    } else {
        Err(damaged(&format!("the record at {key} has another key")))
    }
}

/// Writes the header and the snapshot. Returns their length in bytes. Fails if the target cannot be written.
pub(super) fn write_snapshot(to: &mut impl io::Write, at: Position, records: &Records) -> Result<u64, StoreError> {
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
pub(super) fn write_records(to: &mut impl io::Write, records: &Records) -> Result<(), StoreError> {
    for (key, value) in records {
        writeln!(to, "{{\"key\":{},\"value\":{}}}", serde_json::to_string(key)?, value.get())?;
    }
    Ok(())
}

/// Returns the last line of a snapshot with this number of records, whose lines before have this digest.
pub(super) fn end_of_snapshot(records: usize, digest: Digest) -> String {
    format!("{{\"records\":{records},\"sha256\":\"{digest}\"}}\n")
}

/// A writer that counts and digests the bytes that it passes on.
pub(super) struct Digesting<'a, W: ?Sized> {
    pub(super) to: &'a mut W,
    pub(super) digest: sha256::Hasher,
    pub(super) bytes: u64,
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

/// Returns the version of a file of this format, from its first line. Fails if that line is not a header of this
/// format.
pub(super) fn version_of(first_line: &[u8]) -> Result<u32, StoreError> {
    let header = serde_json::from_slice::<AnyHeader>(first_line).ok().filter(|header| header.format == FORMAT);
    header.map(|header| header.version).ok_or_else(|| damaged("its first line is not one of this format"))
}

/// Returns true if this is the first line of a file of the format with this name.
pub(super) fn is_of(format: &str, first_line: &[u8]) -> bool {
    serde_json::from_slice::<AnyHeader>(first_line).is_ok_and(|header| header.format == format)
}

/// Reads a file of version 2. Fails if not even its snapshot can be used; damage after it is reported in
/// [`History::rest`].
pub(super) fn read(from: impl BufRead) -> Result<History, StoreError> {
    read_up_to(from, None)
}

/// Reads a file as [`read`] does, up to the change with the number `last`.
pub(super) fn read_up_to(from: impl BufRead, last: Option<u64>) -> Result<History, StoreError> {
    let mut lines = Lines { from, line: Vec::new(), number: 0 };
    let mut history = read_snapshot(&mut lines)?;
    while last != Some(history.end().number) && lines.next()? {
        match history.apply(&lines.line) {
            Ok(()) => {}
            Err(broken) => {
                let (number, bytes) = (lines.number, lines.line.len() as u64);
                let is_last = !lines.next()?;
                let torn = is_last && broken == Broken::CHECKSUM;
                history.rest =
                    if torn { Rest::Torn(bytes) } else { Rest::Damaged(format!("line {number}: {}", broken.0)) };
                break;
            }
        }
    }
    Ok(history)
}

/// Returns the position of the snapshot in a file of version 2. The snapshot is verified, the changes are not read.
/// Fails if the snapshot is damaged.
pub(super) fn position_of_snapshot(from: impl BufRead) -> Result<Position, StoreError> {
    let mut lines = Lines { from, line: Vec::new(), number: 0 };
    read_records(&mut lines, |_, _| Ok(())).map(|(position, _)| position)
}

fn read_snapshot(lines: &mut Lines<impl BufRead>) -> Result<History, StoreError> {
    let mut records = Records::new();
    let (base, whole) = read_records(lines, |number, line| {
        let entry = serde_json::from_slice::<Entry>(line);
        let entry = entry.map_err(|error| damaged(&format!("line {number}: {error}")))?;
        let value = entry.value.ok_or_else(|| damaged("a record of the snapshot has no value"))?;
        records.insert(entry.key, value);
        Ok(())
    })?;
    Ok(History { base, digests: Vec::new(), records, snapshot_bytes: whole, whole_bytes: whole, rest: Rest::Nothing })
}

/// Passes each record of the snapshot and its line number to `take`. This happens before the checksum of the
/// snapshot is verified: discard the records if this fails. Returns the position of the snapshot and its length in
/// bytes.
fn read_records(
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

impl History {
    /// Returns the position after the last complete change.
    pub(super) fn end(&self) -> Position {
        let digest = self.digests.last().copied().unwrap_or(self.base.digest);
        Position { number: self.base.number + self.digests.len() as u64, digest, ..self.base }
    }

    /// Returns the running digest after this change; `None` if the change is before the snapshot or after the end.
    pub(super) fn digest_at(&self, number: u64) -> Option<Digest> {
        match number.checked_sub(self.base.number)? {
            0 => Some(self.base.digest),
            nth => self.digests.get(usize::try_from(nth).ok()? - 1).copied(),
        }
    }

    /// Applies the change in this line. Fails, changing nothing, if the line is incomplete or does not follow the
    /// previous change.
    fn apply(&mut self, line: &[u8]) -> Result<(), Broken> {
        let length = line.len().checked_sub(end_of_change(self.base.digest).len()).ok_or(Broken::CHECKSUM)?;
        let (body, end) = line.split_at(length);
        let digest = sha256::digest(body);
        if end != end_of_change(digest).as_bytes() {
            return Err(Broken::CHECKSUM);
        }
        let change = serde_json::from_slice::<Change<'_>>(&[body, b"}"].concat());
        let change = change.map_err(|_| Broken("it is not a change"))?;
        let before = self.end();
        if (change.number, change.previous) != (before.number + 1, before.digest) {
            return Err(Broken("it does not follow the change before it"));
        }
        for Entry { key, value } in change.writes.into_owned() {
            match value {
                Some(value) => drop(self.records.insert(key, value)),
                None => drop(self.records.remove(&key)),
            }
        }
        self.digests.push(digest);
        self.whole_bytes += line.len() as u64;
        Ok(())
    }
}

/// The problem with the line of a change.
#[derive(PartialEq, Eq)]
struct Broken(&'static str);

impl Broken {
    /// The only problem that an interrupted write can cause.
    const CHECKSUM: Self = Self("its checksum does not match");
}

/// Reader of lines, including their line ends.
pub(super) struct Lines<R> {
    pub(super) from: R,
    pub(super) line: Vec<u8>,
    /// Number of the line, from 1.
    pub(super) number: u64,
}

impl<R: BufRead> Lines<R> {
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
