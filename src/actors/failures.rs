//! Reports of failures of work that is repeated at intervals.

use crate::store::error::StoreError;
use crate::telemetry::LineLimit;

/// Logs a failure of some work, at a limited rate for each kind of work. A failure because the process ends is not
/// logged.
pub(super) fn report(what: &'static str, outcome: Result<(), StoreError>) {
    static LINES: LineLimit<&'static str> = LineLimit::new();
    match outcome {
        Ok(()) | Err(StoreError::Closed) => {}
        Err(error) => {
            if let Some(left_out) = LINES.admit(&what) {
                tracing::warn!(%error, left_out, "{what}");
            }
        }
    }
}
