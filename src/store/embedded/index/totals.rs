//! Amounts of content that each group has cached, kept as links, files and images come and go. They are not stored:
//! after a start they are counted from the database, in small steps beside the service. A recount compares them with
//! the database while the service runs.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::trust::Trust;
use super::{Index, StoreError, key, read};
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::store::images::{GroupTotals, KnownTotals};
use crate::store::link::Link;
use crate::store::usage::{FileKind, StoredFile};

/// The totals of all groups.
#[derive(Default)]
pub(super) struct Totals(Mutex<State>);

#[derive(Default)]
struct State {
    counted: Counted,
    /// A second count while it runs; changes are applied to both.
    recount: Option<Counted>,
}

/// Totals of all groups, as far as they are counted.
#[derive(Default)]
pub(super) struct Counted {
    links: Progress,
    images: Progress,
    pub(super) groups: HashMap<GroupId, GroupTotals>,
}

/// The counted part of a tree. A change of an uncounted key is ignored: the count will find it.
enum Progress {
    /// All keys before this one.
    Before(Vec<u8>),
    All,
}

/// Number of entries that are counted at a time, while no other thread changes any.
const ENTRIES_PER_STEP: usize = 2_000;

impl Default for Progress {
    fn default() -> Self {
        Self::Before(Vec::new())
    }
}

impl Progress {
    fn covers(&self, key: &[u8]) -> bool {
        match self {
            Self::Before(end) => key < end.as_slice(),
            Self::All => true,
        }
    }
}

impl State {
    /// Applies a change to the totals, and to the recount that is under way.
    fn apply_to_both(&mut self, change: impl Fn(&mut Counted)) {
        change(&mut self.counted);
        self.recount.iter_mut().for_each(change);
    }
}

impl Totals {
    /// Counts a file for a group that holds it from now on.
    pub(super) fn add(&self, digest: &Digest, group: GroupId, file: StoredFile) {
        self.state().apply_to_both(|counted| {
            if counted.links.covers(digest.as_bytes()) {
                counted.groups.entry(group).or_default().add(file);
            }
        });
    }

    /// Stops counting a file for a group that no longer holds it.
    pub(super) fn subtract(&self, digest: &Digest, group: GroupId, file: StoredFile) {
        self.state().apply_to_both(|counted| {
            if counted.links.covers(digest.as_bytes()) {
                counted.groups.entry(group).or_default().subtract(file);
            }
        });
    }

    /// Counts an image of a group that was added under this key.
    pub(super) fn add_image(&self, key: &[u8], group: GroupId) {
        self.change_images(key, group, |images| *images += 1);
    }

    /// Stops counting an image of a group that was removed under this key.
    pub(super) fn remove_image(&self, key: &[u8], group: GroupId) {
        self.change_images(key, group, |images| *images = images.saturating_sub(1));
    }

    fn change_images(&self, key: &[u8], group: GroupId, change: impl Fn(&mut u64)) {
        self.state().apply_to_both(|counted| {
            if counted.images.covers(key) {
                change(&mut counted.groups.entry(group).or_default().images);
            }
        });
    }

    /// Returns the number of images of a group; `None` as long as not all images are counted.
    pub(super) fn images_of(&self, group: GroupId) -> Option<u64> {
        let state = self.state();
        let is_counted = matches!(state.counted.images, Progress::All);
        is_counted.then(|| state.counted.groups.get(&group).map_or(0, |totals| totals.images))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    /// Returns the totals of all groups that have any; `None` while the database cannot be read. Counts what is not
    /// counted yet, and may take seconds after a start.
    ///
    /// # Errors
    ///
    /// Does not fail at present: where the database cannot be read, it returns `None`.
    pub fn totals(&self) -> Result<Option<HashMap<GroupId, GroupTotals>>, StoreError> {
        // Images are counted first: lists need their number, and the comparison below takes longer.
        self.in_database(|| {
            while !self.step(|state| self.count_images(&mut state.counted))? {}
            Ok(())
        });
        self.check_against_files()?;
        if self.trust() != Trust::Checked {
            return Ok(None);
        }
        let counted = self.in_database(|| {
            while !self.step(|state| self.count_links(&mut state.counted))? {}
            Ok(())
        });
        Ok(counted.map(|()| self.totals.state().counted.groups.clone()))
    }

    /// Returns the totals of all groups as far as they are known, without waiting for them to be counted.
    pub fn known_totals(&self) -> KnownTotals {
        let state = self.totals.state();
        match (self.trust(), &state.counted.links, &state.counted.images) {
            (Trust::Broken, _, _) => KnownTotals::Damaged,
            (Trust::Checked, Progress::All, Progress::All) => KnownTotals::All(state.counted.groups.clone()),
            (Trust::Checked | Trust::Unchecked, _, _) => KnownTotals::NotYet,
        }
    }

    /// Counts all groups anew from the database, in small steps, and corrects the totals where they differ. Returns the
    /// number of groups that had other totals. `pace` is called between two steps, and returns false to stop.
    ///
    /// # Errors
    ///
    /// Does not fail at present: where the database cannot be read, nothing is corrected.
    pub fn recount(&self, pace: &mut dyn FnMut() -> bool) -> Result<usize, StoreError> {
        if self.totals()?.is_none() {
            return Ok(0);
        }
        self.totals.state().recount = Some(Counted::default());
        let counted = self.in_database(|| {
            let count = |state: &mut State| {
                let Some(recount) = &mut state.recount else { return Ok(true) };
                Ok(self.count_links(recount)? && self.count_images(recount)?)
            };
            while !self.step(count)? {
                if !pace() {
                    return Ok(false);
                }
            }
            Ok(true)
        });
        let mut state = self.totals.state();
        let recount = state.recount.take().filter(|_| counted == Some(true));
        let Some(recount) = recount else { return Ok(0) };
        let differing = differing(&state.counted.groups, &recount.groups);
        state.counted = recount;
        Ok(differing)
    }

    /// Runs a step of a count, while no other thread changes what is counted.
    fn step(&self, count: impl FnOnce(&mut State) -> Result<bool, StoreError>) -> Result<bool, StoreError> {
        let _guard = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
        count(&mut self.totals.state())
    }

    /// Counts the next links. Returns true if all are counted.
    pub(super) fn count_links(&self, counted: &mut Counted) -> Result<bool, StoreError> {
        let Progress::Before(from) = &counted.links else { return Ok(true) };
        let (mut digest, mut file, mut holder) = (None, None, None);
        for (number, entry) in self.links.range(from.clone()..).enumerate() {
            let (key, link) = entry?;
            let Some((linked, group)) = key::holder_of_link(&key) else { continue };
            if digest != Some(linked) {
                // Between two digests, because all links to one are counted at once.
                if number >= ENTRIES_PER_STEP {
                    counted.links = Progress::Before(linked.as_bytes().to_vec());
                    return Ok(false);
                }
                (digest, file, holder) = (Some(linked), self.file(&linked)?, None);
            }
            let Some(file) = file.filter(|_| holder != Some(group)) else { continue };
            if read::<Link>(Some(link))?.is_some_and(Link::is_granted) {
                holder = Some(group);
                counted.groups.entry(group).or_default().add(file);
            }
        }
        counted.links = Progress::All;
        Ok(true)
    }

    /// Counts the next images. Returns true if all are counted.
    pub(super) fn count_images(&self, counted: &mut Counted) -> Result<bool, StoreError> {
        let Progress::Before(from) = &counted.images else { return Ok(true) };
        for (number, key) in self.images.range(from.clone()..).keys().enumerate() {
            let key = key?;
            if number >= ENTRIES_PER_STEP {
                counted.images = Progress::Before(key.to_vec());
                return Ok(false);
            }
            if let Some(image) = key::image_of(&key) {
                counted.groups.entry(image.group).or_default().images += 1;
            }
        }
        counted.images = Progress::All;
        Ok(true)
    }
}

/// Returns the number of groups whose totals differ.
fn differing(before: &HashMap<GroupId, GroupTotals>, after: &HashMap<GroupId, GroupTotals>) -> usize {
    let of = |all: &HashMap<GroupId, GroupTotals>, group| all.get(group).copied().unwrap_or_default();
    let groups: HashSet<&GroupId> = before.keys().chain(after.keys()).collect();
    groups.into_iter().filter(|group| of(before, group) != of(after, group)).count()
}

impl GroupTotals {
    pub(super) fn add(&mut self, file: StoredFile) {
        self.bytes = self.bytes.saturating_add(file.size);
        *self.number_of(file.kind) += 1;
    }

    fn subtract(&mut self, file: StoredFile) {
        self.bytes = self.bytes.saturating_sub(file.size);
        let number = self.number_of(file.kind);
        *number = number.saturating_sub(1);
    }

    fn number_of(&mut self, kind: FileKind) -> &mut u64 {
        match kind {
            FileKind::Manifest => &mut self.manifests,
            FileKind::Blob => &mut self.blobs,
        }
    }
}
