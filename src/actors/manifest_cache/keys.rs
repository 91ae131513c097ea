//! Keys of the links and tags in memory: owned keys for insertion, and borrowed keys for lookups without copies. An
//! owned and a borrowed key of the same content have the same hash.

use std::hash::{Hash, Hasher};

use quick_cache::Equivalent;

use super::request::PullManifest;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::{Reference, Tag};

/// Key of what a group may have: the group, the origin, and a digest to which it has a granted link, or a tag by which
/// it has pulled such a digest.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct LinkKey {
    group: GroupId,
    origin: Origin,
    reference: Reference,
}

/// Key of a tag: the origin and the tag.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct TagKey {
    origin: Origin,
    tag: Tag,
}

/// Borrowed form of [`LinkKey`], for lookups.
pub(super) struct LinkOf<'a>(pub(super) GroupId, pub(super) &'a Origin, pub(super) &'a Reference);

/// Borrowed form of [`TagKey`], for lookups.
pub(super) struct TagOf<'a>(pub(super) &'a Origin, pub(super) &'a Tag);

impl LinkKey {
    pub(super) fn of(request: &PullManifest, reference: Reference) -> Self {
        Self { group: request.group, origin: request.origin.clone(), reference }
    }

    pub(super) fn is_of(&self, group: GroupId) -> bool {
        self.group == group
    }
}

impl TagKey {
    pub(super) fn new(origin: Origin, tag: Tag) -> Self {
        Self { origin, tag }
    }

    /// Returns the origin and the tag.
    pub(super) fn parts(self) -> (Origin, Tag) {
        (self.origin, self.tag)
    }

    pub(super) fn of(request: &PullManifest, tag: &Tag) -> Self {
        Self::new(request.origin.clone(), tag.clone())
    }
}

impl Hash for LinkOf<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Only a part of the key is hashed; `equivalent` compares all of it.
        (self.0, &self.1.repository, self.2).hash(state);
    }
}

impl Hash for LinkKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        LinkOf(self.group, &self.origin, &self.reference).hash(state);
    }
}

impl Equivalent<LinkKey> for LinkOf<'_> {
    fn equivalent(&self, key: &LinkKey) -> bool {
        (self.0, self.2) == (key.group, &key.reference) && *self.1 == key.origin
    }
}

impl Hash for TagOf<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.0.repository, self.1).hash(state);
    }
}

impl Hash for TagKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        TagOf(&self.origin, &self.tag).hash(state);
    }
}

impl Equivalent<TagKey> for TagOf<'_> {
    fn equivalent(&self, key: &TagKey) -> bool {
        *self.0 == key.origin && *self.1 == key.tag
    }
}
