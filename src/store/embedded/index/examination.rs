//! Comparison of the database with the small files and with the stored files, which reports every difference and
//! changes nothing but sled's own files: it is meant for a copy of the database. The correction is in
//! [`rebuild`](super::rebuild).

mod stored_files;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use self::stored_files::recorded_first;
use super::rebuild::COMPLETE;
use super::trust::UNREADABLE;
use super::{ImageFile, Index, LinkFile, StoreError, Summary, file_record, key, read};
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::reference::Tag;
use crate::store::embedded::content_files::Content;
use crate::store::embedded::finding::{Entry, Finding, Findings};
use crate::store::embedded::index::ImageRecord;
use crate::store::images::{GroupTotals, ImageKey};
use crate::store::link::{Link, TagEntry};

/// Comparison that is under way. The small files are added one by one.
pub(in crate::store::embedded) struct Comparison<'a> {
    index: &'a Index,
    hasher: RandomState,
    /// Hashes of the keys of entries that have a file.
    found: HashSet<u64>,
    /// Hashes of groups with the digests that they hold.
    held: HashSet<u64>,
    /// Content of the small files about each tag, by its key.
    tags: HashMap<Vec<u8>, KnownTag>,
    groups: HashMap<GroupId, GroupTotals>,
}

/// Content of the files of all groups about a tag.
struct KnownTag {
    newest: TagEntry,
    /// True if it is in files of pinned images only: it may have been dropped because upstream no longer has it.
    only_pinned: bool,
}

/// Opens a database as it is, without a correction. Returns the reason why it cannot be used, as the end of a sentence
/// that begins with "the index".
pub(in crate::store::embedded) fn open_as_it_is(folder: &Path, groups: &Path) -> Result<Index, String> {
    if folder.join(UNREADABLE).exists() {
        return Err("could not be read by the service, and is rebuilt by its next start".to_owned());
    }
    // sled panics on some kinds of damage.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let index = Index::open_trees(folder, groups.to_owned())?;
        let complete = index.database.contains_key(COMPLETE)?;
        Ok::<_, StoreError>((index, complete))
    }));
    match opened {
        Ok(Ok((index, true))) => Ok(index),
        Ok(Ok((_, false))) => Err("was not built completely".to_owned()),
        Ok(Err(error)) => Err(format!("cannot be opened: {error}")),
        Err(_) => Err("cannot be opened: sled could not read its own files".to_owned()),
    }
}

impl<'a> Comparison<'a> {
    /// Begins a comparison.
    pub(in crate::store::embedded) fn of(index: &'a Index) -> Self {
        let (found, held, tags, groups) = Default::default();
        Self { index, hasher: RandomState::new(), found, held, tags, groups }
    }

    /// Compares the links of a file of a group, which are merged.
    pub(in crate::store::embedded) fn links(
        &mut self,
        group: GroupId,
        links: &[LinkFile],
        content: &Content,
        findings: &mut Findings,
    ) -> Result<(), StoreError> {
        for file in links {
            let LinkFile { origin, digest, link } = file;
            let key = key::link(digest, group, origin);
            self.note(&key);
            let known: Option<Link> = read(self.index.links.get(&key)?).ok().flatten();
            let has_source = !link.is_granted() || self.index.sources.contains_key(key::source(digest, origin))?;
            let what = || format!("group {group} to {digest} of {}", origin.image_name());
            match known {
                None => findings.add(Finding::MissingEntry(Entry::Link, what())),
                Some(known) if !file.is_same(known) || !has_source => {
                    findings.add(Finding::DifferingEntry(Entry::Link, what()));
                }
                Some(_) => {}
            }
            if link.is_granted() && self.held.insert(self.hasher.hash_one((group, digest))) {
                let record = self.index.file(digest)?;
                if let Some(file) = recorded_first(content, digest, record) {
                    self.groups.entry(group).or_default().add(file);
                }
            }
        }
        Ok(())
    }

    /// Compares the file of an image of a group.
    pub(in crate::store::embedded) fn image(
        &mut self,
        group: GroupId,
        file: &ImageFile,
        findings: &mut Findings,
    ) -> Result<(), StoreError> {
        let image = ImageKey { group, origin: file.origin.clone(), reference: file.reference() };
        let key = key::image(&image);
        self.note(&key);
        self.groups.entry(group).or_default().images += 1;
        let what = format!("group {group}, {}:{}", image.origin.image_name(), image.reference);
        let known = ImageRecord::read(self.index.images.get(&key)?);
        let is_pinned = self.index.pins.contains_key(&key)?;
        let same = |known: ImageRecord| {
            let pinned = known.pinned == file.pinned && is_pinned == file.pinned;
            known.digest == file.entry.digest && known.cached_at == file.since() && pinned
        };
        match known {
            None => findings.add(Finding::MissingEntry(Entry::Image, what)),
            Some(known) if !same(known) => findings.add(Finding::DifferingEntry(Entry::Image, what)),
            Some(_) => {}
        }
        if let Some(tag) = &file.tag {
            self.tag(group, file, tag, findings)?;
        }
        Ok(())
    }

    fn tag(&mut self, group: GroupId, file: &ImageFile, tag: &Tag, findings: &mut Findings) -> Result<(), StoreError> {
        let key = key::group_tag(&file.origin, tag, group);
        self.note(&key);
        let what = || format!("group {group}, {}:{tag}", file.origin.image_name());
        match read::<TagEntry>(self.index.group_tags.get(&key)?).ok().flatten() {
            // A pinned image outlives its tag.
            None if !file.pinned => findings.add(Finding::MissingEntry(Entry::Tag, what())),
            Some(known) if known.digest != file.entry.digest => {
                findings.add(Finding::DifferingEntry(Entry::Tag, what()));
            }
            None | Some(_) => {}
        }
        let known = KnownTag { newest: file.entry, only_pinned: file.pinned };
        let before = self.tags.entry(key::tag(&file.origin, tag)).or_insert(known);
        before.only_pinned &= file.pinned;
        if before.newest.is_before(&file.entry) {
            before.newest = file.entry;
        }
        Ok(())
    }

    /// Compares the summary of a manifest, if there is one.
    pub(in crate::store::embedded) fn summary(&self, digest: &Digest, summary: &Summary, findings: &mut Findings) {
        let differs = |known: &Summary| (&known.blobs, &known.manifests) != (&summary.blobs, &summary.manifests);
        if self.index.summary(digest).as_ref().is_some_and(differs) {
            findings.add(Finding::DifferingEntry(Entry::Summary, digest.to_string()));
        }
    }

    /// Ends the comparison: reports what the database has beside the entries of all files, and compares the records of
    /// stored files and the totals. Returns the number of entries.
    pub(in crate::store::embedded) fn end(
        mut self,
        content: &Content,
        findings: &mut Findings,
    ) -> Result<u64, StoreError> {
        let index = self.index;
        let mut entries = 0;
        for (tree, entry) in
            [(&index.links, Entry::Link), (&index.images, Entry::Image), (&index.group_tags, Entry::Tag)]
        {
            for key in tree.iter().keys() {
                let key = key?;
                entries += 1;
                if !self.found.contains(&self.hasher.hash_one(key.as_ref())) {
                    findings.add(Finding::SurplusEntry(entry, described(entry, &key)));
                }
            }
        }
        for key in index.pins.iter().keys() {
            let key = key?;
            if !index.images.contains_key(&key)? {
                findings.add(Finding::SurplusEntry(Entry::Image, described(Entry::Image, &key)));
            }
        }
        entries += self.tags_of_all(findings)?;
        entries += self.files(content, findings)?;
        self.totals(content, findings)?;
        Ok(entries)
    }

    fn tags_of_all(&mut self, findings: &mut Findings) -> Result<u64, StoreError> {
        let mut entries = 0;
        for entry in &self.index.tags {
            let (key, value) = entry?;
            entries += 1;
            let known: Option<TagEntry> = read(Some(value)).ok().flatten();
            let what = || described(Entry::Tag, &key);
            match self.tags.remove(key.as_ref()) {
                None => findings.add(Finding::SurplusEntry(Entry::Tag, what())),
                Some(KnownTag { newest, .. }) => {
                    // The database may have a newer time of confirmation.
                    let same = |known: TagEntry| known.digest == newest.digest && !known.is_before(&newest);
                    if !known.is_some_and(same) {
                        findings.add(Finding::DifferingEntry(Entry::Tag, what()));
                    }
                }
            }
        }
        for (key, _) in self.tags.drain().filter(|(_, known)| !known.only_pinned) {
            findings.add(Finding::MissingEntry(Entry::Tag, described(Entry::Tag, &key)));
        }
        Ok(entries)
    }

    fn note(&mut self, key: &[u8]) {
        self.found.insert(self.hasher.hash_one(key));
    }
}

/// Describes an entry by its key.
fn described(entry: Entry, key: &[u8]) -> String {
    let link = || key::holder_of_link(key).map(|(digest, group)| format!("group {group} to {digest}"));
    let image = || {
        let ImageKey { group, origin, reference } = key::image_of(key)?;
        Some(format!("group {group}, {}:{reference}", origin.image_name()))
    };
    let tag = || {
        let mut fields = key.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let (upstream, _account) = (fields.next()?, fields.next()?);
        Some(format!("{upstream}/{}:{}", fields.next()?, fields.next()?))
    };
    let text = match entry {
        Entry::Link => link(),
        Entry::Image => image(),
        Entry::Tag => tag(),
        Entry::File | Entry::Summary => file_record::digest_of(key).map(|digest| digest.to_string()),
    };
    text.unwrap_or_else(|| "a damaged name".to_owned())
}
