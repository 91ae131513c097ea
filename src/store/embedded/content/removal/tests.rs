//! Property test of removals: pulls, deletions of images, purges, sweeps of what no image names, kills and losses of
//! the index, with the steps of removals in every order.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::manifest::ACCEPTED;
use crate::domain::origin::Account;
use crate::domain::reference::Tag;
use crate::store::embedded::index::Index;
use crate::store::grant::{Grant, Pulled};
use crate::store::link::{Link, TagEntry};
use crate::store::manifests::{Manifest, ManifestStore};
use crate::store::usage::{FileKind, StoredFile};

/// A step of the test. Numbers of groups, tags and manifests are small, so that steps often concern the same ones.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A pull of a tag that stands for a manifest.
    Pull(u64, u8, u8),
    /// The first step of the removal of an image.
    Delete(u64, u8),
    /// The removal of links of one removal that was begun.
    RemoveLinks(usize),
    /// The removal of content without a link, of one removal whose links are removed.
    RemoveContent(usize),
    Purge(u64),
    /// The removal of what no image names, as if nobody had read anything for long.
    Sweep(u64),
    /// An end of the process at this moment, and a start.
    Kill,
    /// The same, and the index is lost.
    LoseIndex,
}

/// A store, what it should contain, and the removals that are under way.
struct Scene {
    folder: tempfile::TempDir,
    content: EmbeddedContent,
    /// The listed images: the manifests for which the tags of groups stand, and those for which they stood before.
    images: BTreeMap<(u64, u8), Vec<u8>>,
    begun: Vec<StartedRemoval>,
    orphaned: Vec<(StartedRemoval, Vec<Digest>)>,
    now: i64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1u64..3, 0u8..3, 0u8..4).prop_map(|(group, tag, manifest)| Step::Pull(group, tag, manifest)),
        4 => (1u64..3, 0u8..3).prop_map(|(group, tag)| Step::Delete(group, tag)),
        3 => (0usize..3).prop_map(Step::RemoveLinks),
        3 => (0usize..3).prop_map(Step::RemoveContent),
        1 => (1u64..3).prop_map(Step::Purge),
        2 => (1u64..3).prop_map(Step::Sweep),
        1 => Just(Step::Kill),
        1 => Just(Step::LoseIndex),
    ];
    proptest::collection::vec(step, 1..40)
}

fn origin() -> Origin {
    let (upstream, repository) = ("docker.io".parse().unwrap(), "library/app".parse().unwrap());
    Origin { upstream, account: Account::Anonymous, repository }
}

fn tag(number: u8) -> Tag {
    format!("t{number}").parse().unwrap()
}

/// Returns a manifest that names a blob of its own and one that all name.
fn manifest(number: u8) -> Manifest {
    let blob = |byte: u8| json!({"digest": Digest::from_bytes([byte; 32]).to_string(), "size": 1});
    let document = json!({"schemaVersion": 2, "config": blob(100 + number), "layers": [blob(200)]});
    Manifest::new(ACCEPTED[2].to_owned(), document.to_string().into())
}

/// Returns what a manifest is and names.
fn contents(number: u8) -> [Digest; 3] {
    [manifest(number).digest, Digest::from_bytes([100 + number; 32]), Digest::from_bytes([200; 32])]
}

fn open(folder: &Path) -> EmbeddedContent {
    EmbeddedContent::new(Index::open(folder, folder).unwrap(), ManifestStore::new(folder))
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let content = open(folder.path());
        Self { folder, content, images: BTreeMap::new(), begun: Vec::new(), orphaned: Vec::new(), now: 0 }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Pull(group, tag, number) => self.pull(group, tag, number),
            Step::Delete(group, number) => {
                self.images.remove(&(group, number));
                let references = vec![Reference::Tag(tag(number))];
                let (note, removal) = self.content.remove_images(GroupId(group), &origin(), references, None).unwrap();
                self.begun.push(StartedRemoval { group: GroupId(group), note, removal });
            }
            Step::RemoveLinks(number) if number < self.begun.len() => {
                let begun = self.begun.remove(number);
                let orphans = self.content.remove_links_of(begun.group, &begun.removal).unwrap();
                self.orphaned.push((begun, orphans));
            }
            Step::RemoveContent(number) if number < self.orphaned.len() => {
                let (removal, orphans) = self.orphaned.remove(number);
                self.content.remove_manifests(orphans).unwrap();
                self.content.index().end_removal(removal.group, &removal.note).unwrap();
            }
            Step::RemoveLinks(_) | Step::RemoveContent(_) => {}
            Step::Purge(group) => {
                self.images.retain(|(of, _), _| *of != group);
                let index = self.content.index();
                index.mark_forgotten(GroupId(group)).unwrap();
                let orphans = index.forget_group(GroupId(group)).unwrap();
                self.content.remove_manifests(orphans).unwrap();
                self.content.index().remove_files(GroupId(group)).unwrap();
            }
            Step::Sweep(group) => {
                self.record_files();
                let unread = Timestamp::now() + jiff::SignedDuration::from_hours(1);
                let removed = self.content.remove_unnamed(GroupId(group), unread).unwrap();
                self.content.remove_manifests(removed.orphans).unwrap();
            }
            Step::Kill => self.restart(false),
            Step::LoseIndex => self.restart(true),
        }
    }

    fn pull(&mut self, group: u64, number: u8, of: u8) {
        self.now += 1;
        let manifest = manifest(of);
        let checked_at = Timestamp::from_second(self.now).unwrap();
        let pulled = Pulled::Tag(tag(number), TagEntry { digest: manifest.digest, checked_at, denied: false });
        let links = contents(of).map(|digest| (digest, Link::granted(Some(1)))).to_vec();
        let grant = Grant { group: GroupId(group), origin: origin(), links, pulled };
        self.content.grant(&grant, Some(&manifest)).unwrap();
        let stood_for = self.images.entry((group, number)).or_default();
        if stood_for.last() != Some(&of) {
            stood_for.push(of);
        }
    }

    /// Records what was stored, and the blobs, which have no files here.
    fn record_files(&self) {
        let (index, usage) = (self.content.index(), self.content.manifests().usage());
        index.record_files(usage, &HashMap::new()).unwrap();
        for digest in (0..4).flat_map(contents) {
            index.found_file(usage, &digest, StoredFile { kind: FileKind::Blob, size: 1 }).unwrap();
        }
    }

    fn restart(&mut self, without_index: bool) {
        let elsewhere = tempfile::tempdir().unwrap();
        // The old database is closed before its folder is opened again.
        self.content = open(elsewhere.path());
        if without_index {
            fs::remove_dir_all(self.folder.path().join("index")).unwrap();
        }
        self.content = open(self.folder.path());
        self.orphaned.clear();
        self.begun = self.content.started_removals().unwrap();
    }

    /// Checks that exactly the images are listed that should be, and that each has what it names.
    fn check(&self) {
        for group in [1, 2].map(GroupId) {
            let listed = self.content.index().images_of_group(group).unwrap();
            let listed: BTreeSet<(String, Digest)> =
                listed.into_iter().map(|(key, record)| (key.reference.to_string(), record.digest)).collect();
            let of_group = self.images.iter().filter(|((of, _), _)| *of == group.0);
            let expected: BTreeSet<(String, Digest)> = of_group
                .map(|((_, number), manifests)| {
                    (tag(*number).as_str().to_owned(), manifest(*manifests.last().unwrap()).digest)
                })
                .collect();
            assert_eq!(listed, expected, "{group:?}");
        }
        for ((group, _), manifests) in &self.images {
            let digests = contents(*manifests.last().unwrap());
            for digest in digests {
                let link = self.content.index().link(GroupId(*group), &origin(), &digest).unwrap();
                assert!(link.is_some_and(Link::is_granted), "group {group} has lost {digest}");
            }
            assert!(self.content.manifests().read(&digests[0]).unwrap().is_some());
        }
    }

    /// Takes the steps that are left, and checks that nothing is left of what was removed.
    fn complete(&mut self) {
        while !self.begun.is_empty() {
            self.take(Step::RemoveLinks(0));
        }
        while !self.orphaned.is_empty() {
            self.take(Step::RemoveContent(0));
        }
        self.restart(true);
        [1, 2].into_iter().for_each(|group| self.take(Step::Sweep(group)));
        self.check();
        assert!(self.begun.is_empty());
        for group in [1, 2] {
            let of_group = self.images.iter().filter(|((of, _), _)| *of == group);
            let named: BTreeSet<Digest> =
                of_group.flat_map(|(_, manifests)| manifests.iter().flat_map(|number| contents(*number))).collect();
            for digest in (0..4).flat_map(contents).filter(|digest| !named.contains(digest)) {
                let link = self.content.index().link(GroupId(group), &origin(), &digest).unwrap();
                assert_eq!(link, None, "group {group} still has {digest}");
            }
        }
    }
}

#[test]
fn links_that_are_removed_and_added_at_the_same_time_are_all_there_or_gone() {
    let folder = tempfile::tempdir().unwrap();
    let content = open(folder.path());
    let digest = |number: u8| Digest::from_bytes([number; 32]);
    let grant = |numbers: std::ops::Range<u8>| {
        let links = numbers.map(|number| (digest(number), Link::granted(Some(1)))).collect();
        let grant = Grant { group: GroupId(1), origin: origin(), links, pulled: Pulled::Blob };
        content.grant(&grant, None).unwrap();
    };
    grant(0..60);
    std::thread::scope(|scope| {
        scope.spawn(|| (100..250).for_each(|number| grant(number..number + 1)));
        for number in 0..50 {
            let mut digests = HashSet::from([digest(number)]);
            content.remove_links(GroupId(1), &origin(), &mut digests, |_| Ok(())).unwrap();
        }
    });
    drop(content);
    fs::remove_dir_all(folder.path().join("index")).unwrap();
    let content = open(folder.path());
    let is_there = |number: &u8| content.index().is_granted(GroupId(1), &origin(), &digest(*number)) == Some(true);
    assert_eq!((0..255).filter(is_there).collect::<Vec<_>>(), (50..60).chain(100..250).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn in_whatever_order_the_steps_of_removals_and_pulls_are_taken_images_are_whole_or_gone(steps in steps()) {
        let mut scene = Scene::new();
        for step in steps {
            scene.take(step);
            scene.check();
        }
        scene.complete();
    }
}
