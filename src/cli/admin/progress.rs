//! Progress of `admin share`: a bar on a terminal with the bytes that are uploaded, the speed and the time left; else a
//! line for each tenth.

use std::cell::Cell;
use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use crate::admin::share::Progress;
use crate::cli::output::{bytes, print_note};

/// The progress of a move.
pub(super) struct Bar {
    bar: Option<ProgressBar>,
    /// Number of bytes to upload, and of those that are uploaded.
    total: Cell<u64>,
    done: Cell<u64>,
}

const TEMPLATE: &str = "{msg} [{bar:30}] {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left";
/// Number of lines that are printed where there is no terminal.
const LINES: u64 = 10;

impl Bar {
    /// Creates the bar without printing it.
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(ProgressBar::new_spinner);
        Self { bar, total: Cell::default(), done: Cell::default() }
    }

    /// Shows this progress.
    pub(super) fn show(&self, progress: Progress) {
        match progress {
            Progress::Identities => self.say("moving users, groups and tokens".to_owned()),
            Progress::Index(links, images) => self.say(format!("moving the index: {links} links, {images} images")),
            Progress::Uploading(bytes) => self.begin(bytes),
            Progress::Uploaded(bytes) => self.add(bytes),
        }
    }

    fn say(&self, what: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(what);
            bar.tick();
        }
    }

    fn begin(&self, total: u64) {
        self.total.set(total);
        let Some(bar) = &self.bar else { return };
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_length(total);
        bar.reset_eta();
        bar.set_message("uploading manifests and blobs");
        bar.tick();
    }

    fn add(&self, more: u64) {
        let (before, total) = (self.done.get(), self.total.get().max(1));
        let now = before + more;
        self.done.set(now);
        match &self.bar {
            Some(bar) => bar.inc(more),
            None if before * LINES / total < now * LINES / total => {
                print_note(&format!("uploaded {} of {}", bytes(now), bytes(total)));
            }
            None => {}
        }
    }

    /// Removes the bar from the terminal.
    pub(super) fn clear(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}
