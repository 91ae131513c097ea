//! Progress of an examination on a terminal: a bar with the bytes that are verified, the speed and the time left.
//! Prints nothing where standard error is no terminal.

use crate::admin::fsck::Progress;
use crate::cli::byte_bar::ByteBar;

/// Shows this progress.
pub(super) fn show(bar: &ByteBar, progress: Progress) {
    match progress {
        Progress::Comparing => bar.say("comparing the index with the files"),
        Progress::Reading(bytes) => bar.begin(bytes, "verifying blobs"),
        Progress::Read(bytes) => bar.add(bytes),
        Progress::Repairing => bar.end("repairing"),
    }
}
