//! Types of lookups and grants: what a pull needs to know, and what it records.

use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::Tag;
use crate::store::link::{Link, TagEntry};

/// Knowledge about a tag or a digest, for one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookUp {
    /// The digest that was requested, or for which the tag stands.
    pub digest: Digest,
    /// The entry of the tag; `None` if a digest was requested.
    pub tag: Option<TagEntry>,
    /// The group's link to the digest.
    pub link: Option<Link>,
    /// The digest for which the tag stood when the group last pulled it; `None` if it has not.
    pub pulled: Option<Digest>,
    /// Length of the stored manifest in bytes; 0 if it is not stored.
    pub length: u64,
}

/// Content that a group may read from now on.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The group.
    pub group: GroupId,
    /// The upstream, account and repository of the content.
    pub origin: Origin,
    /// The links. What was known about a digest before stays known.
    pub links: Vec<(Digest, Link)>,
    /// The request by which the group pulled the content.
    pub pulled: Pulled,
}

/// The request by which a group pulled content.
#[derive(Clone, Debug)]
pub enum Pulled {
    /// A manifest by a tag, which stands for this entry now.
    Tag(Tag, TagEntry),
    /// A manifest by its digest.
    Digest(TagEntry),
    /// A blob.
    Blob,
}
