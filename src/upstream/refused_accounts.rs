//! Accounts of an upstream that are refused at present: a metric and a log line for the operator. Makes no
//! decisions. Names accounts, never secrets.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::{RealmError, UpstreamError};
use crate::domain::repository::UpstreamName;

/// Minimum time between two log lines about the same account.
const LOG_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// The accounts of one upstream that were refused, by user name.
pub(super) struct RefusedAccounts {
    upstream: UpstreamName,
    refused: Mutex<HashMap<String, Refused>>,
}

struct Refused {
    /// True while the account is refused.
    present: bool,
    logged_at: Instant,
}

impl RefusedAccounts {
    /// Creates the record of this upstream, without a refused account.
    pub(super) fn of(upstream: UpstreamName) -> Self {
        Self { upstream, refused: Mutex::default() }
    }

    /// Records the outcome of sending an account's credentials: `None` after a token or a response, else the error.
    pub(super) fn learn(&self, username: &str, error: Option<&UpstreamError>) {
        match error {
            Some(UpstreamError::TokenRealm(RealmError::Refused { .. })) => self.refused(username, Instant::now()),
            None | Some(UpstreamError::Denied { .. }) => self.accepted(username),
            // The error is not about the account.
            Some(_) => {}
        }
    }

    fn refused(&self, username: &str, now: Instant) {
        let mut all = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get_mut(username);
        let is_due = known.as_ref().is_none_or(|known| now.duration_since(known.logged_at) >= LOG_INTERVAL);
        if is_due {
            tracing::error!(
                "the login of account '{username}' is refused by {upstream}: tags that were pulled with it are served for at most \
                 cache.account_grace, and nothing new can be pulled with it. Renew its password",
                upstream = self.upstream
            );
        }
        match known {
            Some(known) if !is_due => known.present = true,
            _ => {
                all.insert(username.to_owned(), Refused { present: true, logged_at: now });
            }
        }
        self.gauge(username).set(1.0);
    }

    fn accepted(&self, username: &str) {
        let mut all = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get_mut(username).filter(|known| known.present) {
            known.present = false;
            self.gauge(username).set(0.0);
            tracing::info!("the login of account '{username}' is accepted by {} again", self.upstream);
        }
    }

    fn gauge(&self, username: &str) -> metrics::Gauge {
        let labels = [("upstream", self.upstream.to_string()), ("account", username.to_owned())];
        metrics::gauge!("dependency_proxy_upstream_account_refused", &labels)
    }
}

impl Drop for RefusedAccounts {
    /// An account that is not configured any more does not count as refused.
    fn drop(&mut self) {
        let all = self.refused.get_mut().unwrap_or_else(PoisonError::into_inner);
        let present: Vec<String> =
            all.iter().filter(|(_, known)| known.present).map(|(name, _)| name.clone()).collect();
        present.iter().for_each(|username| self.gauge(username).set(0.0));
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn logged_at(accounts: &RefusedAccounts) -> Instant {
        accounts.refused.lock().unwrap()["robot"].logged_at
    }

    #[test]
    fn a_refused_account_is_logged_once_an_hour_also_where_it_is_accepted_in_between() {
        let accounts = RefusedAccounts::of("docker.io".parse().unwrap());
        let start = Instant::now();
        accounts.refused("robot", start);
        accounts.accepted("robot");
        accounts.refused("robot", start + LOG_INTERVAL / 2);
        assert_eq!(logged_at(&accounts), start);
        accounts.refused("robot", start + LOG_INTERVAL);
        assert_eq!(logged_at(&accounts), start + LOG_INTERVAL);
    }

    #[test]
    fn what_says_nothing_about_the_account_changes_nothing() {
        let accounts = RefusedAccounts::of("docker.io".parse().unwrap());
        accounts.learn("robot", Some(&UpstreamError::TimedOut));
        accounts.learn("robot", None);
        assert!(accounts.refused.lock().unwrap().is_empty());
        accounts.learn("robot", Some(&RealmError::Refused { status: 401 }.into()));
        accounts.learn("robot", Some(&UpstreamError::TimedOut));
        assert!(accounts.refused.lock().unwrap()["robot"].present);
        accounts.learn("robot", Some(&UpstreamError::Denied { message: None }));
        assert!(!accounts.refused.lock().unwrap()["robot"].present);
    }
}
