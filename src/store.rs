//! Persistent storage. The only layer that knows sled and the file system. Knows nothing of requests, upstreams or
//! actors.
//!
//! | module | content | its functions |
//! |---|---|---|
//! | [`identities`] | users, groups, members, tokens, times of last use | async, with a contract |
//! | [`content`] | what groups may read, what tags stand for, manifests | async, with a contract |
//! | [`blobs`], [`spool`] | stored blobs, and downloads that are not verified yet: files of this machine | block |
//! | [`data_dir`], [`free_space`], [`atomic_file`] | the data folder, disk space, files that are replaced as a whole | block |
//! | [`usage`] | sizes of all stored content | do not block |
//! | [`embedded`] | the engine of identities and content: sled and small files | block |
//!
//! Another engine is another variant of the `Engine` in [`identities`] and [`content`], which `server::components`
//! and [`admin`](crate::admin) open: sled's types stay in [`embedded`], its errors are converted in [`error`]. The
//! manifests belong to the engine. Blobs stay files of this
//! machine, because `sendfile(2)` sends them.

pub mod atomic_file;
pub mod blobs;
pub(crate) mod blocking;
mod cache_id;
pub mod content;
mod damage;
pub mod data_dir;
pub mod embedded;
pub mod error;
pub mod free_space;
pub mod identities;
pub mod images;
pub mod large_buffer;
pub mod link;
pub mod manifests;
pub mod spool;
pub mod usage;
