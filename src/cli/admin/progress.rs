//! Progress of `admin share`: a bar on a terminal with the bytes that are uploaded, the speed and the time left; else a
//! line for each tenth.

use std::cell::Cell;

use crate::admin::share::Progress;
use crate::cli::byte_bar::ByteBar;
use crate::cli::output::{bytes, print_note};

/// The progress of a move.
pub(super) struct ShareProgress {
    bar: ByteBar,
    /// Number of bytes to upload, and of those that are uploaded.
    total: Cell<u64>,
    done: Cell<u64>,
}

/// Number of lines that are printed where there is no terminal.
const LINES: u64 = 10;

impl ShareProgress {
    /// Creates the progress without printing it.
    pub(super) fn new() -> Self {
        Self { bar: ByteBar::new(), total: Cell::default(), done: Cell::default() }
    }

    /// Shows this progress.
    pub(super) fn show(&self, progress: Progress) {
        match progress {
            Progress::Identities => self.bar.say("moving users, groups and tokens"),
            Progress::Index(links, images) => self.bar.say(format!("moving the index: {links} links, {images} images")),
            Progress::Uploading(bytes) => {
                self.total.set(bytes);
                self.bar.begin(bytes, "uploading manifests and blobs");
            }
            Progress::Uploaded(bytes) => self.add(bytes),
        }
    }

    fn add(&self, more: u64) {
        let (before, total) = (self.done.get(), self.total.get().max(1));
        let now = before + more;
        self.done.set(now);
        self.bar.add(more);
        if !self.bar.is_shown() && before * LINES / total < now * LINES / total {
            print_note(&format!("uploaded {} of {}", bytes(now), bytes(total)));
        }
    }

    /// Removes the bar from the terminal.
    pub(super) fn clear(&self) {
        self.bar.clear();
    }
}
