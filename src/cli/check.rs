//! `check`: runs the steps of a pull one by one, as a client does, and reports the first that fails, and
//! why. It stores nothing.

mod walk;

use clap::Args;
use serde_json::json;

use super::connection::Service;
use super::credentials::Credentials;
use super::failure::Failure;
use super::image::Image;
use super::output::{print_line, printable};
use walk::Walk;

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    service: Service,
    /// Full path of the group to pull for
    #[arg(long)]
    group: String,
    /// Image, as it is written after /dependency_proxy/containers/
    #[arg(long, default_value = "alpine:latest")]
    image: Image,
    #[command(flatten)]
    credentials: Credentials,
    /// Print each step as a line of JSON
    #[arg(long)]
    json: bool,
}

impl CheckArgs {
    /// Runs the steps and prints each.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let login = self.credentials.login()?;
        let http = self.service.http()?;
        let Service { url, .. } = &self.service;
        let steps = Steps { as_json: self.json };
        let walk = Walk { http: &http, url, group: &self.group, image: &self.image, login, steps };
        walk.run().await
    }
}

/// Result of a step: a value for the next steps and a text, or the failure.
type Found<T> = Result<(T, String), StepFailure>;

/// The step that failed, and the reason.
#[derive(Debug, PartialEq)]
struct StepFailure {
    step: &'static str,
    why: String,
}

impl StepFailure {
    fn at(step: &'static str, why: impl Into<String>) -> Self {
        Self { step, why: why.into() }
    }
}

/// The output of steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steps {
    /// Prints lines of JSON.
    pub(super) as_json: bool,
}

impl Steps {
    /// Prints the result of a step. Returns its value, or [`Failure::Check`].
    fn report<T>(self, step: &'static str, found: Found<T>) -> Result<T, Failure> {
        match found {
            Ok((value, text)) => {
                self.print(step, Ok(&text));
                Ok(value)
            }
            Err(wrong) => {
                self.print(wrong.step, Err(&wrong.why));
                Err(Failure::Check(wrong.step))
            }
        }
    }

    /// Prints a step with its text, which is an error for a failed one.
    pub(super) fn print(self, step: &str, found: Result<&str, &str>) {
        let (Ok(text) | Err(text)) = found;
        print_line(&match self.as_json {
            true => json!({ "step": step, "ok": found.is_ok(), "text": text }).to_string(),
            false => line(if found.is_ok() { "ok" } else { "FAIL" }, step, text),
        });
    }
}

/// Formats a step as a line: its result (`ok` or `FAIL`), its name and the text.
pub(super) fn line(word: &str, step: &str, text: &str) -> String {
    format!("{word:<5} {step:<11} {}", printable(text))
}
