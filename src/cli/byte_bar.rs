//! The bar of a command that reads or uploads many bytes, on standard error.

use std::borrow::Cow;
use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar with the bytes that are done, the speed and the time left; nothing where standard error is no terminal.
pub(super) struct ByteBar(Option<ProgressBar>);

const TEMPLATE: &str = "{msg} [{bar:30}] {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left";

impl ByteBar {
    /// Creates the bar without printing it.
    pub(super) fn new() -> Self {
        Self(std::io::stderr().is_terminal().then(ProgressBar::new_spinner))
    }

    /// Returns true if standard error is a terminal, so that the bar is shown.
    pub(super) fn is_shown(&self) -> bool {
        self.0.is_some()
    }

    /// Shows this text, with the bar of before.
    pub(super) fn say(&self, text: impl Into<Cow<'static, str>>) {
        let Some(bar) = &self.0 else { return };
        bar.set_message(text);
        bar.tick();
    }

    /// Shows this text, with the bar of a work of this number of bytes.
    pub(super) fn begin(&self, total: u64, text: &'static str) {
        let Some(bar) = &self.0 else { return };
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_length(total);
        bar.reset_eta();
        bar.set_message(text);
        bar.tick();
    }

    /// Adds bytes that are done.
    pub(super) fn add(&self, bytes: u64) {
        let Some(bar) = &self.0 else { return };
        bar.inc(bytes);
        bar.tick();
    }

    /// Shows this text without the bar.
    pub(super) fn end(&self, text: &'static str) {
        let Some(bar) = &self.0 else { return };
        bar.set_style(ProgressStyle::default_spinner());
        bar.set_message(text);
        bar.tick();
    }

    /// Removes the bar from the terminal.
    pub(super) fn clear(&self) {
        self.0.iter().for_each(ProgressBar::finish_and_clear);
    }
}
