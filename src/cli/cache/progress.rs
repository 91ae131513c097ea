//! Progress of `cache warm` on standard error.

use std::collections::HashMap;
use std::io::IsTerminal;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value;

use super::rows::DIGEST_CHARS;
use crate::cli::output::{print_note, printable};

/// Maximum number of lines of blobs on a terminal.
const MAX_BARS: usize = 10;

/// The progress of a job on standard error: a line for each blob on a terminal, else a line for each image that ends.
pub(super) struct Shown {
    terminal: Option<(MultiProgress, ProgressBar)>,
    blobs: HashMap<String, ProgressBar>,
    printed: HashMap<String, String>,
}

impl Shown {
    /// Begins with nothing to show.
    pub(super) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal().then(|| {
            let all = MultiProgress::new();
            let summary = all.add(ProgressBar::new(0).with_style(style("{pos} of {len} images {wide_msg}")));
            (all, summary)
        });
        Self { terminal, blobs: HashMap::new(), printed: HashMap::new() }
    }

    /// Shows this state of the job.
    pub(super) fn update(&mut self, job: &Value) {
        let images = job["images"].as_array().map_or(&[][..], Vec::as_slice);
        for image in images {
            self.tell(image);
        }
        let Some((all, summary)) = &self.terminal else { return };
        let is_ended = |image: &&Value| image["state"] == "done" || image["state"] == "failed";
        summary.set_length(images.len() as u64);
        summary.set_position(images.iter().filter(is_ended).count() as u64);
        let layers = images.iter().flat_map(|image| image["layers"].as_array().into_iter().flatten());
        for layer in layers {
            let (Some(digest), Some(length)) = (layer["digest"].as_str(), layer["length"].as_u64()) else { continue };
            let received = layer["received"].as_u64().unwrap_or_default();
            if layer["done"] == true {
                self.blobs.remove(digest).iter().for_each(ProgressBar::finish_and_clear);
            } else if let Some(bar) = self.blobs.get(digest) {
                bar.set_position(received);
            } else if received > 0 && self.blobs.len() < MAX_BARS {
                let bar = ProgressBar::new(length).with_style(style(
                    "{prefix} {bar:30} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}, {eta} left",
                ));
                bar.set_prefix(digest.chars().take(DIGEST_CHARS).collect::<String>());
                let bar = all.insert_before(summary, bar);
                // The speed is measured from now on.
                bar.set_position(received);
                bar.reset_eta();
                self.blobs.insert(digest.to_owned(), bar);
            }
        }
    }

    /// Prints a line when an image has ended or failed, or waits.
    fn tell(&mut self, image: &Value) {
        let text = |field: &str| image[field].as_str().unwrap_or_default();
        let (name, state) = (text("image"), text("state"));
        if !matches!(state, "done" | "failed" | "held")
            || self.printed.get(name).is_some_and(|printed| printed == state)
        {
            return;
        }
        self.printed.insert(name.to_owned(), state.to_owned());
        let message = if text("message").is_empty() { String::new() } else { format!(": {}", text("message")) };
        let line = printable(&format!("{state} {name}{message}"));
        match &self.terminal {
            // Printed above the bars.
            Some((all, _)) => drop(all.println(line)),
            None => print_note(&line),
        }
    }

    /// Removes the lines from the terminal.
    pub(super) fn clear(&self) {
        if let Some((all, _)) = &self.terminal {
            // What cannot be cleared stays on the screen.
            drop(all.clear());
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
