//! Comparison of the records of stored files, and of the totals, with the stored files.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use super::{Comparison, described};
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::store::embedded::content_files::Content;
use crate::store::embedded::finding::{Entry, Finding, Findings};
use crate::store::embedded::index::totals::Counted;
use crate::store::embedded::index::{Index, StoreError, file_record};
use crate::store::images::GroupTotals;
use crate::store::usage::{FileKind, StoredFile, Totals, Usage};

impl Comparison<'_> {
    /// Compares the records of stored files with the files.
    pub(super) fn files(&self, content: &Content, findings: &mut Findings) -> Result<u64, StoreError> {
        let (mut entries, mut recorded) = (0, HashSet::new());
        for entry in &self.index.files {
            let (key, record) = entry?;
            entries += 1;
            let (Some(digest), Some(record)) = (file_record::digest_of(&key), file_record::stored(&record)) else {
                findings.add(Finding::DifferingEntry(Entry::File, described(Entry::File, &key)));
                continue;
            };
            recorded.insert(self.hasher.hash_one(digest));
            let found = content.file(&digest, record.kind == FileKind::Manifest);
            match found {
                None => findings.add(Finding::SurplusEntry(Entry::File, digest.to_string())),
                Some(found) if found.kind != record.kind => {
                    findings.add(Finding::DifferingEntry(Entry::File, digest.to_string()));
                }
                Some(found) if found.size != record.size => {
                    findings.add(Finding::Length { digest, recorded: record.size, found: found.size });
                }
                Some(_) => {}
            }
        }
        for digest in content.digests() {
            // A file without content has no record.
            let is_empty = content.file(digest, false).is_some_and(|file| file.size == 0);
            if !is_empty && !recorded.contains(&self.hasher.hash_one(digest)) {
                findings.add(Finding::MissingEntry(Entry::File, digest.to_string()));
            }
        }
        Ok(entries)
    }

    /// Compares what a service that starts on this database would count with what is stored.
    pub(super) fn totals(&self, content: &Content, findings: &mut Findings) -> Result<(), StoreError> {
        let (usage, mut stored) = (Usage::default(), Totals::default());
        self.index.count_files(&usage);
        for digest in content.digests() {
            let record = self.index.file(digest)?;
            let Some(file) = recorded_first(content, digest, record) else { continue };
            // A file without content need not have a record.
            if file.size == 0 && record.is_none() {
                continue;
            }
            stored.add(file);
        }
        let counted = usage.totals();
        if counted != stored {
            let numbers = |of: Totals| format!("{} bytes, {} blobs, {} manifests", of.bytes, of.blobs, of.manifests);
            let difference = difference(&numbers(counted), &numbers(stored));
            findings.add(Finding::Count { group: None, difference });
        }
        let counted = self.index.counted_anew()?;
        let mut groups: Vec<&GroupId> = self.groups.keys().chain(counted.keys()).collect();
        groups.sort_unstable();
        groups.dedup();
        for group in groups {
            let of = |all: &HashMap<GroupId, GroupTotals>| all.get(group).copied().unwrap_or_default();
            let (counted, stored) = (of(&counted), of(&self.groups));
            if counted != stored {
                let numbers = |of: GroupTotals| {
                    let GroupTotals { bytes, blobs, manifests, images } = of;
                    format!("{bytes} bytes, {blobs} blobs, {manifests} manifests, {images} images")
                };
                let difference = difference(&numbers(counted), &numbers(stored));
                findings.add(Finding::Count { group: Some(*group), difference });
            }
        }
        Ok(())
    }
}

impl Index {
    /// Counts what all groups have cached, without a look at what is counted already.
    fn counted_anew(&self) -> Result<HashMap<GroupId, GroupTotals>, StoreError> {
        let mut counted = Counted::default();
        while !self.count_links(&mut counted)? {}
        while !self.count_images(&mut counted)? {}
        Ok(counted.groups)
    }
}

/// Returns the stored file with this digest. Where there are a manifest and a blob, it is the one that is recorded.
pub(super) fn recorded_first(content: &Content, digest: &Digest, record: Option<StoredFile>) -> Option<StoredFile> {
    content.file(digest, record.is_some_and(|record| record.kind == FileKind::Manifest))
}

fn difference(counted: &str, stored: &str) -> String {
    format!("the index counts {counted}, and there are {stored}")
}
