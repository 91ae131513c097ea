//! Audit events of commands that do not open the store, because the service may be running: a file in the data folder
//! with one event in each line. The next start adds them to the others and removes the file.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::atomic_file;
use super::data_dir::give_to_owner_of;
use super::embedded::identity::EmbeddedIdentities;
use super::error::{OpenError, StoreError};
use crate::domain::audit::Event;

const FILE_NAME: &str = "operator-notes";

/// Maximum size of the file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Adds an event, durably.
///
/// # Errors
///
/// Fails if the file cannot be written.
pub fn add(data: &Path, event: &Event) -> Result<(), OpenError> {
    let path = path(data);
    // Root may run the command: a link that the service's user has put here must not lead it to another file.
    let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let written = serde_json::to_string(event).map_err(io::Error::from).and_then(|line| {
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(no_link).open(&path)?;
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_all()?;
        give_to_owner_of(data, &path)
    });
    written.map_err(|error| OpenError::Io { path, error: StoreError::from(error) })
}

/// Adds the events of the file to those of the store, and removes the file. A process that is killed in between adds
/// them once more. A file that cannot be read, or events that cannot be stored, stay for the next start, and the
/// failure is logged. Single unreadable lines are dropped.
pub fn move_into(identities: &EmbeddedIdentities, data: &Path) {
    let moved = read(data).and_then(|events| match events {
        None => Ok(()),
        Some(events) => {
            identities.commit(&[], &events)?;
            Ok(atomic_file::remove_file(&path(data)).map(drop)?)
        }
    });
    if let Err(error) = moved {
        tracing::warn!(%error, "the audit events of commands in {} could not be added", path(data).display());
    }
}

/// Returns the events; lines that cannot be parsed are skipped. Returns `None` if there is no file.
fn read(data: &Path) -> Result<Option<Vec<Event>>, StoreError> {
    let path = path(data);
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => {
            if found?.len() > MAX_FILE_BYTES {
                return Err(StoreError::Damaged("the file of operator notes is longer than 1 MiB".to_owned()));
            }
        }
    }
    let text = std::fs::read_to_string(path)?;
    Ok(Some(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()))
}

fn path(data: &Path) -> PathBuf {
    data.join(FILE_NAME)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::audit::query::{EventFilter, EventQuery};
    use crate::domain::audit::{Author, Entity, Target, Who};

    fn event(name: &str) -> Event {
        let target = Target { kind: "Key".into(), id: None, name: "jwt-keys".to_owned() };
        Event::new(Timestamp::UNIX_EPOCH, Author::local(Who::Operator), (name, "done"), Entity::Service, target)
    }

    #[test]
    fn events_are_added_once_and_a_line_that_is_none_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let identities = EmbeddedIdentities::open(data).unwrap();
        move_into(&identities, data);
        add(data, &event("one")).unwrap();
        std::fs::write(path(data), std::fs::read_to_string(path(data)).unwrap() + "half of a li\n").unwrap();
        add(data, &event("two")).unwrap();
        move_into(&identities, data);
        move_into(&identities, data);
        assert!(!path(data).exists());
        let filter = EventFilter::default();
        let query = EventQuery { filter, ascending: true, from: None, skip: 0, limit: 9, counted: false };
        let events = identities.events(&query).unwrap().events;
        let names: Vec<String> = events.into_iter().map(|(_, event)| event.name).collect();
        assert_eq!(names, ["one", "two"]);
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("other");
        std::fs::write(&other, "").unwrap();
        std::os::unix::fs::symlink(&other, path(folder.path())).unwrap();
        assert!(add(folder.path(), &event("one")).is_err());
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "");
    }
}
