//! `serve`, the default subcommand: runs the service, and prints how to use it. It prints no secret.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use url::Url;

use super::failure::Failure;
use super::output::{announce, print_line};
use crate::domain::bootstrap::{GROUP, TOKEN_USERNAME};
use crate::domain::upstream::NetworkMode;
use crate::server::{self, Bootstrapped, Reloadable, RunningServer};
use crate::settings::{Keys, Settings, SettingsError, SettingsErrors, Storage};
use crate::telemetry::{self, Logging, TelemetryError};

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// TOML file with settings; the others have the defaults of config/default.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Report all errors of the settings, of the files and folders that a start needs, and of the engines of a fleet,
    /// and exit. Changes nothing, and can be used while the service runs
    #[arg(long)]
    check: bool,
    /// With --check: do not try the database and the bucket of a fleet, which may be away for a time, as before a
    /// reload
    #[arg(long, requires = "check")]
    without_engines: bool,
    /// Print the result of --check as JSON
    #[arg(long, requires = "check")]
    json: bool,
}

impl ServeArgs {
    /// Runs the service until it is stopped, or only checks the settings.
    pub(super) fn run(self) -> Result<(), Failure> {
        if self.check {
            let errors = self.checked_settings().err();
            if self.json {
                print_line(&format!("{:#}", checked(errors.as_ref())));
            } else if errors.is_none() {
                print_line("The settings are valid.");
            }
            return errors.map_or(Ok(()), |errors| Err(errors.into()));
        }
        let (settings, logging) = self.settings()?;
        // Dropped when the server has stopped, after its last span.
        let _traces = telemetry::start_traces(&settings.telemetry).map_err(TelemetryError::Traces)?;
        let (external, secure) = (settings.server.external_url.clone(), settings.server.tls().is_some());
        let storage = settings.storage.clone();
        let ready = |running: &RunningServer| {
            let metrics = running.metrics_address.map(tracing::field::display);
            tracing::info!(address = %running.address, metrics, "listening");
            let place = place(external.as_ref(), running.address);
            announce(&format!(
                "dependency-proxy {} is at {}",
                env!("CARGO_PKG_VERSION"),
                url(&place, external.as_ref(), secure)
            ));
            if let Some(bootstrapped) = &running.bootstrapped {
                announce(&welcome(bootstrapped, &storage, &place, running.address));
            }
        };
        let mut used = Used { at_start: settings.keys().clone(), present: settings.keys().clone() };
        server::run(settings, ready, |service| self.reload(&logging, &mut used, service))?;
        Ok(())
    }

    /// Loads the settings, and checks that the files, folders and addresses that they name can be used.
    fn usable_settings(&self) -> Result<Settings, SettingsErrors> {
        Settings::load_checked(self.config.as_deref(), std::env::vars_os(), server::check)
    }

    /// Loads and checks the settings as [`Self::usable_settings`] does, and tries the engines of a fleet.
    fn checked_settings(&self) -> Result<Settings, SettingsErrors> {
        if self.without_engines {
            return self.usable_settings();
        }
        let check =
            |settings: &Settings| server::check(settings).into_iter().chain(server::check_engines(settings)).collect();
        Settings::load_checked(self.config.as_deref(), std::env::vars_os(), check)
    }

    /// Reloads the settings in the running service, as far as that needs no restart, and logs which ones were
    /// applied. Returns false where the settings are invalid, so that nothing was changed.
    fn reload(&self, logging: &Logging, used: &mut Used, service: &Reloadable) -> bool {
        let settings = match self.usable_settings() {
            Ok(settings) => settings,
            Err(errors) => return stay(errors.iter()),
        };
        if let Err(error) = service.apply(&settings) {
            return stay([error].iter());
        }
        let applied = settings.keys().changed(&used.present).into_iter().filter(|key| is_applied(key));
        let waiting = settings.keys().changed(&used.at_start).into_iter().filter(|key| !is_applied(key));
        let (applied, waiting) = (applied.collect::<Vec<_>>().join(", "), waiting.collect::<Vec<_>>().join(", "));
        used.present = settings.keys().clone();
        warn_of_risks(&settings);
        // Logged before the log filter changes, because the new filter may suppress these lines.
        if applied.is_empty() {
            tracing::info!("SIGHUP: no setting that can be reloaded has changed");
        } else {
            tracing::info!(applied, "SIGHUP: changed settings are applied");
            service.note_change(&applied);
        }
        if service.serves_tls() {
            tracing::info!("SIGHUP: the certificate and its key are read again");
        }
        if !waiting.is_empty() {
            tracing::warn!(waiting, "SIGHUP: these changed settings need a restart");
        }
        if let Err(error) = logging.set_filter(&settings.log.filter) {
            tracing::error!(%error, "SIGHUP: log.filter stays as it is");
        }
        true
    }

    /// Loads the settings and starts logging as they define.
    fn settings(&self) -> Result<(Settings, Logging), Failure> {
        let settings = Settings::load(self.config.as_deref(), std::env::vars_os())?;
        let logging = telemetry::start_logging(&settings.log)?;
        warn_of_risks(&settings);
        Ok((settings, logging))
    }
}

/// Returns the result of a check as JSON.
fn checked(errors: Option<&SettingsErrors>) -> Value {
    let error = |error: &SettingsError| match error {
        SettingsError::Refused { place, key, problem } => {
            json!({ "place": place.to_string(), "key": key, "problem": problem })
        }
        SettingsError::Syntax { place, problem } | SettingsError::Variable { place, problem } => {
            json!({ "place": place.to_string(), "key": null, "problem": problem })
        }
        SettingsError::Unreadable { file, problem } => {
            json!({ "place": file, "key": null, "problem": problem.to_string() })
        }
    };
    let errors: Vec<Value> = errors.into_iter().flat_map(|errors| errors.iter()).map(error).collect();
    json!({ "valid": errors.is_empty(), "errors": errors })
}

/// The keys of the settings that the running service was started with, and of those that it uses now.
struct Used {
    at_start: Keys,
    present: Keys,
}

fn is_applied(key: &str) -> bool {
    key == "log.filter" || Reloadable::applies(key)
}

/// Logs the errors because of which the settings are not reloaded. Returns false.
fn stay<E: Display>(errors: impl Iterator<Item = E>) -> bool {
    for error in errors {
        tracing::error!(%error, "SIGHUP: the settings cannot be used and stay as they are");
    }
    false
}

fn warn_of_risks(settings: &Settings) {
    if settings.server.is_in_the_clear() {
        tracing::warn!(
            "other machines can connect to {} without TLS, so their credentials are sent unencrypted: set \
             tls_certificate and tls_key in [server], or, behind a proxy with TLS, external_url with https:// or \
             trusted_proxies",
            settings.server.listen
        );
    }
    if settings.proxy.network_mode == NetworkMode::Offline {
        tracing::warn!(
            "proxy.network_mode is offline: no registry is contacted, and only what is cached can be pulled"
        );
    }
    for (upstream, username) in settings.upstreams.unrestricted_accounts() {
        tracing::warn!(
            "every group can pull everything that the account '{username}' can read at {upstream}: set groups or \
             images of this account in upstreams.\"{upstream}\" to restrict it"
        );
    }
}

/// Returns the host that clients write before the first `/` of an image.
fn place(external: Option<&Url>, address: SocketAddr) -> String {
    let authority = |url: &Url| Some((url.host_str()?.to_owned(), url.port()));
    match external.and_then(authority) {
        Some((host, Some(port))) => format!("{host}:{port}"),
        Some((host, None)) => host,
        None if address.ip().is_unspecified() => format!("localhost:{}", address.port()),
        None => address.to_string(),
    }
}

fn url(place: &str, external: Option<&Url>, secure: bool) -> String {
    let scheme = external.map_or(if secure { "https" } else { "http" }, Url::scheme);
    format!("{scheme}://{place}")
}

/// Formats the commands for a first pull, which are printed at the first start only.
fn welcome(bootstrapped: &Bootstrapped, storage: &Storage, place: &str, address: SocketAddr) -> String {
    let login = shown(&bootstrapped.login_file, storage);
    let password = match &bootstrapped.password_file {
        Some(file) => {
            format!("The password of the administrator {} is in {}.", bootstrapped.admin, shown(file, storage))
        }
        None => format!("The administrator is {}, with the password that you chose.", bootstrapped.admin),
    };
    let reach = if address.ip().is_loopback() {
        "Only this machine can connect; see \"For a team\" in README.md to let others in."
    } else {
        "See \"For a team\" in README.md for the next steps."
    };
    format!(
        "\nTo pull a first image (this login works for 90 days):\n\n  \
         docker login {place} -u {TOKEN_USERNAME} --password-stdin < {login}\n  \
         docker pull  {place}/{GROUP}/dependency_proxy/containers/alpine:latest\n\n{password}\n{reach}\n"
    )
}

/// Returns the path of a file in the data folder, with the folder's path as the operator wrote it.
fn shown(file: &Path, storage: &Storage) -> String {
    let name = file.file_name().unwrap_or_default();
    storage.data_dir.join(name).display().to_string()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_tells_the_two_commands() {
        let settings = Settings::load(None, []).unwrap();
        let bootstrapped = Bootstrapped {
            admin: "root".to_owned(),
            password_file: Some("/somewhere/data/initial-admin-password".into()),
            login_file: "/somewhere/data/first-login".into(),
        };
        let address = settings.server.listen;
        let text = welcome(&bootstrapped, &settings.storage, &place(None, address), address);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[3], "  docker login 127.0.0.1:5050 -u example-pull --password-stdin < ./data/first-login");
        assert_eq!(lines[4], "  docker pull  127.0.0.1:5050/example/dependency_proxy/containers/alpine:latest");
        assert_eq!(lines[6], "The password of the administrator root is in ./data/initial-admin-password.");
        assert!(lines[7].starts_with("Only this machine can connect"), "{text}");
    }

    #[test]
    fn clients_are_told_the_name_that_they_can_reach() {
        let external: Url = "https://images.example.com".parse().unwrap();
        let any: SocketAddr = "0.0.0.0:5050".parse().unwrap();
        assert_eq!(place(Some(&external), any), "images.example.com");
        assert_eq!(place(None, any), "localhost:5050");
        assert_eq!(url("localhost:5050", None, true), "https://localhost:5050");
    }
}
