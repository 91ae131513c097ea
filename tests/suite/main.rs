//! The test binary: the whole service against upstreams that behave and upstreams that misbehave.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    unreachable_pub,
    reason = "a test says what is wrong by panicking, and nothing outside this binary sees its items"
)]

mod api;
mod api_description;
mod audit;
mod backup;
mod blobs;
mod canary;
mod console;
mod crash;
mod documents;
mod eviction;
mod explanation;
mod fair;
mod faults;
mod fleet;
mod freshness;
mod fsck;
mod group_accounts;
mod held_changes;
mod herd;
mod image_lists;
mod images;
mod isolation;
mod kept_paths;
mod layers;
mod limits;
mod memory;
mod moving;
mod operating;
mod protocol;
mod pull;
mod pull_limit;
mod purge;
mod readme;
mod real_clients;
mod registries;
mod sending;
mod service;
mod small_disk;
mod soak;
mod terraform;
mod upstream_client;
mod verbs;
