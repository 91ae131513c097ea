//! Ctrl-C and SIGTERM: ends every server, removes every folder, and then the bench itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tokio::signal::unix::{SignalKind, signal};

use crate::contender;

/// Folders to remove where nothing else will.
static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Has this folder removed where the bench is interrupted.
pub fn remember(folder: &Path) {
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner).push(folder.to_owned());
}

/// Listens from now on, on a thread of its own.
pub fn watch() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => (), _ = terminate.recv() => () }
        });
        contender::end_all();
        for folder in FOLDERS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            // Once more where a server wrote another file while it was being ended.
            let _gone = fs::remove_dir_all(folder).or_else(|_| fs::remove_dir_all(folder));
        }
        std::process::exit(130);
    })?;
    Ok(())
}
