//! Ends the process when an actor panics: the actor's state is unknown and its address stays dead, so the process
//! could not serve requests correctly any more.

/// Logs and aborts the process if the current drop is caused by a panic. Call it in the `Drop` of an actor.
pub(super) fn abort_on_panic(actor: &'static str) {
    if std::thread::panicking() && !cfg!(test) {
        tracing::error!(actor, "an actor panicked; its state is unknown, so the process ends");
        crate::telemetry::finish_log();
        std::process::abort();
    }
}
