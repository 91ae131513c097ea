//! The real engines of a fleet for the tests and benches, on loopback in temporary folders: a PostgreSQL cluster and an
//! S3 server, each behind [fronts](Front) whose behaviour a caller switches.
//!
//! One of each serves the whole process: a caller takes a database and a prefix of the bucket. A caller with an outage
//! starts its own, which it can stop and start again. All end with the process, and their folders go.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test or bench ends where an engine cannot do what it was told"
)]

mod bucket;
mod front;
mod guard;
mod postgres;
mod python;

pub use bucket::{BUCKET, Bucket, KEY_ID, REGION, SECRET_KEY};
pub use front::{Front, Mode};
pub use postgres::{Database, Postgres, Turn};
pub use python::python;

/// Returns a free port below those that the kernel chooses.
pub fn free_port() -> u16 {
    guard::free_ports(1)
}
