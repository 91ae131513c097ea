//! Persistent storage: identities, the index of the cache, manifests and blobs. The only layer that knows sled and
//! the file system. All functions block, unless their documentation states otherwise: call them on a blocking
//! thread. Knows nothing of requests, upstreams or actors.

pub mod atomic_file;
pub mod blobs;
mod changes;
mod damage;
pub mod data_dir;
mod database;
pub mod error;
pub mod export;
pub mod free_space;
pub mod identity;
pub mod index;
mod index_file;
mod index_key;
mod journal;
pub mod large_buffer;
pub mod manifests;
mod records;
mod recovery;
mod reserve;
pub mod spool;
