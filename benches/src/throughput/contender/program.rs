//! Look-up of installed programs.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// Returns the path of a program; also searches the folders of Debian's servers, which are not in every PATH.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Returns the last word of its version line.
pub(super) fn version(name: &str, argument: &str) -> Option<String> {
    let output = Command::new(find(name)?).arg(argument).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let last = text.split_whitespace().last()?;
    Some(last.rsplit('/').next().unwrap_or(last).to_owned())
}
