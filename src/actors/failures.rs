//! Reports of failures of work that is repeated at intervals.

use crate::store::error::StoreError;
use crate::telemetry::LineLimit;

/// Logs the failure of some work, for each kind of work not too often. The end of the process is none.
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
