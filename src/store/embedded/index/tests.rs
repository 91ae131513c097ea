//! Tests of the index, each with an index of its own on the disk.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cache_folder;
mod images;
mod links;
mod purge;
mod rebuild;
mod small_files;
mod totals;
mod unreadable;

use std::fs;

use jiff::Timestamp;

use super::*;
use crate::domain::digest::Digest;
use crate::domain::origin::{Account, Origin};
use crate::domain::reference::{Reference, Tag};
use crate::store::images::GroupTotals;
use crate::store::link::{Link, TagEntry};

const A: GroupId = GroupId(1);
const B: GroupId = GroupId(2);

const GRANTED: Link = Link::granted(Some(7));
const REFERENCED: Link = Link::referenced(Some(7));

fn origin(account: Account) -> Origin {
    Origin { upstream: "docker.io".parse().unwrap(), account, repository: "library/alpine".parse().unwrap() }
}

fn opened(data: &Path) -> (Index, Usage) {
    let usage = Usage::default();
    (Index::open(data, data).unwrap().counted_in(&usage), usage)
}

fn totals(index: &Index, group: GroupId) -> GroupTotals {
    index.totals().unwrap().unwrap().get(&group).copied().unwrap_or_default()
}

fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

fn entry(byte: u8, second: i64) -> TagEntry {
    TagEntry { digest: digest(byte), checked_at: Timestamp::from_second(second).unwrap(), denied: false }
}

fn has_tag(index: &Index, group: GroupId, origin: &Origin) -> bool {
    index.tag_of_group(group, origin, &latest()).unwrap().is_some()
}

fn latest() -> Tag {
    "latest".parse().unwrap()
}

/// Returns the images that a group has pulled, by their files.
fn images(index: &Index, group: GroupId) -> Vec<ImageFile> {
    image_files::all(&index.groups, group).unwrap().collect::<Result<_, _>>().unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Returns all files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
