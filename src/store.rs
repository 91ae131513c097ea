//! Persistent storage: identities, the index of the cache, manifests and blobs. The only layer that knows sled and
//! the file system. All functions block, unless their documentation states otherwise: call them on a blocking
//! thread. Knows nothing of requests, upstreams or actors.

pub mod atomic_file;
pub mod blobs;
mod damage;
pub mod data_dir;
pub mod embedded;
pub mod error;
pub mod free_space;
pub mod large_buffer;
pub mod manifests;
pub mod spool;
