//! The embedded engine of the store: sled, and small files below the data folder and the cache folder. All functions
//! block.
//!
//! | module | content |
//! |---|---|
//! | [`identity`] | identities: the [`journal`] is written first, then the [`database`]; [`recovery`] completes one from the other at a start |
//! | [`records`], [`changes`] | identities as records in sled, and changes as lines of the journal |
//! | [`events`] | audit events beside the records |
//! | [`backup`], [`export`] | backups with settings, made beside a running service; the copy of all identities that a service writes by itself |
//! | [`reserve`] | disk space that is kept for changes |
//! | [`content`] | the [`index`], with the manifests as files: evictions, lists of images, removals |
//! | [`index`], [`index_key`] | links, tags, images, records of files and summaries of manifests, in sled |
//! | [`fsck`] | examination and repair of a store that no service has open |
//! | [`index_file`] | links, tags and images in small files, from which the index can be rebuilt |

pub mod backup;
mod changes;
pub mod content;
mod database;
mod events;
pub mod export;
pub mod fsck;
pub mod identity;
pub mod index;
mod index_file;
mod index_key;
mod journal;
mod records;
mod recovery;
pub(super) mod reserve;
