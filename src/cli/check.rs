//! `check`: walks the way of a pull as a client does, step by step, and says at which step what is wrong. Stores nothing.

mod walk;

use clap::Args;

use super::connection::Service;
use super::credentials::Credentials;
use super::failure::Failure;
use super::image::Image;
use super::output::{printable, say};
use walk::Walk;

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    service: Service,
    /// The group to pull for: its full path
    #[arg(long)]
    group: String,
    /// The image, as it stands behind /dependency_proxy/containers/
    #[arg(long, default_value = "alpine:latest")]
    image: Image,
    #[command(flatten)]
    credentials: Credentials,
}

impl CheckArgs {
    /// Does it.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let login = self.credentials.login()?;
        let http = self.service.http()?;
        let walk = Walk { http: &http, url: &self.service.url, group: &self.group, image: &self.image, login };
        walk.go().await
    }
}

/// What a step found, in words; with what the next steps need.
type Found<T> = Result<(T, String), Wrong>;

/// At which step a walk ends, and why.
#[derive(Debug, PartialEq)]
struct Wrong {
    step: &'static str,
    why: String,
}

impl Wrong {
    fn at(step: &'static str, why: impl Into<String>) -> Self {
        Self { step, why: why.into() }
    }
}

/// Tells how a step went.
fn tell<T>(step: &'static str, found: Found<T>) -> Result<T, Failure> {
    match found {
        Ok((value, text)) => {
            say(&line("ok", step, &text));
            Ok(value)
        }
        Err(wrong) => {
            say(&line("FAIL", wrong.step, &wrong.why));
            Err(Failure::Check(wrong.step))
        }
    }
}

/// A step in a line: how it went, its name, and what was found.
pub(super) fn line(word: &str, step: &str, text: &str) -> String {
    format!("{word:<5} {step:<11} {}", printable(text))
}
