//! The embedded engine of the store: sled, and small files below the data folder and the cache folder. All functions
//! block.
//!
//! | module | content |
//! |---|---|
//! | [`identity`] | identities: the [`journal`] is written first, then the [`database`]; [`recovery`] completes one from the other at a start |
//! | [`records`], [`changes`] | identities as records in sled, and changes as lines of the journal |
//! | [`events`], [`event_key`] | audit events beside the records, and their keys |
//! | [`restorable`] | identities that can be restored |
//! | [`backup`], [`export`] | backups with settings, made beside a running service; the copy of all identities that a service writes by itself |
//! | [`content`] | the [`index`], with the manifests as files: evictions, lists of images, removals |
//! | [`index`], [`index_key`] | links, tags, images, records of files and summaries of manifests, in sled |
//! | [`fsck`], [`finding`] | examination and repair of a store that no service has open; what it finds |
//! | [`content_files`] | the names and lengths of the files of blobs and manifests, for comparisons |
//! | [`index_file`] | links, tags and images in small files, from which the index can be rebuilt |

pub mod backup;
mod changes;
pub mod content;
mod content_files;
mod database;
mod event_key;
mod events;
pub mod export;
mod finding;
pub mod fsck;
pub mod identity;
pub mod index;
mod index_file;
mod index_key;
mod journal;
mod records;
mod recovery;
pub mod restorable;
