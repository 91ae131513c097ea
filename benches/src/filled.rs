//! An index with any number of entries, created through the functions of the store only, for benches of
//! what grows with it.
//!
//! An entry is a link, which lets a group read some content, or a tag that a group has pulled. Each has its small
//! file, as the store writes it; the contents, which the index does not read, do not exist. Entry `n` belongs to
//! `group(n)`, one of 100 groups, and to the repository of `origin(n)`, which has 1,000 entries.
//!
//! A million entries take a minute or more, so that each index is created once, in the `target/tmp` of the caller, and
//! created again when the code that writes it has changed. `cargo clean` removes it.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, reason = "what fails here ends the run of the bench")]

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;
use std::time::Instant;

use dependency_proxy::auth::sha256;
use dependency_proxy::domain::digest::Digest;
use dependency_proxy::domain::id::GroupId;
use dependency_proxy::domain::origin::{Account, Origin};
use dependency_proxy::domain::reference::Tag;
use dependency_proxy::store::embedded::index::Index;
use dependency_proxy::store::link::{Link, TagEntry};
use jiff::Timestamp;

/// Number of groups that have entries.
pub const GROUPS: u64 = 100;

const ENTRIES_PER_REPOSITORY: u64 = 1000;

/// Source files that decide what is written: a change of one of them makes a new index necessary.
const WRITERS: [&str; 5] = [
    include_str!("filled.rs"),
    include_str!("../../src/store/embedded/index.rs"),
    include_str!("../../src/store/embedded/index_key.rs"),
    include_str!("../../src/store/embedded/index_file.rs"),
    include_str!("../../src/store/embedded/database.rs"),
];

/// Kind of the entries of an index.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Links,
    Tags,
}

/// Returns the folder below `all`, data and cache in one, of an index with this number of entries of this kind.
/// Creates it if it does not exist, with progress on standard error.
pub fn folder(all: &Path, kind: Kind, entries: u64) -> PathBuf {
    let prefix = format!("index-of-{entries}-{kind:?}-");
    let folder = all.join(format!("{prefix}{}", &sha256::digest(WRITERS.concat().as_bytes()).hex()[..8]));
    if !folder.exists() {
        for old in all.read_dir().unwrap().map(Result::unwrap) {
            if old.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
                fs::remove_dir_all(old.path()).unwrap();
            }
        }
        let growing = all.join(format!("{prefix}growing"));
        fill(&growing, kind, entries);
        fs::rename(&growing, &folder).unwrap();
    }
    folder
}

fn fill(folder: &Path, kind: Kind, entries: u64) {
    let index = Index::open(folder, folder).unwrap();
    let (begun, done, next) = (Instant::now(), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..available_parallelism().unwrap().get() {
            scope.spawn(|| {
                let take = || next.fetch_add(ENTRIES_PER_REPOSITORY, Ordering::Relaxed);
                for first in std::iter::repeat_with(take).take_while(|first| *first < entries) {
                    let numbers = first..entries.min(first + ENTRIES_PER_REPOSITORY);
                    match kind {
                        Kind::Links => add_links(&index, numbers),
                        Kind::Tags => set_tags(&index, numbers),
                    }
                    report_progress(done.fetch_add(ENTRIES_PER_REPOSITORY, Ordering::Relaxed), entries, kind, begun);
                }
            });
        }
    });
    index.flush().unwrap();
}

/// Adds links of one repository.
fn add_links(index: &Index, numbers: Range<u64>) {
    let (group, origin) = (group(numbers.start), origin(numbers.start));
    let link = |number| (digest(number), Link::granted(Some(number)));
    index.add_links(group, &origin, &numbers.map(link).collect::<Vec<_>>()).unwrap();
}

fn set_tags(index: &Index, numbers: Range<u64>) {
    for number in numbers {
        let entry = TagEntry { digest: digest(number), checked_at: Timestamp::UNIX_EPOCH, denied: false };
        index.set_tag(group(number), &origin(number), &tag(number), entry).unwrap();
    }
}

/// Returns the group that has entry `number`.
pub fn group(number: u64) -> GroupId {
    GroupId(number / ENTRIES_PER_REPOSITORY % GROUPS + 1)
}

/// Returns the origin of entry `number`.
pub fn origin(number: u64) -> Origin {
    Origin {
        upstream: "docker.io".parse().unwrap(),
        account: Account::Anonymous,
        repository: format!("library/app-{}", number / ENTRIES_PER_REPOSITORY).parse().unwrap(),
    }
}

/// Returns the digest of the content of entry `number`.
pub fn digest(number: u64) -> Digest {
    sha256::digest(&number.to_be_bytes())
}

/// Returns the tag of entry `number`.
pub fn tag(number: u64) -> Tag {
    format!("1.{number}.0-alpine").parse().unwrap()
}

fn report_progress(before: u64, all: u64, kind: Kind, begun: Instant) {
    let done = before + ENTRIES_PER_REPOSITORY;
    if all >= 100_000 && done * 10 / all > before * 10 / all {
        eprintln!("making an index: {done} of {all} {kind:?} after {} s", begun.elapsed().as_secs());
    }
}
