//! Ends the process when an actor panics: its state is unknown and its address dead for good, so that going on would only
//! look like service.

/// Put into the `Drop` of an actor: where that drop comes from a panic, says so and ends the process.
pub(super) fn abort_on_panic(actor: &'static str) {
    if std::thread::panicking() && !cfg!(test) {
        tracing::error!(actor, "an actor panicked; its state is unknown, so the process ends");
        crate::telemetry::finish_log();
        std::process::abort();
    }
}
