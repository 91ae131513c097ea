//! Progress of an examination on a terminal: a bar with the bytes that are verified, the speed and the time left.
//! Prints nothing where standard error is no terminal.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use crate::admin::fsck::Progress;

/// The bar, if there is a terminal.
pub(super) struct Bar(Option<ProgressBar>);

const TEMPLATE: &str = "{msg} [{bar:30}] {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left";

impl Bar {
    /// Creates the bar without printing it.
    pub(super) fn new() -> Self {
        Self(std::io::stderr().is_terminal().then(ProgressBar::new_spinner))
    }

    /// Shows this progress.
    pub(super) fn show(&self, progress: Progress) {
        let Some(bar) = &self.0 else { return };
        match progress {
            Progress::Comparing => bar.set_message("comparing the index with the files"),
            Progress::Reading(bytes) => {
                if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
                    bar.set_style(style.progress_chars("=> "));
                }
                bar.set_length(bytes);
                bar.reset_eta();
                bar.set_message("verifying blobs");
            }
            Progress::Read(bytes) => bar.inc(bytes),
            Progress::Repairing => {
                bar.set_style(ProgressStyle::default_spinner());
                bar.set_message("repairing");
            }
        }
        bar.tick();
    }

    /// Removes the bar from the terminal.
    pub(super) fn clear(&self) {
        self.0.iter().for_each(ProgressBar::finish_and_clear);
    }
}
