//! The vocabulary of the service as validated types: names, digests, references, identities, policy, manifests and
//! the state machine of a download. Does no I/O, reads no clock, draws no random numbers and names no framework.

pub mod access;
pub mod backoff;
pub mod bootstrap;
pub mod byte_range;
pub mod challenge;
pub mod commands;
pub mod deadlines;
pub mod digest;
pub mod directory;
pub mod download;
pub mod eviction;
pub mod group;
pub mod id;
pub mod image_path;
pub mod limits;
pub mod list_query;
pub mod manifest;
pub mod min_free;
pub mod origin;
pub mod overlap;
pub mod platform;
pub mod policy;
pub mod quota;
pub mod reference;
pub mod regained;
pub mod repository;
pub mod scope;
pub mod token;
pub mod upstream;
pub mod user;
