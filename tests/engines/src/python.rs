//! The Python environment of the tests, which has the S3 server as a package.

use std::ffi::OsString;
use std::path::Path;

/// Environment variable with the path of its interpreter, which `tests/run` sets.
const VARIABLE: &str = "DEPENDENCY_PROXY_TEST_PYTHON";

/// Path below the target folder at which `tests/run` makes it.
const INTERPRETER: &str = "tests-python/bin/python";

/// Returns the path of the Python that has the packages of `tests/requirements.txt`.
///
/// # Panics
///
/// Panics where `tests/run` has not made it yet.
pub fn python() -> OsString {
    std::env::var_os(VARIABLE).unwrap_or_else(|| {
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        // A relative path is one from the root of the workspace, as in `tests/run`.
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let python = root.join(target).join(INTERPRETER);
        assert!(python.exists(), "run tests/run once: it makes {}, with the S3 server", python.display());
        python.into()
    })
}
