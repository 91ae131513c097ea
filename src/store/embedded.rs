//! The embedded store: sled and small files below the data folder and the cache folder. All functions block.

mod changes;
mod database;
pub mod export;
pub mod identity;
pub mod index;
mod index_file;
mod index_key;
mod journal;
mod records;
mod recovery;
pub(super) mod reserve;
