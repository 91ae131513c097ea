//! Errors of subcommands, with their exit codes. They never contain a secret.

use std::process::ExitCode;

use crate::admin::backup::BackupError;
use crate::admin::fsck::FsckError;
use crate::admin::keys::KeysError;
use crate::admin::reset::ResetError;
use crate::admin::restore::RestoreError;
use crate::admin::share::ShareError;
use crate::server::StartError;
use crate::settings::SettingsErrors;
use crate::telemetry::TelemetryError;

/// Error of a subcommand, with a text for the user.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The service refused the request.
    #[error("{message} ({status})")]
    Refused {
        /// HTTP status of the response.
        status: u16,
        /// Error message of the service.
        message: String,
    },
    /// Several tokens have the given name.
    #[error("several tokens are called '{reference}'; give the number of one:\n{candidates}")]
    Ambiguous {
        /// The given name.
        reference: String,
        /// Table of the tokens.
        candidates: String,
    },
    /// The response is not one of this service's API.
    #[error("{0} is not this service, according to its response; check --url")]
    Foreign(String),
    /// A step of `check` failed; the reason has been printed already.
    #[error("the check failed at '{0}'")]
    Check(&'static str),
    /// `explain` found that a pull is refused; the reasons have been printed already.
    #[error("{user} may not pull from {group}")]
    Denied {
        /// The user name that was asked about.
        user: String,
        /// The group.
        group: String,
    },
    /// An upstream does not accept an account, or could not be reached. The text is the result of the test.
    #[error("{0}")]
    AccountTest(String),
    /// `bench` measured nothing, or received wrong content.
    #[error("{0}")]
    Bench(String),
    /// `cache warm` could not pull all images; the reasons have been printed already.
    #[error("{failed} of {images} images could not be pulled; the same command tries again what is left")]
    Warm {
        /// Number of images that could not be pulled.
        failed: usize,
        /// Number of all images.
        images: usize,
    },
    /// A change that also removes other objects was not confirmed, and was not made.
    #[error("{0}")]
    Unconfirmed(&'static str),
    /// `apply --dry-run` found changes, which have been printed already.
    #[error("the service differs from the file: {0} to make")]
    Difference(String),
    /// A file that a state file names cannot be used, or what a change needs is missing.
    #[error("{0}")]
    Unusable(String),
    /// An argument, standard input or an environment variable is invalid.
    #[error("{0}")]
    Input(String),
    /// The service cannot be reached.
    #[error("{url} cannot be reached: {problem}")]
    Unreachable {
        /// URL of the service.
        url: String,
        /// Cause of the failure.
        problem: String,
    },
    /// The settings are invalid.
    #[error(transparent)]
    Settings(#[from] SettingsErrors),
    /// Logging could not be started.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The service could not start.
    #[error(transparent)]
    Run(#[from] StartError),
    /// The administrator's password was not reset.
    #[error(transparent)]
    Reset(#[from] ResetError),
    /// There is no backup.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The signing keys were not rotated.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The identities were not restored.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The store was not moved into a fleet, or not completely.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// `fsck` has found something that is broken; it has been printed already.
    #[error("{0}")]
    Broken(String),
    /// The store was not examined.
    #[error(transparent)]
    Fsck(#[from] FsckError),
}

impl Failure {
    /// Returns a refusal of the service. Removes the status from the beginning of the message, where GitLab's
    /// messages often have it.
    pub(super) fn refused(status: u16, message: &str) -> Self {
        let message = message.strip_prefix(&format!("{status} ")).unwrap_or(message).to_owned();
        Self::Refused { status, message }
    }

    /// Returns the same failure, with what a refusal concerns before its message.
    pub(super) fn of(self, what: &str) -> Self {
        let Self::Refused { status, message } = self else { return self };
        Self::Refused { status, message: format!("{what}: {message}") }
    }

    /// Returns the same failure, with a note after the message of the service or the problem of the connection.
    pub(super) fn with_note(self, note: &str) -> Self {
        if let Self::Refused { status, message } = self {
            return Self::Refused { status, message: format!("{message}; {note}") };
        }
        let Self::Unreachable { url, problem } = self else { return self };
        Self::Unreachable { url, problem: format!("{problem}; {note}") }
    }

    /// Returns true if the same request may succeed later: the service is away, busy or limits its requests.
    pub(super) fn is_temporary(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Refused { status: 429 | 502..=504, .. })
    }

    /// Returns the same failure, with an exit code that is not that of an invalid command line: there it would mean
    /// something else.
    pub(super) fn not_of_the_command_line(self) -> Self {
        if let Self::Input(text) = self { Self::Unusable(text) } else { self }
    }

    /// Returns the same failure, of the change of `what` after `done` of `all` changes.
    pub(super) fn in_the_middle(self, what: &str, done: usize, all: usize) -> Self {
        let made = format!("{done} of {all} changes were made. The same command continues with what is left");
        if let Self::Unusable(text) = self {
            return Self::Unusable(format!("{what}: {text}; {made}"));
        }
        self.of(what).with_note(&made)
    }

    /// Returns the exit code, as documented in `--help`.
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Refused { .. }
            | Self::Ambiguous { .. }
            | Self::Foreign(_)
            | Self::Check(_)
            | Self::Denied { .. }
            | Self::AccountTest(_)
            | Self::Bench(_)
            | Self::Warm { .. }
            | Self::Unconfirmed(_)
            | Self::Reset(_)
            | Self::Backup(_)
            | Self::Keys(_)
            | Self::Restore(_)
            | Self::Share(_)
            | Self::Broken(_) => 1,
            Self::Input(_) | Self::Difference(_) => 2,
            Self::Unreachable { .. } => 3,
            Self::Settings(_) | Self::Telemetry(_) | Self::Run(_) | Self::Fsck(_) | Self::Unusable(_) => 4,
        })
    }
}
