//! `check`: runs the steps of a pull one by one, as a client does, and reports the first that fails, and
//! why. It stores nothing.

mod walk;

use clap::Args;

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
}

impl CheckArgs {
    /// Runs the steps and prints each.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let login = self.credentials.login()?;
        let http = self.service.http()?;
        let walk = Walk { http: &http, url: &self.service.url, group: &self.group, image: &self.image, login };
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

/// Prints the result of a step. Returns its value, or [`Failure::Check`].
fn report<T>(step: &'static str, found: Found<T>) -> Result<T, Failure> {
    match found {
        Ok((value, text)) => {
            print_line(&line("ok", step, &text));
            Ok(value)
        }
        Err(wrong) => {
            print_line(&line("FAIL", wrong.step, &wrong.why));
            Err(Failure::Check(wrong.step))
        }
    }
}

/// Formats a step as a line: its result (`ok` or `FAIL`), its name and the text.
pub(super) fn line(word: &str, step: &str, text: &str) -> String {
    format!("{word:<5} {step:<11} {}", printable(text))
}
