//! A registry on loopback for the tests and benches, in two modes: [as Docker Hub behaves](FakeRegistry::start), and
//! [as fast as possible](FakeRegistry::fast). Either serves images that are generated, counts its requests, and
//! misbehaves on command.
//!
//! Three listeners on three ports: the registry, the token realm and the storage of blobs. It has its own thread and
//! runtime, so that it continues while the runtime of the caller is blocked, and ends with its [`FakeRegistry`]. It
//! accepts no pushes over HTTP, and connects to nobody.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test or bench ends where its registry cannot do what it was told"
)]

mod accounts;
mod connection;
mod content;
mod controls;
mod counts;
mod faults;
mod handle;
mod image;
mod listeners;
mod pages;
mod realm;
mod registry;
mod reply;
mod requests;
mod rule;
mod settings;
mod storage;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

pub use content::{Content, File};
pub use counts::{Counts, Requests};
pub use handle::FakeRegistry;
pub use image::{DOCKER_LIST, DOCKER_MANIFEST, Image, Layer, OCI_INDEX, OCI_MANIFEST};
pub use requests::{Authorization, Kind, Listener, Request};
pub use rule::Rule;
pub use settings::Pace;
pub use tls::Certificate;
