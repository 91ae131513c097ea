//! A file to which audit events are appended, one line each, and its position: the last event in it. Opened anew for
//! each part, so that another program may rename it at any time.
//!
//! The position is recorded twice: in a small file in the data folder, written after each part, and by the number in
//! the last whole line. After a crash between the two writes the higher number counts, so that no event is written
//! twice, unless the file was also renamed in that moment.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::atomic_file;
use crate::domain::id::EventId;

/// The file, which need not exist yet. All methods block.
#[derive(Clone, Debug)]
pub struct AuditFile {
    path: PathBuf,
    position: PathBuf,
}

/// The part of a line that has the number of its event.
#[derive(Deserialize)]
struct Numbered {
    id: EventId,
}

/// Mode of a new file: events have names and addresses of people.
const MODE: u32 = 0o600;

/// Maximum length of a line that is looked for at the end of the file, in bytes. An event takes much less.
const MAX_LINE_BYTES: u64 = 4 << 20;

impl AuditFile {
    /// Names the file, and the data folder that has its position.
    pub fn new(path: &Path, data: &Path) -> Self {
        Self { path: path.to_owned(), position: data.join("audit-file") }
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the last event that was appended; 0 if none was.
    ///
    /// # Errors
    ///
    /// Fails if one of the files cannot be read.
    pub fn position(&self) -> io::Result<EventId> {
        let recorded = match fs::read_to_string(&self.position) {
            Ok(text) => text.trim().parse().map(EventId).unwrap_or(EventId(0)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => EventId(0),
            Err(error) => return Err(error),
        };
        match fs::metadata(&self.path) {
            Ok(found) => check_regular(&found)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(recorded),
            Err(error) => return Err(error),
        }
        let mut file = File::open(&self.path)?;
        let (_, line) = last_line(&mut file)?;
        let last = serde_json::from_slice::<Numbered>(&line).map_or(EventId(0), |line| line.id);
        Ok(recorded.max(last))
    }

    /// Appends whole lines, the last of which is that of the event `last`, and records the position. Removes a line
    /// before them that is not whole. Once this returns, the lines are on the disk.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be opened, is no regular file, or the disk is full or fails. Then none of the lines is
    /// in the file, or [`Self::position`] has those that are.
    pub fn append(&self, lines: &[u8], last: EventId) -> io::Result<()> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(&self.path)?;
        check_regular(&file.metadata()?)?;
        let (end, _) = last_line(&mut file)?;
        remove_rest(&mut file, end)?;
        if let Err(error) = file.write_all(lines).and_then(|()| file.sync_data()) {
            // Otherwise the lines that were written would be repeated.
            let _ = file.set_len(end);
            return Err(error);
        }
        atomic_file::write_file(&self.position, format!("{}\n", last.0).as_bytes())
    }
}

/// Fails for anything but a regular file: to open a named pipe waits for its reader.
fn check_regular(found: &Metadata) -> io::Result<()> {
    if found.is_file() { Ok(()) } else { Err(io::Error::other("is not a regular file")) }
}

/// Removes what is behind the last whole line. Fails if it is something else than the beginning of a line of this
/// service: the operator may have named another file.
fn remove_rest(file: &mut File, end: u64) -> io::Result<()> {
    if end == file.metadata()?.len() {
        return Ok(());
    }
    let rest = read_from(file, end)?;
    let is_whole = serde_json::from_slice::<IgnoredAny>(&rest).is_ok();
    let is_ours = rest.first() == Some(&b'{') && (!is_whole || serde_json::from_slice::<Numbered>(&rest).is_ok());
    if is_ours {
        file.set_len(end)
    } else {
        Err(io::Error::other("ends with something else than a line of this service"))
    }
}

/// Returns where the last whole line of a file ends, and the line; 0 and nothing if there is none.
fn last_line(file: &mut File) -> io::Result<(u64, Vec<u8>)> {
    let length = file.seek(SeekFrom::End(0))?;
    let start = length.saturating_sub(MAX_LINE_BYTES);
    if length > 0 {
        // The usual case is decided by the last byte, and by few bytes before it.
        let mut last = [0];
        file.read_exact_at(&mut last, length - 1)?;
        let near = length.saturating_sub(64 << 10);
        let tail = read_from(file, near)?;
        if last == *b"\n"
            && let Some(begin) = tail[..tail.len() - 1].iter().rposition(|byte| *byte == b'\n')
        {
            return Ok((length, tail[begin + 1..].to_vec()));
        }
    }
    let tail = read_from(file, start)?;
    let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else {
        // No line of this service is that long.
        return if start == 0 { Ok((0, Vec::new())) } else { Err(io::Error::other("has no line in its last 4 MiB")) };
    };
    let begin = tail[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |before| before + 1);
    Ok((start + end as u64 + 1, tail[begin..=end].to_vec()))
}

fn read_from(file: &mut File, start: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn line(id: u64) -> String {
        format!("{{\"id\":{id}}}\n")
    }

    #[test]
    fn lines_are_appended_and_the_position_is_that_of_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let file = AuditFile::new(&folder.path().join("audit.jsonl"), folder.path());
        assert_eq!(file.position().unwrap(), EventId(0));
        for id in [3, 5] {
            file.append(line(id).as_bytes(), EventId(id)).unwrap();
        }
        assert_eq!(fs::read_to_string(file.path()).unwrap(), line(3) + &line(5));
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(file.position().unwrap(), EventId(5));
    }

    #[test]
    fn after_a_crash_a_line_that_is_not_whole_is_written_again_and_whole_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = AuditFile::new(&folder.path().join("audit.jsonl"), folder.path());
        file.append(line(3).as_bytes(), EventId(3)).unwrap();
        fs::write(file.path(), line(3) + &line(4) + "{\"id\":5").unwrap();
        assert_eq!(file.position().unwrap(), EventId(4));
        file.append(line(5).as_bytes(), EventId(5)).unwrap();
        assert_eq!(fs::read_to_string(file.path()).unwrap(), line(3) + &line(4) + &line(5));
        fs::write(file.path(), "{\"id\":6").unwrap();
        assert_eq!(file.position().unwrap(), EventId(5));
        file.append(line(6).as_bytes(), EventId(6)).unwrap();
        assert_eq!(fs::read_to_string(file.path()).unwrap(), line(6));
    }

    #[test]
    fn a_renamed_file_is_followed_by_a_new_one_and_a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = AuditFile::new(&folder.path().join("audit.jsonl"), folder.path());
        file.append(line(3).as_bytes(), EventId(3)).unwrap();
        fs::rename(file.path(), folder.path().join("audit.jsonl.1")).unwrap();
        assert_eq!(file.position().unwrap(), EventId(3));
        file.append(line(4).as_bytes(), EventId(4)).unwrap();
        assert_eq!(fs::read_to_string(file.path()).unwrap(), line(4));
        fs::write(file.path(), "something else").unwrap();
        assert!(file.append(line(5).as_bytes(), EventId(5)).is_err());
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "something else");
        let whole = "{\"settings\":[]}";
        fs::write(file.path(), whole).unwrap();
        assert!(file.append(line(5).as_bytes(), EventId(5)).is_err());
        assert_eq!(fs::read_to_string(file.path()).unwrap(), whole);
        let long = line(3) + &"{".repeat(MAX_LINE_BYTES as usize + 1);
        fs::write(file.path(), &long).unwrap();
        assert!(file.append(line(5).as_bytes(), EventId(5)).is_err());
        assert_eq!(fs::metadata(file.path()).unwrap().len(), long.len() as u64);
        fs::remove_file(file.path()).unwrap();
        fs::create_dir(file.path()).unwrap();
        assert!(file.append(line(5).as_bytes(), EventId(5)).is_err() && file.position().is_err());
    }
}
