//! The format of `identity.journal` and `identity.jsonl`: a snapshot of all identities, and the changes that came after it. It is
//! stable: what backs up, follows or audits a service may read it.
//!
//! # Version 2
//!
//! Lines of JSON, in UTF-8, each ended by one `\n`, without blanks between tokens, the members in the order given here:
//!
//! ```text
//! {"format":"dependency-proxy identities","version":2,"number":41,"digest":"sha256:<hex>","installation":"<32 hex digits>"}
//! {"key":"service","value":{"record":"service",...}}
//! {"key":"user/1","value":{"record":"user",...}}
//! {"records":2,"sha256":"sha256:<hex>"}
//! {"number":42,"previous":"sha256:<hex>","at":"2026-01-31T09:00:00Z","writes":[{"key":"token/7","value":null}],"digest":"sha256:<hex>"}
//! ```
//!
//! - The *header* names the format and the [`Position`] of the snapshot: the number of the last change in it, and the running digest
//!   after that change. A new history (an empty store, a store from before there was a journal, a restore) begins with a random digest, so
//!   that two histories never agree by chance.
//! - The *snapshot* is a line a record. `key` is [`RecordKey`](crate::domain::directory::RecordKey) as text, `value` the
//!   [`Record`] as it is kept in the database, byte for byte.
//! - The *end of the snapshot* counts the records; `sha256` is the SHA-256 of all bytes of the file before this line.
//! - A *change* is one line, and one commit: several changes that were acknowledged together may share it. `number` is one more than
//!   that of the change before it, `previous` the running digest before it, `at` the time of the commit (RFC 3339). `writes` are carried out in
//!   their order, all or none: a `value` replaces the record of that `key`, `null` removes it. `digest`, always the last member, is the
//!   SHA-256 of all bytes of the line before `,"digest":`. As `previous` is among them it is the running digest after this change, and the
//!   checksum of the line.
//!
//! An export has no changes. A reader refuses another `version`, members that it does not know, and whatever does not match its digest.
//! Only the end of a file may be incomplete, see [`Rest::Torn`]: a process or a machine can stop in the middle of an append.
//!
//! Version 1, of exports alone, had no positions: header, bare records, and a last line with the SHA-256 of those before it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, BufRead, Write as _};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::error::StoreError;
use crate::auth::{random, sha256};
use crate::domain::digest::Digest;
use crate::domain::directory::{Directory, Record, Write};
use crate::domain::id::InstallationId;

/// A place in the history of changes. The digest tells two histories apart in which the number is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Position {
    /// How many changes there were.
    pub(super) number: u64,
    /// The running digest after the last of them.
    pub(super) digest: Digest,
    /// Whose history it is; none in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) installation: Option<InstallationId>,
}

impl Position {
    /// The begin of a new history of a new installation, whose changes are numbered from here.
    pub(super) fn of_new_history(number: u64) -> Self {
        let installation = Some(InstallationId::from_random(random::bytes()));
        Self { number, digest: Digest::from_bytes(random::bytes()), installation }
    }

    /// The same as one of this installation, if that is known.
    pub(super) fn of_installation(self, installation: Option<InstallationId>) -> Self {
        Self { installation: installation.or(self.installation), ..self }
    }

    /// Whether both are after the same change.
    pub(super) fn is_at(&self, other: &Self) -> bool {
        (self.number, self.digest) == (other.number, other.digest)
    }
}

/// What one write does: a value for a key, or none.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: Option<Box<RawValue>>,
}

/// Records by key, as text.
pub(super) type Records = BTreeMap<String, Box<RawValue>>;

/// What a file of this format holds.
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
    /// What follows it.
    pub(super) rest: Rest,
}

/// What follows the last whole change of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing: it is complete.
    Nothing,
    /// One line that is not whole, of so many bytes. A write that was cut short leaves this (missing bytes, or zeros instead of them), but so
    /// does damage to the last line: only another witness of the number of the last change can tell.
    Torn(u64),
    /// More than a write that was cut short can have left.
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

/// What all versions of the header have.
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
    /// The entry of a write.
    pub(super) fn of(write: &Write) -> Result<Self, StoreError> {
        Ok(match write {
            Write::Put(record) => Self { key: record.key().to_string(), value: Some(to_raw_value(record)?) },
            Write::Remove(key) => Self { key: key.to_string(), value: None },
        })
    }
}

/// The records of a directory, as they are written.
pub(super) fn records_of(directory: &Directory) -> Result<Records, StoreError> {
    directory.records().map(|record| Ok((record.key().to_string(), to_raw_value(&record)?))).collect()
}

/// The directory of these records.
pub(super) fn directory_of(records: &Records) -> Result<Directory, StoreError> {
    let records = records.iter().map(|(key, value)| parse(key, value.get().as_bytes()));
    Ok(Directory::from_records(records.collect::<Result<Vec<_>, _>>()?))
}

/// The record that is kept as this text under this key.
pub(super) fn parse(key: &str, value: &[u8]) -> Result<Record, StoreError> {
    let record = serde_json::from_slice::<Record>(value)?;
    if record.key().to_string() == key { Ok(record) } else { Err(damaged(&format!("another record stands at {key}"))) }
}

/// Writes the header and a snapshot. Returns their length in bytes.
pub(super) fn write_snapshot(to: &mut impl io::Write, at: Position, records: &Records) -> Result<u64, StoreError> {
    let mut to = Digesting { to, digest: sha256::Hasher::default(), bytes: 0 };
    let Position { number, digest, installation } = at;
    let header = Header { format: FORMAT.to_owned(), version: VERSION, number, digest, installation };
    writeln!(to, "{}", serde_json::to_string(&header)?)?;
    for (key, value) in records {
        writeln!(to, "{{\"key\":{},\"value\":{}}}", serde_json::to_string(key)?, value.get())?;
    }
    let end = end_of_snapshot(records.len(), to.digest.clone().finish());
    to.write_all(end.as_bytes())?;
    Ok(to.bytes)
}

fn end_of_snapshot(records: usize, digest: Digest) -> String {
    format!("{{\"records\":{records},\"sha256\":\"{digest}\"}}\n")
}

/// Passes bytes on, and digests them.
struct Digesting<'a, W> {
    to: &'a mut W,
    digest: sha256::Hasher,
    bytes: u64,
}

impl<W: io::Write> io::Write for Digesting<'_, W> {
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

/// The line of the change after `position`, and the position after it.
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

/// The version that a file of this format has, by its first line.
pub(super) fn version_of(first_line: &[u8]) -> Result<u32, StoreError> {
    let header = serde_json::from_slice::<AnyHeader>(first_line).ok().filter(|header| header.format == FORMAT);
    header.map(|header| header.version).ok_or_else(|| damaged("its first line is not one of this format"))
}

/// Reads a file of version 2. An error means that not even its snapshot can be used.
pub(super) fn read(from: impl BufRead) -> Result<History, StoreError> {
    read_up_to(from, None)
}

/// The same, and nothing that follows the change of this number.
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

/// The position of the snapshot in a file of version 2, all of which is verified; what follows is not read.
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

/// Gives each record of the snapshot, with the number of its line, to `take`, before it is certain that the snapshot is whole. Returns its
/// position and its length in bytes if it is.
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
            return Err(damaged("it is cut short within its snapshot"));
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
    /// The position after the last whole change.
    pub(super) fn end(&self) -> Position {
        let digest = self.digests.last().copied().unwrap_or(self.base.digest);
        Position { number: self.base.number + self.digests.len() as u64, digest, ..self.base }
    }

    /// The running digest after this change; none where that is before the snapshot or after the end.
    pub(super) fn digest_at(&self, number: u64) -> Option<Digest> {
        match number.checked_sub(self.base.number)? {
            0 => Some(self.base.digest),
            nth => self.digests.get(usize::try_from(nth).ok()? - 1).copied(),
        }
    }

    /// Carries out the change of this line, if it is the whole line that comes next.
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

/// What is wrong with the line of a change.
#[derive(PartialEq, Eq)]
struct Broken(&'static str);

impl Broken {
    /// All that a write that was cut short can do to a line.
    const CHECKSUM: Self = Self("its checksum does not match");
}

/// Lines one after the other, with their ends.
struct Lines<R> {
    from: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// Whether there is one more.
    fn next(&mut self) -> Result<bool, StoreError> {
        self.line.clear();
        self.number += 1;
        Ok(self.from.read_until(b'\n', &mut self.line)? > 0)
    }
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(what.to_owned())
}

#[cfg(test)]
mod tests;
