//! Ctrl-C and SIGTERM: ends every server, removes every folder, and ends the bench.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{fs, io};

use tokio::signal::unix::{SignalKind, signal};

use crate::throughput::group;

/// Folders to remove if the bench is interrupted.
static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Registers a folder for removal if the bench is interrupted.
pub fn remember(folder: &Path) {
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner).push(folder.to_owned());
}

/// Starts to listen for signals, on a separate thread. Fails where the handlers cannot be installed.
pub fn watch() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _guard = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => (), _ = terminate.recv() => () }
        });
        group::end_all();
        for folder in FOLDERS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            // A second time, in case a server wrote another file while it was being ended.
            let _ = fs::remove_dir_all(folder).or_else(|_| fs::remove_dir_all(folder));
        }
        std::process::exit(130);
    })?;
    Ok(())
}
