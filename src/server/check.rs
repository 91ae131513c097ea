//! Check of what the settings refer to: files, folders, and congestion controls of the kernel. It creates nothing,
//! locks nothing and does not listen, so it can run beside the service.

use std::path::Path;

use super::error::StartError;
use super::fleet;
use super::net::{listeners, tls};
use crate::auth::jwt::{KeyError, KeySet, Signer};
use crate::auth::sealing::SealingKeys;
use crate::settings::{Settings, SettingsError};
use crate::store::cache_id::check_mounted;
use crate::store::data_dir::{check_folder, check_new_file, loose_mode, read_if_any};
use crate::upstream::{Registry, UpstreamOptions};

/// Returns all problems that would keep the service from starting with these settings, except for a port that is in
/// use.
pub fn check(settings: &Settings) -> Vec<SettingsError> {
    let faults = [
        tls_files(settings),
        congestion(settings),
        folders(settings),
        keys(settings),
        account_keys(settings),
        fleet_secret(settings),
        upstreams(settings),
    ];
    faults.into_iter().flatten().collect()
}

fn tls_files(settings: &Settings) -> Vec<SettingsError> {
    let files = settings.server.tls();
    let faults = files.iter().flat_map(tls::faults);
    faults.map(|(key, problem)| settings.refuse(&["server", key], problem)).collect()
}

fn congestion(settings: &Settings) -> Vec<SettingsError> {
    let wanted = settings.server.tcp_congestion_control.iter();
    let fault = |name: &String| {
        let error = listeners::try_congestion(settings.server.listen, name).err()?;
        Some(settings.refuse(&["server", "tcp_congestion_control"], error.to_string()))
    };
    wanted.filter_map(fault).collect()
}

fn folders(settings: &Settings) -> Vec<SettingsError> {
    let storage = &settings.storage;
    let fault = |key: &str, path: &Path| {
        check_folder(path).err().map(|error| settings.refuse(&["storage", key], error.to_string()))
    };
    let data = fault("data_dir", &storage.data_dir);
    // A folder below a data folder with a problem has the same one, so it is not reported again.
    let apart = !(data.is_some() && storage.cache_dir.starts_with(&storage.data_dir));
    let cache = if apart { fault("cache_dir", &storage.cache_dir) } else { None };
    let faults: Vec<_> = data.into_iter().chain(cache).collect();
    if !faults.is_empty() {
        return faults;
    }
    let unmounted = check_mounted(&storage.data_dir, &storage.cache_dir).err();
    unmounted.map(|error| settings.refuse(&["storage", "cache_dir"], error.to_string())).into_iter().collect()
}

/// Checks the key file. It may be missing, because the service then creates it.
fn keys(settings: &Settings) -> Vec<SettingsError> {
    let path = settings.auth.key_file_in(&settings.storage);
    let problem = key_file(settings, &path, |keys| Signer::new(keys, &settings.auth.service, 1).map(drop));
    problem.map(|problem| settings.refuse(&["auth", "key_file"], problem)).into_iter().collect()
}

/// Checks the key file of groups' accounts, as [`keys`].
fn account_keys(settings: &Settings) -> Vec<SettingsError> {
    let path = settings.auth.account_key_file_in(&settings.storage);
    let problem = key_file(settings, &path, |keys| SealingKeys::new(keys).map(drop)).or_else(|| {
        let loose = loose_mode(&path).ok().flatten()?;
        Some(format!("{}: {loose}", path.display()))
    });
    problem.map(|problem| settings.refuse(&["auth", "account_key_file"], problem)).into_iter().collect()
}

/// Checks the secret of the fleet.
fn fleet_secret(settings: &Settings) -> Vec<SettingsError> {
    let shared = settings.fleet.shared();
    let problem = shared.and_then(|shared| fleet::secret(&shared.secret_file).err());
    let problem = problem.map(|error| {
        if let StartError::FleetSecret { path, problem } = &error {
            format!("{}: {problem}", path.display())
        } else {
            error.to_string()
        }
    });
    problem.map(|problem| settings.refuse(&["fleet", "secret_file"], problem)).into_iter().collect()
}

/// Returns the problem with a key file, which may be missing.
fn key_file(settings: &Settings, path: &Path, usable: impl Fn(&KeySet) -> Result<(), KeyError>) -> Option<String> {
    match read_if_any(path) {
        // The data folder is made before the file, and was checked.
        Ok(None) if path.starts_with(&settings.storage.data_dir) => None,
        Ok(None) => check_new_file(path).err().map(|error| error.to_string()),
        Ok(Some(text)) => {
            let keys = KeySet::from_json(&text).and_then(|keys| usable(&keys));
            keys.err().map(|error| format!("{}: {error}", path.display()))
        }
        // The fault of the data folder is found by itself.
        Err(_) if path.starts_with(&settings.storage.data_dir) && !settings.storage.data_dir.is_dir() => None,
        Err(error) => Some(error.to_string()),
    }
}

/// Checks the certificate authorities, proxies and hosts of the upstreams.
fn upstreams(settings: &Settings) -> Vec<SettingsError> {
    let fault = |upstream: &UpstreamOptions| {
        let error = Registry::new(upstream.clone()).err()?;
        Some(settings.refuse(&["upstreams", error.upstream.as_str(), error.key], error.reason.clone()))
    };
    settings.upstreams.iter().filter_map(fault).collect()
}
