//! `apply`, `export` and `config schema`: a company as a file.

mod applying;
mod digits;
mod documented;
mod exporting;
mod interrupted;
mod own_rights;
mod refusals;
mod schemas;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;

use fake_registry::FakeRegistry;
use serde_json::Value;

use super::{says, verb};
use crate::service::{ADMIN_TOKEN, Config, Service};

const EXAMPLE: &str = include_str!("../../../config/company.toml");

/// A service, and the folder of a state file.
struct Company {
    service: Service,
}

impl Company {
    fn start() -> Self {
        Self::with("")
    }

    /// Starts a service with these settings, too.
    fn with(settings: &str) -> Self {
        Self { service: Config::docker_hub(&FakeRegistry::start()).and(settings).start() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.service.data().with_file_name(name)
    }

    /// Returns the secret in a file that only its owner can read.
    fn secret(&self, name: &str) -> String {
        let file = self.path(name);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        fs::read_to_string(file).unwrap().strip_suffix('\n').unwrap().to_owned()
    }

    /// Writes the state file and applies it with these options.
    fn apply(&self, state: &str, options: &str) -> Output {
        self.apply_as(ADMIN_TOKEN, state, options)
    }

    fn apply_as(&self, token: &str, state: &str, options: &str) -> Output {
        fs::write(self.path("company.toml"), state).unwrap();
        verb(&self.service, token, &format!("apply --file company.toml {options}"), "")
    }

    /// Returns the plan for the state file: a line for each change.
    fn plan(&self, state: &str, options: &str) -> Vec<String> {
        let output = self.apply(state, &format!("--dry-run {options}"));
        let said = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<String> = said.lines().map(str::to_owned).collect();
        if output.status.code() == Some(0) {
            assert_eq!(lines, ["Nothing to change."]);
            return Vec::new();
        }
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
        lines
    }

    /// Returns the sentences of a refusal, for which nothing was changed.
    fn refusals(&self, state: &str, options: &str) -> Vec<String> {
        let output = self.apply(state, &format!("--yes {options}"));
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        said.trim_start_matches("dependency-proxy: ").lines().map(str::to_owned).collect()
    }

    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&says(&verb(&self.service, ADMIN_TOKEN, &format!("{line} --json"), ""))).unwrap()
    }

    /// Returns true if this deploy token of the group may pull.
    async fn may_pull(&self, group: &str, username: &str, secret: &str) -> bool {
        let scope = format!("&scope=repository:{group}/dependency_proxy/containers/alpine:pull");
        self.service.token(username, secret, &scope).await.status == 200
    }
}
