//! Why a verb ends without having done its work, and the exit code that goes with it. Never a secret.

use std::process::ExitCode;

use crate::server::{ResetError, RestoreError, StartError};
use crate::settings::SettingsErrors;
use crate::telemetry::TelemetryError;

/// Why a verb failed. The text is for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The service said no.
    #[error("{message} ({status})")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the service says.
        message: String,
    },
    /// Several tokens could be meant.
    #[error("several tokens are called '{reference}'; give the number of one:\n{candidates}")]
    Ambiguous {
        /// The name that was looked for.
        reference: String,
        /// A table of them.
        candidates: String,
    },
    /// The service said something that is not of its API.
    #[error("{0} does not answer as this service does: is --url right?")]
    Foreign(String),
    /// A step of `check` failed; it has been told already.
    #[error("the check failed at '{0}'")]
    Check(&'static str),
    /// `bench` measured nothing, or got wrong content.
    #[error("{0}")]
    Bench(String),
    /// Nobody confirmed a change that takes more with it, so that it was not made.
    #[error("{0}")]
    Unconfirmed(&'static str),
    /// What was typed, piped or set in the environment cannot be used.
    #[error("{0}")]
    Input(String),
    /// The service cannot be reached.
    #[error("{url} cannot be reached: {problem}")]
    Unreachable {
        /// Where it should be.
        url: String,
        /// What went wrong.
        problem: String,
    },
    /// The settings.
    #[error(transparent)]
    Settings(#[from] SettingsErrors),
    /// Logging.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The service did not start.
    #[error(transparent)]
    Run(#[from] StartError),
    /// The store was not changed.
    #[error(transparent)]
    Reset(#[from] ResetError),
    /// The identities were not restored.
    #[error(transparent)]
    Restore(#[from] RestoreError),
}

impl Failure {
    /// The service's refusal; GitLab's messages often begin with the status.
    pub(super) fn refused(status: u16, message: &str) -> Self {
        let message = message.strip_prefix(&format!("{status} ")).unwrap_or(message).to_owned();
        Self::Refused { status, message }
    }

    /// As documented in `--help`.
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Refused { .. }
            | Self::Ambiguous { .. }
            | Self::Foreign(_)
            | Self::Check(_)
            | Self::Bench(_)
            | Self::Unconfirmed(_)
            | Self::Reset(_)
            | Self::Restore(_) => 1,
            Self::Input(_) => 2,
            Self::Unreachable { .. } => 3,
            Self::Settings(_) | Self::Telemetry(_) | Self::Run(_) => 4,
        })
    }
}
