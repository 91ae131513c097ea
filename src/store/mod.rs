//! What this service keeps: the only room that knows sled and the file system. Everything here blocks; callers are on a
//! blocking thread. Knows nothing of requests, upstreams or actors.

pub mod blobs;
mod changes;
mod damage;
pub mod data_dir;
mod database;
pub mod durable;
pub mod error;
pub mod export;
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
pub mod room;
pub mod spool;
