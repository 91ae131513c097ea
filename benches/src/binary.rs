//! The release binary of the service. Cargo builds it once per run of a bench, as a package of its own, so that it has
//! the product's features and no others.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::{env, io};

use serde_json::Value;

/// Environment variable with the path of another binary to measure, such as the static one.
pub const VARIABLE: &str = "DEPENDENCY_PROXY_BENCH_BINARY";

const NAME: &str = "dependency-proxy";

static PATH: OnceLock<PathBuf> = OnceLock::new();

/// Returns the path of the binary: that of [`VARIABLE`], or one that is built now if it is not up to date.
///
/// # Errors
///
/// Fails where cargo cannot build it.
pub fn path() -> io::Result<&'static Path> {
    if let Some(path) = PATH.get() {
        return Ok(path);
    }
    let path = env::var_os(VARIABLE).map_or_else(build, |path| Ok(path.into()))?;
    Ok(PATH.get_or_init(|| path))
}

/// Returns the version that the binary prints; `None` where it cannot be run.
pub fn version() -> Option<String> {
    let output = Command::new(path().ok()?).arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).split_whitespace().last()?.to_owned())
}

fn build() -> io::Result<PathBuf> {
    // Cargo sets this variable for a bench that it runs.
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit());
    command.args(["build", "--release", "--locked", "--package", NAME, "--bin", NAME]);
    let output = command.arg("--message-format=json-render-diagnostics").output()?;
    let built = String::from_utf8_lossy(&output.stdout).lines().find_map(executable);
    built.filter(|_| output.status.success()).ok_or_else(|| io::Error::other("cargo did not build the service"))
}

/// Returns the path of the binary, if this line of cargo's output is about it.
fn executable(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_ours = message["reason"] == "compiler-artifact" && message["target"]["name"] == NAME;
    message["executable"].as_str().filter(|_| is_ours).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_found_among_the_messages_of_cargo() {
        let line = r#"{"reason":"compiler-artifact","target":{"name":"dependency-proxy"},"executable":"/target/it"}"#;
        assert_eq!(executable(line), Some(PathBuf::from("/target/it")));
        for other in [
            line.replace("dependency-proxy", "another"),
            line.replace(r#""/target/it""#, "null"),
            line.replace("compiler-artifact", "build-script-executed"),
            "   Compiling".to_owned(),
        ] {
            assert_eq!(executable(&other), None, "{other}");
        }
    }
}
