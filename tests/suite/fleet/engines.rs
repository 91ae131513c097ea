//! The real engines of a fleet, on loopback in temporary folders: a PostgreSQL cluster and an S3 server.
//!
//! One of each serves the whole test process: a test takes a database and a prefix of the bucket. A test with an outage
//! starts its own, which it can stop and start again. All end with the test process, and their folders go.

mod bucket;
mod guard;
mod postgres;

pub use bucket::{BUCKET, Bucket, KEY_ID, REGION, SECRET_KEY};
pub use postgres::{Database, Postgres};

/// Returns a free port below those that the kernel chooses.
pub fn free_port() -> u16 {
    guard::free_ports(1)
}
