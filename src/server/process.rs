//! The server process: raises the limit of open files and runs the server in an actix system of its own.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Reloadable, RunningServer, StartError, build};
use crate::settings::Settings;

/// Serves until the process receives a signal to stop. `ready` is called once connections are accepted, `reload` at
/// each SIGHUP.
///
/// # Errors
/// The server cannot start.
pub fn run(
    settings: Settings,
    ready: impl FnOnce(&RunningServer),
    reload: impl FnMut(&Reloadable) -> bool,
) -> Result<(), StartError> {
    raise_open_files();
    actix_rt::System::new().block_on(async move {
        let running = build(settings).await?;
        ready(&running);
        running.run(reload).await;
        Ok(())
    })
}

/// Returns the maximum number of open files of this process; `None` if there is no limit.
pub(super) fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Raises the soft limit of open files to the hard limit and returns it; `None` if there is no limit. Every client
/// and every download holds files open, and the usual soft limit of 1024 is too low for a server.
pub fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => {
            tracing::debug!(before = ?limit.current, now = ?limit.maximum, "limit of open files");
            limit.maximum
        }
        Err(error) => {
            tracing::warn!(%error, limit = ?limit.current, "the limit of open files could not be raised");
            limit.current
        }
    }
}
