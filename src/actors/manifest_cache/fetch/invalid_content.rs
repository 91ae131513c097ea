//! Content of a response that is not the requested manifest: what it shows about upstream, and what the client learns.

use super::{cause, invalid};
use crate::actors::manifest_cache::request::ManifestKey;
use crate::actors::memory_budget::CollectError;
use crate::actors::pull_failure::Cause;
use crate::actors::upstream_fetcher::Verdict;
use crate::domain::manifest::ManifestError;
use crate::domain::origin::Origin;
use crate::telemetry::LineLimit;
use crate::upstream::{MirrorContent, UpstreamError};

/// Reason why the content of a response is not the requested manifest.
#[derive(Debug)]
pub(super) enum Invalid {
    /// Not all of it was received, or something else.
    Collect(CollectError),
    /// It is no manifest that can be used.
    NoManifest {
        error: ManifestError,
        /// True if its digest is the expected one: it is what upstream has, and a later request gets the same.
        digest_holds: bool,
    },
}

/// The problem of a response that may be an error page.
const NO_MANIFEST: &str = "no manifest";

impl<T: Into<CollectError>> From<T> for Invalid {
    fn from(error: T) -> Self {
        Self::Collect(error.into())
    }
}

impl Invalid {
    /// Returns what this shows about upstream. Upstream works even if the content that it has is no manifest.
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::Collect(CollectError::Upstream(error)) => Verdict::Failed(error.clone()),
            Self::Collect(CollectError::NoMemory(_)) => Verdict::Open,
            Self::NoManifest { .. } if self.is_error_page() => Verdict::Failed(invalid(NO_MANIFEST)),
            Self::NoManifest { .. } => Verdict::Works,
        }
    }

    /// Returns true for content that is certainly not the requested one.
    pub(super) fn is_other_content(&self) -> bool {
        matches!(
            self,
            Self::Collect(CollectError::Upstream(UpstreamError::InvalidResponse { .. } | UpstreamError::TooLong))
                | Self::NoManifest { digest_holds: false, .. }
        )
    }

    /// Returns true for content that broke off.
    pub(super) fn is_interruption(&self) -> bool {
        matches!(self, Self::Collect(CollectError::Upstream(UpstreamError::Interrupted { .. })))
    }

    /// Returns true for content that may be an error page of a gateway: it has a media type that no manifest has, and
    /// its digest is not known to be that of the requested content.
    fn is_error_page(&self) -> bool {
        matches!(self, Self::NoManifest { error: ManifestError::MediaType(_), digest_holds: false })
    }

    /// As [`Self::cause`], for content that a mirror has sent: what is wrong with it is not upstream's.
    pub(super) fn cause_at(&self, mirror: &MirrorContent, key: &ManifestKey) -> Cause {
        match (self.cause(key), mirror.name()) {
            (Cause::InvalidResponse { what }, Some(name)) => {
                Cause::InvalidResponse { what: format!("its mirror {name}: {what}") }
            }
            (cause, _) => cause,
        }
    }

    /// Logs what the cause does not say in detail, and returns the cause.
    pub(super) fn cause(&self, key: &ManifestKey) -> Cause {
        let error = match self {
            Self::Collect(error) => return cause(key, error),
            Self::NoManifest { error, .. } => error,
        };
        static LINES: LineLimit<Origin> = LineLimit::new();
        let (image, reference) = (&key.origin, &key.reference);
        if let Some(left_out) = LINES.admit(image) {
            tracing::warn!(%image, %reference, %error, left_out, "upstream has something else than a manifest");
        }
        if self.is_error_page() {
            return Cause::InvalidResponse { what: NO_MANIFEST.to_owned() };
        }
        Cause::Unusable { problem: format!("in a form that cannot be used: {error}") }
    }
}
