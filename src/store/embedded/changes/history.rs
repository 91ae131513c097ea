//! The history in a file: the snapshot and the changes after it, as far as they are whole.

use std::io::BufRead;

use super::snapshot::read_records;
use super::{Change, Entry, Lines, Position, Records, damaged, end_of_change};
use crate::auth::sha256;
use crate::domain::digest::Digest;
use crate::store::error::StoreError;

/// Content of a file of this format.
#[derive(Debug)]
pub(in crate::store::embedded) struct History {
    /// The position of the snapshot.
    base: Position,
    /// The running digests after each change since then.
    digests: Vec<Digest>,
    /// The records after the last whole change.
    pub(in crate::store::embedded) records: Records,
    /// The length of the snapshot with its header and end, in bytes.
    pub(in crate::store::embedded) snapshot_bytes: u64,
    /// The length of everything whole, in bytes.
    pub(in crate::store::embedded) whole_bytes: u64,
    /// Content of the file after that.
    pub(in crate::store::embedded) rest: Rest,
}

/// Content of a file after its last complete change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store::embedded) enum Rest {
    /// Nothing: the file is complete.
    Nothing,
    /// One incomplete line with this number of bytes. An interrupted write leaves this (bytes are missing, or are
    /// zero), but so does damage to the last line. Only another record of the number of the last change can distinguish
    /// the two.
    Torn(u64),
    /// Damage that an interrupted write cannot have caused.
    Damaged(String),
}

/// Reads a file of version 2. Fails if not even its snapshot can be used; damage after it is reported in
/// [`History::rest`].
pub(in crate::store::embedded) fn read(from: impl BufRead) -> Result<History, StoreError> {
    read_up_to(from, None)
}

/// Reads a file as [`read`] does, up to the change with the number `last`.
pub(in crate::store::embedded) fn read_up_to(from: impl BufRead, last: Option<u64>) -> Result<History, StoreError> {
    let mut lines = Lines::new(from);
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

impl History {
    /// Returns the position after the last complete change.
    pub(in crate::store::embedded) fn end(&self) -> Position {
        let digest = self.digests.last().copied().unwrap_or(self.base.digest);
        Position { number: self.base.number + self.digests.len() as u64, digest, ..self.base }
    }

    /// Returns the running digest after this change; `None` if the change is before the snapshot or after the end.
    pub(in crate::store::embedded) fn digest_at(&self, number: u64) -> Option<Digest> {
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
