//! Properties of the settings, for whatever text stands in their file. Shared by the tests and `tests/fuzz`.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::layers;
use super::node::{Node, Value};
use super::secrets::SECRETS;
use super::{Settings, SettingsErrors};
use crate::domain::deadlines;
use crate::domain::min_free::MinFree;
use crate::domain::quota::Quota;

/// Mark of a secret: what contains it must never be shown.
pub(crate) const CANARY: &str = "canary-5e";

/// Asserts that accepted values are within their limits, that a refusal has a line with its place for each fault, and
/// that neither shows a secret with [`CANARY`] in it.
pub(crate) fn hold(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let tree = layers::parse("my.toml", text);
    if tree.as_ref().is_ok_and(names_a_file) {
        return;
    }
    let secret_alone = tree.is_ok_and(|tree| canaries(&tree) == text.matches(CANARY).count());
    let shown = match Settings::from_text(Some(("my.toml", text)), [], |_| Vec::new()) {
        Ok(settings) => {
            are_within_limits(&settings);
            format!("{settings:?}")
        }
        Err(errors) => {
            are_sentences(&errors, text);
            errors.to_string()
        }
    };
    assert!(!secret_alone || !shown.contains(CANARY), "a secret is shown: {shown}");
}

/// Returns true if the settings name the file of a secret, which would be read.
fn names_a_file(node: &Node) -> bool {
    node.entries().iter().any(|(key, node)| key.ends_with("_file") || names_a_file(node))
        || if let Value::List(items) = &node.value { items.iter().any(names_a_file) } else { false }
}

/// Returns the number of canaries in values of the keys of secrets.
fn canaries(node: &Node) -> usize {
    let of_key = |(key, node): &(String, Node)| {
        let is_secret = SECRETS.contains(&key.as_str());
        if let (Value::Text(text), true) = (&node.value, is_secret) {
            text.matches(CANARY).count()
        } else {
            canaries(node)
        }
    };
    node.entries().iter().map(of_key).sum()
}

fn are_within_limits(settings: &Settings) {
    let auth = &settings.auth;
    assert!(auth.token_advertised >= Duration::from_secs(1) && auth.token_lifetime >= auth.token_advertised);
    assert!(!auth.service.is_empty() && !auth.passwords.login_window.is_zero());
    assert!(settings.cache.transfer_memory >= 16 << 20 && settings.cache.manifests.max_manifest_bytes > 0);
    assert!(!settings.storage.data_dir.as_os_str().is_empty() && !settings.storage.cache_dir.as_os_str().is_empty());
    match settings.storage.min_free {
        MinFree::Percent(percent) => assert!(percent < 100),
        MinFree::Bytes(_) => {}
    }
    match settings.storage.max_bytes {
        Quota::Percent(percent) => assert!((1..=100).contains(&percent)),
        Quota::Bytes(bytes) => assert!(bytes > 0),
        Quota::Unlimited => {}
    }
    let length = |secret: &Option<SecretString>| secret.as_ref().map(|secret| secret.expose_secret().chars().count());
    assert!(length(&settings.bootstrap.admin_password).is_none_or(|length| length >= 8));
    assert!(length(&settings.bootstrap.admin_token).is_none_or(|length| length >= 20));
    for upstream in settings.upstreams.iter() {
        let times = &upstream.connection;
        assert!(!times.connect_timeout.is_zero() && !times.header_timeout.is_zero() && !times.idle_timeout.is_zero());
        assert!(times.header_timeout <= deadlines::MAX_HEADER && times.rate_limit_wait <= deadlines::RATE_LIMIT);
        for url in upstream.mirrors.iter().chain([&upstream.url]) {
            assert!(matches!(url.scheme(), "http" | "https") && url.has_host() && url.password().is_none());
        }
        let names: Vec<&str> = upstream.accounts.iter().map(|account| account.username.as_str()).collect();
        assert!(names.iter().enumerate().all(|(at, name)| !names[..at].contains(name)), "an account stands twice");
        assert!(!names.iter().any(|name| name.contains(char::is_control)));
    }
}

fn are_sentences(errors: &SettingsErrors, text: &str) {
    assert!(errors.iter().next().is_some(), "a refusal without a reason");
    for error in errors.iter() {
        let sentence = error.to_string();
        let place =
            sentence.strip_prefix("my.toml, line ").or_else(|| sentence.strip_prefix("config/default.toml, line "));
        let line = place.and_then(|rest| rest.split(':').next()?.parse::<usize>().ok());
        let lines = text.split('\n').count().max(super::DEFAULTS.lines().count());
        assert!(line.is_some_and(|line| (1..=lines).contains(&line)), "{sentence}");
        assert!(!sentence.contains(char::is_control), "{sentence:?} is not one line");
    }
}
