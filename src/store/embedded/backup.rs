//! Backups: one file with all identities, the settings that the operator has chosen, and, if wanted, the signing keys
//! and other secrets. It is made from the [journal](super::journal), also while a service appends to it.
//!
//! # Version 1
//!
//! The file is UTF-8 text. Each line is one JSON document and ends with one `\n`:
//!
//! ```text
//! {"format":"dependency-proxy backup","version":1,"program":"0.1.0","at":"<time>","number":41,"installation":"<hex>"}
//! {"setting":["server","listen"],"value":"0.0.0.0:5050"}
//! {"setting":["upstreams","docker.io","password"],"secret":null,"file":"/etc/dependency-proxy/robot"}
//! {"signing_keys":{"keys":[{"kid":"<hex>","secret":"<hex>"}]}}
//! {"account_keys":{"keys":[{"kid":"<hex>","secret":"<hex>"}]}}
//! {"key":"service","value":{"record":"service",...}}
//! {"records":1,"sha256":"<digest>"}
//! ```
//!
//! - The *header* names the version of the format, the program that wrote it, the time, the number of the last change
//!   in it, and the installation, if that is known.
//! - A *setting* has a `value`, or is a `secret`, which is `null` if it was left out. `file` is the file that the
//!   settings name instead of the secret.
//! - `signing_keys` is the content of the key file, `account_keys` that of the key file of groups' accounts. A backup
//!   without keys lacks these lines: it has the passwords of groups' accounts encrypted, as the store has them.
//! - A *record* is a line of a snapshot of identities, see [`changes`], or an audit event.
//! - The *end* states the number of records and the SHA-256 of all bytes before it. A file without it is incomplete.
//!
//! A reader rejects another version, unknown lines and members, and everything that does not match the digest.

mod line;
mod output;

pub use output::Output;

use std::io::{self, BufRead, BufReader, Write as _};
use std::path::Path;
use std::time::Duration;
use std::{fs::File, thread};

use jiff::Timestamp;

use self::line::{AccountKeys, AccountKeysLine, Header, Keys, KeysLine, Setting};
use super::changes::{self, Digesting, Entry, Lines, Position, Records, Rest, damaged};
use super::event_key;
use super::restorable::{Backup, Beside, KeptEvents};
use crate::auth::jwt::KeySet;
use crate::auth::sha256;
use crate::domain::directory::Directory;
use crate::store::all_identities::AllIdentities;
use crate::store::error::StoreError;

/// The identities of a data folder after one change.
#[derive(Debug)]
pub struct FolderSnapshot {
    position: Position,
    records: Records,
    /// All identities.
    pub directory: Directory,
    /// True if the journal ends with an incomplete change, which is left out. Of a running service this is a change
    /// that is not acknowledged yet; of a stopped one it is unknown whether it was.
    pub incomplete: bool,
}

pub(super) const FORMAT: &str = "dependency-proxy backup";
/// Version of the format.
const VERSION: u32 = 1;

/// Maximum number of times that a journal is read until it can be read completely: a running service appends to it, and
/// rewrites one that is damaged.
const MAX_JOURNAL_READS: usize = 5;
/// Interval between these.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

impl FolderSnapshot {
    /// Reads the identities below a data folder, beside the service that may be running on it. Every change that was
    /// acknowledged before is in it. `None` if there are none. Blocks.
    ///
    /// # Errors
    ///
    /// Fails if the journal cannot be read or is damaged.
    pub fn of(data: &Path) -> Result<Option<Self>, StoreError> {
        let path = data.join("identity.journal");
        let mut attempts = 0;
        let history = loop {
            attempts += 1;
            let file = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                file => file?,
            };
            let read = changes::read(BufReader::with_capacity(1 << 16, file));
            let again = match &read {
                Ok(history) => history.rest != Rest::Nothing,
                Err(StoreError::Damaged(_)) => true,
                Err(StoreError::Full | StoreError::Io(_) | StoreError::Closed | StoreError::Fleet(_)) => false,
            };
            if !again || attempts == MAX_JOURNAL_READS {
                break read?;
            }
            thread::sleep(RETRY_INTERVAL);
        };
        let incomplete = match &history.rest {
            Rest::Nothing => false,
            Rest::Torn(_) => true,
            Rest::Damaged(reason) => return Err(damaged(&format!("{}: {reason}", path.display()))),
        };
        let directory = changes::directory_of(&history.records)?;
        Ok(Some(Self { position: history.end(), records: history.records, directory, incomplete }))
    }

    /// Returns identities of another kind of store as a snapshot. Without the sums among their events, and the times of
    /// last use, as in a backup of an embedded store.
    ///
    /// # Errors
    ///
    /// Fails if one cannot be serialised.
    pub fn from_all(all: AllIdentities) -> Result<Self, StoreError> {
        let AllIdentities { directory, number, installation, events, .. } = all;
        let mut records = changes::records_of(&directory)?;
        let events = events.into_iter().filter(|event| event.of_change);
        records.extend(events.map(|event| (event_key::key(event.id), event.event)));
        let position = Position { installation, ..Position::of_new_history(number) };
        Ok(Self { position, records, directory, incomplete: false })
    }

    /// Returns the number of the last change.
    pub fn number(&self) -> u64 {
        self.position.number
    }

    /// Writes a backup that this version of the program makes at this time.
    ///
    /// # Errors
    ///
    /// Fails if the target cannot be written.
    pub fn write_backup(
        &self,
        to: &mut dyn io::Write,
        beside: &Beside,
        program: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut to = Digesting { to, digest: sha256::Hasher::default(), bytes: 0 };
        let Position { number, installation, .. } = self.position;
        let (format, program) = (FORMAT.to_owned(), program.to_owned());
        let header = Header { format, version: VERSION, program, at, number, installation };
        writeln!(to, "{}", serde_json::to_string(&header)?)?;
        for setting in &beside.settings {
            writeln!(to, "{}", line::of_setting(setting)?)?;
        }
        if let Some(signing_keys) = &beside.signing_keys {
            writeln!(to, "{}", serde_json::to_string(&KeysLine { signing_keys })?)?;
        }
        if let Some(account_keys) = &beside.account_keys {
            writeln!(to, "{}", serde_json::to_string(&AccountKeysLine { account_keys })?)?;
        }
        changes::write_records(&mut to, &self.records)?;
        let end = changes::end_of_snapshot(self.records.len(), to.digest.clone().finish());
        to.write_all(end.as_bytes())?;
        Ok(to.flush()?)
    }
}

/// Reads a backup. Fails if it is incomplete, damaged or changed, or of another version.
pub(super) fn read(from: impl BufRead) -> Result<Backup, StoreError> {
    let mut lines = Lines::new(from);
    lines.next()?;
    let header = line::header(&lines.line)?;
    let (mut digest, mut records, mut beside) = (sha256::Hasher::default(), Records::new(), Beside::default());
    let mut count = 0;
    loop {
        digest.update(&lines.line);
        if !lines.next()? || !lines.line.ends_with(b"\n") {
            return Err(damaged(&format!("it is incomplete: it ends in line {}, before its last line", lines.number)));
        }
        if lines.line.starts_with(b"{\"records\":") {
            break;
        }
        // The error of the parser could repeat a secret.
        let refused = |_| damaged(&format!("line {} is not one of a backup", lines.number));
        if lines.line.starts_with(b"{\"key\":") {
            let Entry { key, value } = serde_json::from_slice(&lines.line).map_err(refused)?;
            records.insert(key, value.ok_or_else(|| damaged("a record has no value"))?);
            count += 1;
        } else if lines.line.starts_with(b"{\"setting\":") {
            beside.settings.push(serde_json::from_slice::<Setting>(&lines.line).map_err(refused)?.into());
        } else if lines.line.starts_with(b"{\"account_keys\":") {
            beside.account_keys =
                Some(serde_json::from_slice::<AccountKeys>(&lines.line).map_err(refused)?.account_keys);
        } else {
            beside.signing_keys = Some(serde_json::from_slice::<Keys>(&lines.line).map_err(refused)?.signing_keys);
        }
    }
    if lines.line != changes::end_of_snapshot(count, digest.finish()).as_bytes() {
        return Err(damaged("its checksum does not match: it is damaged, or was changed after it was made"));
    }
    if lines.next()? {
        return Err(damaged("it goes on after its last line"));
    }
    for (name, keys) in [("signing keys", &beside.signing_keys), ("keys of accounts", &beside.account_keys)] {
        keys.iter().try_for_each(KeySet::check).map_err(|error| damaged(&format!("its {name}: {error}")))?;
    }
    let Header { number, installation, .. } = header;
    let (directory, events) = (changes::directory_of(&records)?, KeptEvents(changes::events_in(records)));
    Ok(Backup { directory, events, number, installation, incomplete: false, beside })
}

#[cfg(test)]
mod tests;
