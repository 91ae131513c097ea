//! Error messages for operators, word for word, and the defaults.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod arbitrary;
mod chosen;
mod faults;
mod secrets;
mod sentences;
mod values;

use std::ffi::OsString;
use std::io::Write;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::*;
use crate::domain::deadlines;
use crate::domain::min_free::MinFree;
use crate::domain::origin::Account;
use crate::domain::policy::PublicGroups;
use crate::telemetry::LogFormat;
use crate::upstream::{AccountOptions, HostPort, HttpProxy};

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Settings, String> {
    let variable = |(name, value): &(&str, &str)| (OsString::from(name), OsString::from(value));
    Settings::from_text(Some(("my.toml", text)), environment.iter().map(variable), |_| Vec::new())
        .map_err(|error| error.to_string())
}

fn refusal(text: &str) -> String {
    load(text, &[]).unwrap_err()
}

fn variable_refusal(name: &str, value: &str) -> String {
    load("", &[(name, value)]).unwrap_err()
}

fn secret_file(secret: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(secret.as_bytes()).unwrap();
    file
}

fn account<'a>(settings: &'a Settings, upstream: &str, username: &str) -> &'a AccountOptions {
    let upstream = settings.upstreams.iter().find(|known| known.name.as_str() == upstream).unwrap();
    upstream.accounts.iter().find(|account| account.username == username).unwrap()
}
