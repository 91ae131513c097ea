//! Parts of the benches: the [comparison](throughput) with other servers, an [index](filled) of any size, a
//! [group](tagged) with 100,000 tags, and the [binary] that is measured in a [process]. Nothing of it is part of the
//! product.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    reason = "it prints what it finds, and nothing outside the benches sees its items"
)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking"))]

pub mod binary;
pub mod filled;
pub mod process;
pub mod tagged;
pub mod throughput;
