//! The server as what a process does: with as many open files as the system allows, in an actix system of its own.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Reloadable, RunningServer, StartError, build};
use crate::settings::Settings;

/// Serves until the process is told to stop. `ready` is called once connections are accepted, `reload` at each SIGHUP.
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

/// How many files this process may have open; `None` where there is no limit.
pub(super) fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Every client and every download holds files open; the usual soft limit of 1024 is for programs of another time. Says how many
/// may be open from now on; `None` where there is no limit.
pub fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => {
            tracing::debug!(before = ?limit.current, now = ?limit.maximum, "limit of open files");
            limit.maximum
        }
        Err(error) => {
            tracing::warn!(%error, limit = ?limit.current, "the limit of open files stays as it is");
            limit.current
        }
    }
}
