//! Tests of the blob cache against an upstream that cuts connections, sends wrong content, stalls and panics.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test; panics are tested")]

mod download;
mod fake_upstream;
mod file_ranges;
mod head;
mod interleavings;
mod ranges;
mod scene;
mod stored;
mod unstored;

use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use tokio::time::{sleep, timeout};

use self::fake_upstream::{FakeUpstream, Reply};
use self::scene::{
    DEADLINE, LIMITS, OPTIONS, Scene, collect, elsewhere, full_at_70_000, most, read, read_range, send_range, stocked,
    taken,
};
use super::*;
use crate::actors::blob_cache::{Chunk, Transfer};
use crate::upstream::{HttpFailure, UpstreamError};
