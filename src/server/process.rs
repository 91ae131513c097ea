//! The server process: raises the limit of open files and runs the server in an actix system of its own.

use actix_rt::{Arbiter, ArbiterHandle};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thread_priority::ThreadPriority;
#[cfg(target_os = "linux")]
use thread_priority::unix::{
    NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};

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
    check_open_files(raise_open_files())?;
    actix_rt::System::new().block_on(async move {
        let running = build(settings).await?;
        ready(&running);
        running.run(reload).await;
        Ok(())
    })
}

/// Starts a thread with an event loop for what must not delay pulls: the threads that serve them get the processor
/// first.
#[expect(clippy::expect_used, reason = "without its threads the service cannot start")]
pub(super) fn low_priority_arbiter() -> ArbiterHandle {
    let runtime = || {
        lower_priority();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().max_blocking_threads(LOW_PRIORITY_BLOCKING_THREADS);
        runtime.on_thread_start(lower_priority).build().expect("a thread can be started")
    };
    Arbiter::with_tokio_rt(runtime).handle()
}

/// Maximum number of threads for the blocking work of that event loop.
const LOW_PRIORITY_BLOCKING_THREADS: usize = 4;

/// Has the present thread run when no other is ready (sched(7), `SCHED_IDLE`). A higher nice value is not enough: with
/// it a thread ends its time slice of some milliseconds before one that has work again.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    {
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        if let Err(error) = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle) {
            tracing::warn!(%error, "the pages of the console are made with the same priority as pulls are served");
        }
    }
}

/// Returns the maximum number of open files of this process; `None` if there is no limit.
pub(super) fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Minimum limit of open files: each thread needs some before the first connection is accepted.
const MIN_OPEN_FILES: u64 = 256;

fn check_open_files(limit: Option<u64>) -> Result<(), StartError> {
    match limit {
        Some(limit) if limit < MIN_OPEN_FILES => Err(StartError::OpenFiles { limit, needed: MIN_OPEN_FILES }),
        Some(_) | None => Ok(()),
    }
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
