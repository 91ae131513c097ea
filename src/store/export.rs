//! The export of all identities: JSON lines, the first naming the format, the last carrying the SHA-256 of those before
//! it. It holds no secret but digests and password hashes, and is what a backup keeps and a restore reads.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::durable;
use super::error::StoreError;
use crate::auth::sha256;
use crate::domain::digest::Digest;
use crate::domain::directory::{Directory, Record};

#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Trailer {
    sha256: Digest,
}

const FORMAT: &str = "dependency-proxy identities";
const VERSION: u32 = 1;

/// Writes all of the directory to `path`, whole or not at all.
pub fn write(path: &Path, directory: &Directory) -> Result<(), StoreError> {
    let mut text = serde_json::to_string(&Header { format: FORMAT.to_owned(), version: VERSION })? + "\n";
    for record in directory.records() {
        text += &serde_json::to_string(&record)?;
        text.push('\n');
    }
    let trailer = Trailer { sha256: sha256::digest(text.as_bytes()) };
    text += &serde_json::to_string(&trailer)?;
    text.push('\n');
    Ok(durable::write_file(path, text.as_bytes())?)
}

/// Reads a directory back. A file that is cut short or changed is refused.
pub fn read(path: &Path) -> Result<Directory, StoreError> {
    let text = fs::read_to_string(path)?;
    let damaged = |what: &str| StoreError::Damaged(format!("{}: {what}", path.display()));
    let body = text.strip_suffix('\n').and_then(|text| text.rfind('\n'));
    let (body, trailer) = body.map(|at| text.split_at(at + 1)).ok_or_else(|| damaged("it is cut short"))?;
    let trailer: Trailer = serde_json::from_str(trailer).map_err(|_| damaged("it is cut short"))?;
    if sha256::digest(body.as_bytes()) != trailer.sha256 {
        return Err(damaged("its checksum does not match"));
    }
    let mut lines = body.lines();
    let header: Header = serde_json::from_str(lines.next().unwrap_or_default())?;
    if header.format != FORMAT || header.version != VERSION {
        return Err(damaged("it is not an export of identities that this version knows"));
    }
    let records = lines.map(|line| Ok(serde_json::from_str::<Record>(line)?));
    Ok(Directory::from_records(records.collect::<Result<Vec<_>, StoreError>>()?))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::domain::directory::Service;

    #[test]
    fn an_export_is_read_back_and_a_changed_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.jsonl");
        let service = Service { last_token: 9, ..Service::default() };
        write(&path, &Directory::from_records([Record::Service(service.clone())])).unwrap();
        assert_eq!(read(&path).unwrap().service(), &service);
        let text = fs::read_to_string(&path).unwrap();
        for changed in [text.replace('9', "8"), text[..text.len() - 2].to_owned(), String::new()] {
            fs::write(&path, changed).unwrap();
            assert!(matches!(read(&path), Err(StoreError::Damaged(_))));
        }
    }
}
