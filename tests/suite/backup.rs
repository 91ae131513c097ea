//! Backups: made beside the running service, restored into empty and used folders, and refused unless they are whole.

mod keys;
mod refused;
mod running;
mod settings;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::service::Service;

/// Runs the binary with these arguments.
fn run<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dependency-proxy")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Backs up the data folder of this service with its settings. Returns the file.
fn backup(service: &Service, name: &str, options: &[&str]) -> PathBuf {
    let file = service.data().with_extension(name);
    let config = ["backup", "--config", service.config().to_str().unwrap(), "--output", file.to_str().unwrap()];
    let output = run(config.into_iter().chain(options.iter().copied()));
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    file
}

/// Restores a backup into a data folder.
fn restore(data: &Path, from: &Path, options: &[&str]) -> Output {
    let paths = ["restore", "--data", data.to_str().unwrap(), "--from", from.to_str().unwrap()];
    run(paths.into_iter().chain(options.iter().copied()))
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Restores a backup, and returns the output.
fn restored(data: &Path, from: &Path, options: &[&str]) -> String {
    let output = restore(data, from, options);
    assert!(output.status.success(), "{output:?}");
    out(&output)
}
